//! A grid in the shape of a T: what is seen at its foot tells which arm to take at its head.

use burn_rl::{Environment, StepResult};
use rand::RngExt;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

use super::Arena;
use crate::range_error::RangeError;

/// Configuration of the maze.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MemoryMazeConfig {
    /// Cells from the foot to the head, both counted.
    pub corridor: usize,
    /// Cells of each arm.
    pub arm: usize,
    /// What a step costs.
    pub step_cost: f64,
}

impl Default for MemoryMazeConfig {
    fn default() -> Self {
        Self { corridor: 6, arm: 1, step_cost: 0.02 }
    }
}

impl MemoryMazeConfig {
    /// Checks every field.
    pub fn validate(&self) -> Result<(), RangeError> {
        RangeError::check((2..=50).contains(&self.corridor), "corridor", self.corridor, "2 to 50 cells")?;
        RangeError::check((1..=20).contains(&self.arm), "arm", self.arm, "1 to 20 cells")?;
        RangeError::check((0.0..=1.0).contains(&self.step_cost), "step_cost", self.step_cost, "0 to 1")
    }
}

/// The directions in which to go, clockwise from the head's.
const DIRECTIONS: [(isize, isize); 4] = [(0, 1), (1, 0), (0, -1), (-1, 0)];

/// A maze in the shape of a T. At its foot a cue tells which arm's end brings a reward of 1; that of the other brings −1, and both
/// end the episode. Who walks against a wall stays. An episode is cut off after [`MAX_STEPS`](Environment::MAX_STEPS).
#[derive(Debug)]
pub struct MemoryMaze {
    config: MemoryMazeConfig,
    rng: StdRng,
    /// −1 for the left arm, 1 for the right.
    goal: isize,
    /// Across and along, from the foot.
    place: (isize, isize),
    step: usize,
    solved: bool,
}

impl MemoryMaze {
    /// At the start of an episode. All episodes follow from the generator.
    ///
    /// # Errors
    ///
    /// If the configuration is out of range.
    pub fn new(config: MemoryMazeConfig, rng: StdRng) -> Result<Self, RangeError> {
        config.validate()?;
        let mut maze = Self { config, rng, goal: 1, place: (0, 0), step: 0, solved: false };
        maze.reset();
        Ok(maze)
    }

    fn is_open(&self, (across, along): (isize, isize)) -> bool {
        let head = self.config.corridor as isize - 1;
        let in_corridor = across == 0 && (0..=head).contains(&along);
        in_corridor || (along == head && across.unsigned_abs() <= self.config.arm)
    }

    fn neighbour(&self, direction: usize) -> (isize, isize) {
        let (across, along) = DIRECTIONS[direction];
        (self.place.0 + across, self.place.1 + along)
    }
}

impl Environment for MemoryMaze {
    type State = Vec<f32>;
    type Action = usize;

    const MAX_STEPS: usize = 200;

    /// Whether there is a wall ahead, to the right, behind and to the left (as seen towards the head), and at the foot whether the cue is
    /// the left or the right one.
    fn state(&self) -> Vec<f32> {
        let wall = |direction| f32::from(u8::from(!self.is_open(self.neighbour(direction))));
        let cue = |goal: isize| f32::from(u8::from(self.place == (0, 0) && self.goal == goal));
        (0..DIRECTIONS.len()).map(wall).chain([cue(-1), cue(1)]).collect()
    }

    /// # Panics
    ///
    /// If there is no such direction.
    fn step(&mut self, action: usize) -> StepResult<Vec<f32>> {
        let next = self.neighbour(action);
        if self.is_open(next) {
            self.place = next;
        }
        self.step += 1;
        let done = self.place.0.unsigned_abs() == self.config.arm;
        let right = done && self.place.0.signum() == self.goal;
        let reward = match (done, right) {
            (false, _) => 0.0,
            (true, true) => 1.0,
            (true, false) => -1.0,
        };
        let truncated = !done && self.step >= Self::MAX_STEPS;
        if done || truncated {
            self.solved = right;
        }
        StepResult { next_state: self.state(), reward: reward - self.config.step_cost, done, truncated }
    }

    fn reset(&mut self) {
        self.goal = if self.rng.random_bool(0.5) { 1 } else { -1 };
        self.place = (0, 0);
        self.step = 0;
    }
}

impl Arena for MemoryMaze {
    fn observations(&self) -> usize {
        DIRECTIONS.len() + 2
    }

    fn actions(&self) -> usize {
        DIRECTIONS.len()
    }

    fn longest(&self) -> usize {
        Self::MAX_STEPS
    }

    fn solved(&self) -> bool {
        self.solved
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    const AHEAD: usize = 0;
    const RIGHT: usize = 1;
    const BEHIND: usize = 2;
    const LEFT: usize = 3;

    fn maze(seed: u64) -> MemoryMaze {
        let config = MemoryMazeConfig { corridor: 3, arm: 2, step_cost: 0.1 };
        MemoryMaze::new(config, StdRng::seed_from_u64(seed)).unwrap()
    }

    #[test]
    fn the_arm_of_the_cue_is_rewarded() {
        let mut solved = [0; 2];
        for seed in 0..40 {
            let mut maze = maze(seed);
            let seen = maze.state();
            assert_eq!(seen[..4], [0.0, 1.0, 1.0, 1.0], "at the foot");
            assert_eq!(seen[4] + seen[5], 1.0);
            let turn = if seed % 2 == 0 { RIGHT } else { LEFT };
            let cue = if seen[5] == 1.0 { RIGHT } else { LEFT };
            for (step, action) in [AHEAD, AHEAD, turn, turn].into_iter().enumerate() {
                let StepResult { next_state, reward, done, truncated } = maze.step(action);
                assert_eq!(next_state[4..], [0.0, 0.0], "the cue is at the foot alone");
                assert_eq!((done, truncated), (step == 3, false));
                let won = if turn == cue { 1.0 } else { -1.0 };
                assert!((reward - if done { won - 0.1 } else { -0.1 }).abs() < 1e-12);
            }
            assert_eq!(maze.solved(), turn == cue);
            solved[usize::from(maze.solved())] += 1;
        }
        assert!(solved.iter().all(|&count| count > 5), "{solved:?}");
    }

    #[test]
    fn walls_hold_and_long_episodes_are_cut_off() {
        let mut maze = maze(1);
        let foot = maze.state();
        for _ in 0..MemoryMaze::MAX_STEPS - 1 {
            let result = maze.step(BEHIND);
            assert_eq!((result.next_state, result.done, result.truncated), (foot.clone(), false, false));
        }
        let result = maze.step(LEFT);
        assert!(result.truncated && !result.done && !maze.solved());
        maze.reset();
        (0..2).for_each(|_| drop(maze.step(AHEAD)));
        assert_eq!(maze.state()[..4], [1.0, 0.0, 0.0, 0.0], "at the head");
    }

    #[test]
    fn fields_out_of_range_are_named() {
        let new = |config| MemoryMaze::new(config, StdRng::seed_from_u64(1)).unwrap_err().field;
        assert_eq!(new(MemoryMazeConfig { corridor: 1, ..Default::default() }), "corridor");
        assert_eq!(new(MemoryMazeConfig { arm: 0, ..Default::default() }), "arm");
        assert_eq!(new(MemoryMazeConfig { step_cost: f64::NAN, ..Default::default() }), "step_cost");
    }
}
