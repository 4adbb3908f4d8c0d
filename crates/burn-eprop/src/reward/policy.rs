//! What to do, and what came of it.

use burn::tensor::activation::softmax;
use burn::tensor::{Int, Tensor, TensorData};
use rand::{Rng, RngExt};

/// What was done in an episode, and what it brought.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// a, counted from 0.
    pub action: usize,
    /// r.
    pub reward: f64,
    /// Whether the episode has ended with it.
    pub ended: bool,
}

/// # Panics
///
/// If these are not outcomes of so many places and actions.
#[track_caller]
pub(super) fn check(outcomes: &[Option<Outcome>], places: usize, actions: usize) {
    assert_eq!(outcomes.len(), places, "{} outcomes of {places} episodes", outcomes.len());
    for Outcome { action, reward, .. } in outcomes.iter().flatten() {
        assert!(*action < actions, "action {action} of {actions} actions");
        assert!(reward.is_finite(), "a reward of {reward} is not finite");
    }
}

/// What to do, and what it is worth.
#[derive(Debug, Clone)]
pub struct Policy {
    /// π, [batch, actions].
    pub probabilities: Tensor<2>,
    /// V, `[batch]`.
    pub values: Tensor<1>,
}

impl Policy {
    /// An action for each episode, drawn from its probabilities.
    pub fn sample(&self, rng: &mut impl Rng) -> Vec<usize> {
        let actions = self.probabilities.dims()[1];
        let probabilities: Vec<f64> = self.probabilities.to_data().iter::<f64>().collect();
        let draw = |row: &[f64]| {
            let mut left = rng.random::<f64>() * row.iter().sum::<f64>();
            let reached = row.iter().position(|probability| {
                left -= probability;
                left < 0.0
            });
            reached.unwrap_or(actions - 1)
        };
        probabilities.chunks(actions).map(draw).collect()
    }

    /// The most probable action for each episode.
    pub fn best(&self) -> Vec<usize> {
        let best: Tensor<2, Int> = self.probabilities.clone().argmax(1);
        best.to_data().iter::<i64>().map(|action| action as usize).collect()
    }

    /// err, [batch, K + 1] (equation 1).
    pub(super) fn error(&self, outcomes: &[Option<Outcome>], value_weight: f64) -> Tensor<2> {
        let [batch, actions] = self.probabilities.dims();
        let row = |outcome: &Option<Outcome>| {
            let taken = outcome.map(|outcome| outcome.action);
            (0..actions).map(move |action| f64::from(u8::from(Some(action) == taken)))
        };
        let taken = TensorData::new(outcomes.iter().flat_map(row).collect::<Vec<_>>(), [batch, actions]);
        let options = (&self.values.device(), self.values.dtype());
        let of_policy = self.probabilities.clone() - Tensor::from_data(taken, options);
        let of_value = self.values.clone().reshape([batch, 1]).zeros_like().sub_scalar(value_weight);
        Tensor::cat(vec![of_policy, of_value], 1)
    }

    /// π and V of outputs [batch, K + 1].
    ///
    /// # Panics
    ///
    /// If there are less than two outputs, an action and the value.
    #[track_caller]
    pub fn of(outputs: &Tensor<2>) -> Self {
        let [batch, width] = outputs.dims();
        assert!(width >= 2, "{width} outputs, but a policy and a value need at least 2");
        Self {
            probabilities: softmax(outputs.clone().narrow(1, 0, width - 1), 1),
            values: outputs.clone().narrow(1, width - 1, 1).reshape([batch]),
        }
    }
}
