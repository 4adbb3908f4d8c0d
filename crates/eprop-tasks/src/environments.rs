//! Environments: actions and rewards in place of targets, through burn-rl's [`Environment`].
//!
//! What is observed at a time does not tell what to do: it has to be remembered.

mod delayed_choice;
mod memory_maze;

pub use burn_rl::{Environment, StepResult};
pub use delayed_choice::{DelayedChoice, DelayedChoiceConfig};
pub use memory_maze::{MemoryMaze, MemoryMazeConfig};

/// An environment of some kind, whose observations are numbers and whose actions are counted from 0.
pub trait Arena: Environment<State = Vec<f32>, Action = usize> {
    /// Numbers of an observation.
    fn observations(&self) -> usize;

    /// Number of actions.
    fn actions(&self) -> usize;

    /// Most steps of an episode.
    fn longest(&self) -> usize;

    /// Whether the last episode that ended was solved.
    fn solved(&self) -> bool;
}
