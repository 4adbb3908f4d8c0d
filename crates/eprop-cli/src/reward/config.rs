//! Settings of tasks with rewards.

use anyhow::{Context, Result, bail, ensure};
use burn_eprop::reward::ActorCriticConfig;
use eprop_tasks::MAX_VALUES;
use eprop_tasks::environments::{Arena, DelayedChoice, DelayedChoiceConfig, MemoryMaze, MemoryMazeConfig};
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

use crate::config::{RunConfig, TaskName, Update};
use crate::method::MethodName;
use crate::random::{Stream, generator};

/// Largest weight of entropy.
const MAX_ENTROPY_WEIGHT: f64 = 1e6;

/// How an actor-critic learns, and where.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RewardSettings {
    /// γ, by step of the environment.
    pub discount: f64,
    /// C_V.
    pub value_weight: f64,
    /// Weight of the policy's entropy, in each step of the environment, beside the rewards; the critic foretells both.
    #[serde(default)]
    pub entropy_weight: f64,
    /// Steps of the network for each of the environment.
    pub steps_per_observation: usize,
    /// Steps of the environment from one update to the next, where weights change while an episode goes on.
    pub update_every: usize,
    /// The environment.
    #[serde(default)]
    pub delayed_choice: Option<DelayedChoiceConfig>,
    /// The environment.
    #[serde(default)]
    pub memory_maze: Option<MemoryMazeConfig>,
}

impl RewardSettings {
    /// γ and C_V.
    pub fn actor_critic(&self) -> ActorCriticConfig {
        ActorCriticConfig { discount: self.discount, value_weight: self.value_weight }
    }

    /// Checks the settings for a run.
    ///
    /// # Errors
    ///
    /// If one is out of range, or its method cannot learn from rewards.
    pub fn validate(&self, config: &RunConfig) -> Result<()> {
        self.actor_critic().validate().context("[reward]")?;
        let weight = self.entropy_weight;
        let in_range = (0.0..=MAX_ENTROPY_WEIGHT).contains(&weight);
        ensure!(in_range, "reward.entropy_weight is {weight}, but must be 0 to {MAX_ENTROPY_WEIGHT}");
        let shown = self.steps_per_observation;
        let in_range = (1..=1000).contains(&shown);
        ensure!(in_range, "reward.steps_per_observation is {shown}, but must be 1 to 1000");
        ensure!(self.update_every > 0, "reward.update_every is 0, but must be at least 1");
        let rng = || generator(0, Stream::Test, 0);
        let (steps, width) = match config.task {
            TaskName::MemoryMaze => sizes(&self.memory_maze(rng())?),
            _ => sizes(&self.delayed_choice(rng())?),
        };
        let values = [config.batch, steps, shown, width].into_iter().fold(1, usize::saturating_mul);
        ensure!(
            values <= MAX_VALUES,
            "a batch of episodes of up to {steps} steps has {values} inputs, but at most {MAX_VALUES} are possible"
        );
        if config.update == Update::Window && config.method != MethodName::Eprop {
            bail!(
                "with rewards, eprop alone learns while an episode goes on; others need update = \"sequence\""
            );
        }
        ensure!(config.validation.is_none(), "tasks with rewards have no [validation]");
        ensure!(config.rate.is_none(), "tasks with rewards have no firing-rate regularisation ([rate])");
        Ok(())
    }

    /// The delayed choice of a run.
    pub(super) fn delayed_choice(&self, rng: StdRng) -> Result<DelayedChoice> {
        let settings = self.delayed_choice.clone().context("the settings lack [reward.delayed_choice]")?;
        DelayedChoice::new(settings, rng).context("[reward.delayed_choice]")
    }

    /// The maze of a run.
    pub(super) fn memory_maze(&self, rng: StdRng) -> Result<MemoryMaze> {
        let settings = self.memory_maze.clone().context("the settings lack [reward.memory_maze]")?;
        MemoryMaze::new(settings, rng).context("[reward.memory_maze]")
    }
}

/// The longest episode of an environment, and the numbers of an observation.
fn sizes<A: Arena>(arena: &A) -> (usize, usize) {
    (arena.longest(), arena.observations())
}

/// The reward settings of a run whose task has rewards.
pub(super) fn of(config: &RunConfig) -> Result<&RewardSettings> {
    config.reward.as_ref().context("the settings lack [reward]")
}
