//! The program as a user runs it.

mod bad_input;
mod data_sets;
mod export;
mod files;
mod limits;
mod one_shot;
mod resume;
mod runs;
mod support;
mod tasks;
