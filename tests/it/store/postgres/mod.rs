//! What is Postgres' alone: a server that others use, that goes away and comes back.

mod links;
mod migrations;
mod one_session;
mod outage;
mod plans;
mod pooler;
mod roles;
mod serving;
