//! What the oracle tests share.
//!
//! - [`case`]: sizes and options of a random problem, and the problem itself;
//! - [`cells`]: a builder for every kind of cell, and [`for_every_cell!`];
//! - [`cpus`](mod@cpus): the CPU devices;
//! - [`explicit`]: e-prop 2 by explicit traces;
//! - [`smoothed`]: a learning signal of a user's own, which remembers;
//! - [`streams`]: a small network, and a hook that learns from a stream;
//! - [`synthetic`](mod@synthetic): a synthetic gradient that foretells something;
//! - [`tasks`]: one-shot tasks with learner and error module;
//! - [`two_compartment`]: a cell of a user's own, known by its step alone;
//! - [`warnings`]: what the library has said to the log;
//! - [`wgpu`]: trials on wgpu;
//! - [`findings`]: what an estimator found, as numbers by name, and their comparison.

pub mod case;
pub mod cells;
pub mod cpus;
pub mod explicit;
pub mod findings;
pub mod smoothed;
pub mod streams;
pub mod synthetic;
pub mod tasks;
pub mod two_compartment;
pub mod warnings;
pub mod wgpu;
