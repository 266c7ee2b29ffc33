mod baseten;
mod failures;
mod input;
mod openapi;
mod probe;
mod sweep;
mod token;
