//! Settings of tasks with rewards.

use anyhow::{Context, Result, bail, ensure};
use burn_eprop::reward::ActorCriticConfig;
use eprop_tasks::environments::{DelayedChoice, DelayedChoiceConfig, MemoryMaze, MemoryMazeConfig};
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

use crate::config::{RunConfig, TaskName, Update};
use crate::method::MethodName;

/// How an actor-critic learns, and where.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RewardSettings {
    /// γ, by step of the environment.
    pub discount: f64,
    /// C_V.
    pub value_weight: f64,
    /// Steps of the network for each of the environment.
    pub steps_per_observation: usize,
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
        let shown = self.steps_per_observation;
        let in_range = (1..=1000).contains(&shown);
        ensure!(in_range, "reward.steps_per_observation is {shown}, but must be 1 to 1000");
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

/// The reward settings of a run whose task has rewards.
pub(super) fn of(config: &RunConfig) -> Result<&RewardSettings> {
    config.reward.as_ref().context("the settings lack [reward]")
}

impl TaskName {
    /// Whether there are rewards in place of targets.
    pub fn has_rewards(self) -> bool {
        matches!(self, Self::DelayedChoice | Self::MemoryMaze)
    }
}
