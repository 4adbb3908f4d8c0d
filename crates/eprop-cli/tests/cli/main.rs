//! The program as a user runs it.

mod bad_input;
mod data_sets;
mod divergence;
mod export;
mod files;
mod limits;
mod one_shot;
mod resume;
mod runs;
#[cfg(unix)]
mod signals;
mod support;
mod tasks;
mod threads;
