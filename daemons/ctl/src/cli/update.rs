//! The arguments of `voltryctl update`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::help::UPDATE_STATUS;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Update {
    /// The bundle
    #[arg(required = true)]
    pub(crate) file: Option<PathBuf>,
    /// Start the machine anew when it is installed
    #[arg(long)]
    pub(crate) restart: bool,
    #[command(subcommand)]
    pub(crate) command: Option<UpdateCommand>,
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum UpdateCommand {
    /// What runs, what became of the last update, and what is in the slots
    #[command(after_help = UPDATE_STATUS)]
    Status,
    /// Start the machine anew with what is installed
    Restart,
}
