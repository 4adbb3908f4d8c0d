//! Tasks with rewards in place of targets: an actor-critic learns from what it does.

mod config;
mod play;
mod train;

pub use config::RewardSettings;
pub(crate) use train::{evaluate, train};
