//! The uplink as a CSMS sees it, in virtual time: what leaves, when, in which order, under which id.

#![allow(clippy::unwrap_used, clippy::needless_pass_by_value, reason = "a test")]

mod authorization;
mod boot;
mod certificates;
mod charging;
mod customers;
mod desk;
mod device_model;
mod devices;
mod files;
mod firmware;
mod first_seconds;
mod hardships;
mod idle_values;
mod monitoring;
mod planning;
mod plug_and_charge;
mod refused_tokens;
mod remote_start;
mod requests;
mod resets;
mod security;
mod signed;
mod transactions;
mod triggers;
