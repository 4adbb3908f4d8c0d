//! The parts of the `eprop` program.

pub mod bench;
pub mod device;
pub mod gradcheck;
pub mod method;
