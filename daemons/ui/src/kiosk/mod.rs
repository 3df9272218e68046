//! The screen at the charger. On loopback, without a login: it shows and commands what a passer-by may.

mod advice;
mod master_pass;
mod messages;
mod page;
mod picture;
mod routes;
#[cfg(test)]
mod sheet;
#[cfg(test)]
mod tests;
mod without_card;

pub(crate) use routes::{Kiosk, router};
