//! The technician's page: behind TLS and a login, with roles.
//!
//! Whoever is not logged in is told nothing of the station. Whatever is asked of it is noted in the audit trail
//! with who asked.

mod accounts;
mod audit;
mod charges;
mod configuration;
mod conversations;
mod devices;
mod door;
mod history;
mod live;
mod logs;
mod notes;
mod page;
mod routes;
mod selftest;
mod sessions;
mod timeline;
mod tls;

pub(crate) use accounts::Accounts;
pub(crate) use routes::{Technician, router};
pub(crate) use tls::acceptor;
