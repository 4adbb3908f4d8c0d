//! One-shot tasks: an outer loop over a family of tasks, each of which is learned from one presentation (e-prop 2).

pub mod config;
mod control;
mod eval;
mod family;
mod model;
mod plots;
mod train;

pub use config::OneShotConfig;
pub use eval::evaluate;
pub use train::{resume, train};
