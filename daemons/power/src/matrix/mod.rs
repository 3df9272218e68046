//! Modules that several EVSEs share through a matrix of contactors.
//!
//! ```text
//!  evse N ── PowerSupply1 ──▶ outlet ┐                      ┌ member ── orders ──▶ bus task ⇄ CAN
//!  evse N ── its state ─────▶        ├─▶ [`crate::pool`] ──▶┤
//!  board  ── feedback ──────▶        ┘   every 100 ms       └ switch ── SwitchMatrix1 ──▶ board
//! ```
//! Each EVSE has a supply of its own, whose capability is what the groups give that are joined to it now.
//! The pool decides, purely; this is what surrounds it. A group is led like a supply, under a lease that
//! only a control step renews: where this task hangs, modules go off and contactors open by themselves.

mod config;
mod member;
mod outlet;
mod session;
mod switch;
mod task;

pub use config::MatrixSettings;
pub(crate) use member::{Member, Teller};
pub(crate) use task::Sharing;
