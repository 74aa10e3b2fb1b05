//! The admin API from outside, over loopback sockets.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod contract;
mod gateway;

mod auth;
mod bodies;
mod config;
mod connections;
mod demands;
mod documentation;
mod key_sets;
mod keys;
mod lists;
mod node_traffic;
mod nodes;
mod plans;
mod queries;
mod restart;
mod routes;
mod services;
mod signing_keys;
mod tenants;
mod usage;
mod users;
mod webhooks;
