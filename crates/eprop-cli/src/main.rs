//! The eprop program.
fn main() {}
