//! The command line.

use std::path::PathBuf;

use clap::Parser;

/// A trained speech model gets used to a new speaker.
#[derive(Parser)]
pub(crate) struct Args {
    /// A folder of recordings named {digit}_{speaker}_{index}.wav; synthetic voices without.
    #[arg(long)]
    pub(crate) data: Option<PathBuf>,
    /// Who is new; the first of the speakers by default.
    #[arg(long, requires = "data")]
    pub(crate) speaker: Option<String>,
    /// Recordings of each digit that the new speaker gives to learn from.
    #[arg(long, default_value_t = 10)]
    pub(crate) each: usize,
    /// Seed of weights and order.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Synthetic voices and few updates.
    #[arg(long, conflicts_with = "data")]
    pub(crate) quick: bool,
}
