//! The parts of the `eprop` program.

pub mod align;
pub mod bench;
pub mod checkpoint;
pub mod cli;
pub mod compare;
pub mod config;
pub mod device;
pub mod eval;
pub mod export;
pub mod gradcheck;
pub mod method;
pub mod metrics;
pub mod model;
pub mod one_shot;
pub mod output;
pub mod plots;
pub mod presets;
pub mod progress;
pub mod random;
pub mod reward;
pub mod run_folder;
mod sequence;
pub mod table;
pub mod task;
pub mod train;
pub mod validation;
