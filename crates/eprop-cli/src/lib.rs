//! The parts of the `eprop` program.

pub mod device;
pub mod gradcheck;
