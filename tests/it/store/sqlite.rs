//! What is SQLite's alone: a file that others can reach, damage and fill.

mod damage;
mod files;
mod limits;
mod plans;
mod processes;
mod room;
mod versions;
