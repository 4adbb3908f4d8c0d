//! The package of the benchmarks. Training steps are timed by the program: `eprop bench`.
