//! A cue, a delay, a choice: go where the cue was.

use burn_rl::{Environment, StepResult};
use rand::RngExt;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

use super::Arena;
use crate::range_error::RangeError;

/// Configuration of the delayed choice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DelayedChoiceConfig {
    /// Sides of which one is shown and is to be chosen.
    pub sides: usize,
    /// Steps in which the cue is shown.
    pub cue_steps: usize,
    /// Steps in which nothing is.
    pub delay_steps: usize,
}

impl Default for DelayedChoiceConfig {
    fn default() -> Self {
        Self { sides: 2, cue_steps: 2, delay_steps: 10 }
    }
}

impl DelayedChoiceConfig {
    /// Checks every field.
    pub fn validate(&self) -> Result<(), RangeError> {
        RangeError::check((2..=100).contains(&self.sides), "sides", self.sides, "2 to 100")?;
        RangeError::check((1..=1000).contains(&self.cue_steps), "cue_steps", self.cue_steps, "1 to 1000")?;
        RangeError::check(self.delay_steps <= 10_000, "delay_steps", self.delay_steps, "at most 10000")
    }
}

/// One side is shown, then nothing for a while, then that it is time to choose. What is done in that step counts: the shown side
/// brings a reward of 1, another one of −1. Before, actions have no effect.
#[derive(Debug)]
pub struct DelayedChoice {
    config: DelayedChoiceConfig,
    rng: StdRng,
    side: usize,
    step: usize,
    solved: bool,
}

impl DelayedChoice {
    /// At the start of an episode. All episodes follow from the generator.
    ///
    /// # Errors
    ///
    /// If the configuration is out of range.
    pub fn new(config: DelayedChoiceConfig, rng: StdRng) -> Result<Self, RangeError> {
        config.validate()?;
        let mut choice = Self { config, rng, side: 0, step: 0, solved: false };
        choice.reset();
        Ok(choice)
    }

    /// The step in which a side is chosen.
    fn last_step(&self) -> usize {
        self.config.cue_steps + self.config.delay_steps
    }
}

impl Environment for DelayedChoice {
    type State = Vec<f32>;
    type Action = usize;

    const MAX_STEPS: usize = 11_001;

    /// A number for each side, 1 where its cue is shown, and one that is 1 when it is time to choose.
    fn state(&self) -> Vec<f32> {
        let mut seen = vec![0.0; self.config.sides + 1];
        if self.step < self.config.cue_steps {
            seen[self.side] = 1.0;
        }
        if self.step == self.last_step() {
            seen[self.config.sides] = 1.0;
        }
        seen
    }

    fn step(&mut self, action: usize) -> StepResult<Vec<f32>> {
        let done = self.step == self.last_step();
        let right = action == self.side;
        let reward = match (done, right) {
            (false, _) => 0.0,
            (true, true) => 1.0,
            (true, false) => -1.0,
        };
        if done {
            self.solved = right;
        }
        self.step += 1;
        StepResult { next_state: self.state(), reward, done, truncated: false }
    }

    fn reset(&mut self) {
        self.side = self.rng.random_range(0..self.config.sides);
        self.step = 0;
    }
}

impl Arena for DelayedChoice {
    fn observations(&self) -> usize {
        self.config.sides + 1
    }

    fn actions(&self) -> usize {
        self.config.sides
    }

    fn longest(&self) -> usize {
        self.last_step() + 1
    }

    fn solved(&self) -> bool {
        self.solved
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn the_side_that_was_shown_is_rewarded_at_the_end_alone() {
        let config = DelayedChoiceConfig { sides: 3, cue_steps: 2, delay_steps: 4 };
        let mut choice = DelayedChoice::new(config, StdRng::seed_from_u64(1)).unwrap();
        let mut shown = [0; 3];
        for episode in 0..60 {
            choice.reset();
            let side = choice.state().iter().position(|&seen| seen == 1.0).unwrap();
            shown[side] += 1;
            let action = episode % 3;
            for step in 0..7 {
                let seen = choice.state();
                let expected = match step {
                    0 | 1 => side,
                    6 => 3,
                    _ => usize::MAX,
                };
                assert!((0..4).all(|index| (seen[index] == 1.0) == (index == expected)), "{step}: {seen:?}");
                let StepResult { reward, done, truncated, .. } = choice.step(action);
                assert_eq!((done, truncated), (step == 6, false));
                let sign = if action == side { 1.0 } else { -1.0 };
                assert_eq!(reward, if done { sign } else { 0.0 });
            }
            assert_eq!(choice.solved(), action == side);
        }
        assert!(shown.iter().all(|&count| count > 10), "{shown:?}");
    }

    #[test]
    fn fields_out_of_range_are_named() {
        let new = |config| DelayedChoice::new(config, StdRng::seed_from_u64(1)).unwrap_err().field;
        assert_eq!(new(DelayedChoiceConfig { sides: 1, ..Default::default() }), "sides");
        assert_eq!(new(DelayedChoiceConfig { cue_steps: 0, ..Default::default() }), "cue_steps");
        assert_eq!(new(DelayedChoiceConfig { delay_steps: 10_001, ..Default::default() }), "delay_steps");
    }
}
