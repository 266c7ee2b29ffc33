//! What the data listener does, through real sockets: the whole program, a fake model server behind it.

mod admission;
mod backpressure;
mod between_protocols;
mod body_model;
mod closing;
mod clouds;
mod deletion;
mod ended_keys;
mod every_key;
mod everywhere;
mod forward_auth;
mod forwarding;
pub mod framing;
mod handover;
mod http2;
mod keys;
mod last_used;
mod limits;
mod over_http2;
mod overload;
mod profiles;
mod refusal_forms;
mod reload;
mod servers;
mod silence;
mod tls;
mod websocket;
