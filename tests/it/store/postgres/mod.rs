//! What is Postgres' alone: a server that others use, that goes away and comes back.

mod engines;
mod links;
mod listening;
mod migrations;
mod one_session;
mod order;
mod outage;
mod plans;
mod pooler;
mod roles;
mod serving;
