//! The program as a user runs it.

mod bad_input;
mod limits;
mod runs;
mod support;
