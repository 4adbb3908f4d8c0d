//! Reward-based e-prop: an actor-critic that learns while an episode goes on.
//!
//! The network's outputs are a policy π over K actions, the softmax of the first K, and the value V, the last. In place of
//! targets there are actions that were taken and rewards. With the error
//!
//! $$ err_k^t = \pi_k^t - 1[a^t = k] \quad (k \le K), \qquad err_V^t = -C_V \tag{1} $$
//!
//! a [learning signal](crate::signal) $L_j^t = \sum_k B_{jk}\, err_k^t$ says how each neuron would make the action more
//! probable and the value larger. Whether that is wanted shows later, by the temporal-difference error
//!
//! $$ \delta^t = r^t + \gamma V^{t+1} - V^t, \tag{2} $$
//!
//! which is broadcast to all synapses and meets what their traces still know of it (Bellec et al. 2020,
//! doi:10.1038/s41467-020-17236-y, eqs. 5, 35 and 36):
//!
//! $$ g^t = \delta^t\, F_\gamma(L_j \bar e_{ji})^t, \qquad F_\gamma(u)^t = \gamma F_\gamma(u)^{t-1} + u^t, \tag{3} $$
//!
//! and so, with err in place of L and the readout's filter of z in place of ē, for W_out. Descending g reinforces what was
//! done where δ > 0.
//!
//! | symbol | shape | here |
//! |---|---|---|
//! | err | [batch, K + 1] | [`ActorCritic::learn`] |
//! | δ | `[batch]` | [`ActorCritic::learn`], [`ActorCritic::observe`] |
//! | F_γ(L ē) | [batch, post, pre] | [`ActorCriticState`] |
//! | γ, C_V | | [`ActorCriticConfig`] |
//!
//! Where weights change after episodes alone, [`Loss::ActorCritic`](crate::Loss::ActorCritic) gives the same gradient from whole
//! episodes, with any estimator.

mod agent;
mod policy;
mod state;

pub use agent::ActorCritic;
pub use policy::{Outcome, Policy};
pub use state::ActorCriticState;

use serde::{Deserialize, Serialize};

use crate::error::ConfigError;

/// How an actor-critic weighs the future and its critic.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActorCriticConfig {
    /// γ, by which a reward counts less for each step that it comes later.
    pub discount: f64,
    /// C_V, the weight of the value's error beside the policy's.
    pub value_weight: f64,
}

impl Default for ActorCriticConfig {
    /// γ = 0.99, C_V = 0.5.
    fn default() -> Self {
        Self { discount: 0.99, value_weight: 0.5 }
    }
}

impl ActorCriticConfig {
    /// Checks the ranges of all fields.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let Self { discount, value_weight } = *self;
        ConfigError::check((0.0..=1.0).contains(&discount), "discount", discount, "between 0 and 1")?;
        let valid = value_weight.is_finite() && value_weight >= 0.0;
        ConfigError::check(valid, "value_weight", value_weight, "finite and at least 0")
    }
}

/// A whole episode of one agent.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Episode {
    /// What was done in each step of the environment.
    pub actions: Vec<usize>,
    /// What each of them brought.
    pub rewards: Vec<f64>,
    /// V before each of them.
    pub values: Vec<f64>,
}

impl ActorCriticConfig {
    /// Targets of [`Loss::ActorCritic`](crate::Loss::ActorCritic) for an episode that has ended, with this many actions to choose from:
    /// [time, actions + 1], row by row. With
    ///
    /// $$ A^s = \sum_{t \ge s} \gamma^{t-s} \delta^t = \sum_{t \ge s} \gamma^{t-s} r^t - V^s $$
    ///
    /// the target of the action that was taken is A, that of the value C_V A, and those of other actions 0: exchanging the sums of
    /// equation 3 of the [module](self) over t, the loss has the gradient Σ_t g^t.
    ///
    /// # Panics
    ///
    /// If the episode has not as many actions, rewards and values, or an action does not exist.
    #[track_caller]
    pub fn targets(&self, episode: &Episode, actions: usize) -> Vec<f64> {
        let Episode { actions: taken, rewards, values } = episode;
        let given = [taken.len(), rewards.len(), values.len()];
        assert_eq!(given, [taken.len(); 3], "actions, rewards and values {given:?} of an episode");
        let mut rows = vec![0.0; taken.len() * (actions + 1)];
        let mut to_come = 0.0;
        for (step, row) in rows.chunks_exact_mut(actions + 1).enumerate().rev() {
            assert!(taken[step] < actions, "action {} of {actions} actions", taken[step]);
            to_come = rewards[step] + self.discount * to_come;
            let advantage = to_come - values[step];
            row[taken[step]] = advantage;
            row[actions] = self.value_weight * advantage;
        }
        rows
    }
}
