//! What is Postgres' alone: a server that others use, that goes away and comes back.

mod outage;
mod plans;
