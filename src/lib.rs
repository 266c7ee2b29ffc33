//! keyward stands in front of model servers. It reads the key a caller presents, decides in memory whether that key
//! may call that model, notes that it was used, and passes the call on. Beside it stands a small admin listener
//! through which keys are listed, created and deleted, and a command line that does the same. The key database is the
//! truth; memory is a copy that follows it.
//!
//! # The house
//!
//! Four floors and a cellar. A room may look down, never up, and never sideways except where `tests/it/house` says so;
//! that table is a test.
//!
//! ```text
//!  roof        config         server                       read the settings; build, wire, run, close
//!  ────────────────────────────────────────────────
//!  doors       proxy          admin          cli           where the world comes in
//!  ────────────────────────────────────────────────
//!  services    cache   usage   registry   store   upstream memory, tasks, databases, sockets
//!  ────────────────────────────────────────────────
//!  facts       key     route   credential                  pure: no I/O, no clock, no async
//!  ════════════════════════════════════════════════
//!  cellar      telemetry   clock   tls   message   http1   metric names, logging, what time it is, certificates, heads of
//!                                                          messages, how they are framed
//! ```
//!
//! # Where to read on
//!
//! * The life of a request: [`proxy`], top to bottom. It meets [`route`] (where is it going, which model does it
//!   name), [`credential`] (who calls), [`cache`] (do we know this key), [`key::LocalGrant::permit`] (may it), [`usage`]
//!   (remember that it came) and [`upstream`] (pass it along).
//! * The life of a key change: written with its log entry by a trigger in [`store`], rung in by a bell, read from the
//!   log and applied by [`cache`]. Whoever makes the change takes this road: our own API, our command line, or
//!   somebody's SQL.
//! * The life of a last-used moment: a mark on the grant, a queue, one sorted batch: [`usage`].
//! * The life of an admin call: a dialect of [`admin`], or [`cli`], makes a [`registry::Command`]; the registry carries
//!   it out; the outcome is put back into the dialect's words.
//!
//! Three absences carry the design. [`proxy`] cannot reach [`store`], so no request waits for a database except through
//! a miss of the cache. [`admin`] cannot reach [`cache`], so a key deleted through our API takes the same road as a key
//! deleted by anybody. [`server`] wires and decides nothing, so what the program does stands in the rooms.

pub mod admin;
pub mod cache;
pub mod cli;
pub mod clock;
pub mod config;
pub mod credential;
pub mod http1;
pub mod key;
pub mod message;
pub mod proxy;
pub mod registry;
pub mod route;
pub mod server;
pub mod store;
pub mod telemetry;
pub mod tls;
pub mod upstream;
pub mod usage;
