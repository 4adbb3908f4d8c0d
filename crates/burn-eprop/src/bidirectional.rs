//! Networks that go through sequences in both directions.
//!
//! Two networks see the same sequence, one from its start and one from its end, and their outputs are added:
//!
//! $$ y^t = \overrightarrow{y}^t + \overleftarrow{y}^t. $$
//!
//! The error at y is then the error of both, and each learns from it as if it were alone, with the other's outputs as a constant: any
//! estimator of a [`Network`] is one of a [`Bidirectional`]. For BPTT this is the exact gradient; for e-prop it drops what e-prop
//! drops, in each direction of time. The leaky readout of each runs in its own direction. This is a readout of both directions as in the
//! bidirectional networks of Bellec et al. 2019 (arXiv:1901.09049), after Graves and Schmidhuber 2005 (doi:10.1016/j.neunet.2005.06.042),
//! but for the filter of the spikes, which there runs forward for both.
//!
//! The sequence must have ended before it is learnt from: there is no streaming.

use burn::module::Module;
use burn::optim::GradientsAccumulator;

use crate::batch::Batch;
use crate::cell::Cell;
use crate::estimator::{Estimate, Evaluation, GradientEstimator, evaluate};
use crate::loss::Objective;
use crate::network::Network;

/// Two networks that share a task, one for each direction of time.
#[derive(Module, Debug)]
pub struct Bidirectional<C: Module> {
    /// Goes from the start of a sequence to its end.
    pub forward: Network<C>,
    /// Goes from the end of a sequence to its start.
    pub backward: Network<C>,
}

impl<C: Cell> Bidirectional<C> {
    /// Two networks side by side.
    ///
    /// # Panics
    ///
    /// If they differ in inputs or outputs.
    pub fn new(forward: Network<C>, backward: Network<C>) -> Self {
        let sizes = |network: &Network<C>| [network.inputs(), network.outputs()];
        let (given, expected) = (sizes(&backward), sizes(&forward));
        assert_eq!(
            given, expected,
            "a backward network of {given:?} beside a forward one of {expected:?}, [inputs, outputs]"
        );
        Self { forward, backward }
    }

    /// Loss, outputs and firing rates of a batch; the rates are those of the forward network's layers, then of the backward one's.
    ///
    /// # Panics
    ///
    /// As [`evaluate`].
    pub fn evaluate(&self, batch: &Batch, objective: &Objective) -> Evaluation {
        let found = evaluate(&self.backward, &batch.reversed(), objective);
        let backward = batch.flip(found.outputs);
        let forward = evaluate(&self.forward, &batch.clone().adding(backward.clone()), objective);
        Evaluation {
            loss: forward.loss,
            outputs: forward.outputs + backward,
            firing_rates: [forward.firing_rates, found.firing_rates].concat(),
        }
    }

    /// Gradients of both networks, found by `estimator` for one after the other. The estimate's outputs are those of both together, and
    /// its firing rates as in [`evaluate`](Self::evaluate).
    ///
    /// # Panics
    ///
    /// As the estimator.
    pub fn estimate(&self, estimator: &mut impl GradientEstimator<C>, batch: &Batch) -> Estimate {
        let reversed = batch.reversed();
        let run = |network: &Network<C>, batch: &Batch| network.valid().forward(batch.inputs().clone());
        let forward = run(&self.forward, batch);
        let backward = run(&self.backward, &reversed);
        let seen = [
            batch.clone().adding(batch.flip(backward.clone())),
            reversed.adding(batch.flip(forward.clone())),
        ];
        let of_forward = estimator.estimate(&self.forward, &seen[0]);
        let of_backward = estimator.estimate(&self.backward, &seen[1]);
        let mut gradients = GradientsAccumulator::new();
        gradients.accumulate(self, of_forward.gradients);
        gradients.accumulate(self, of_backward.gradients);
        Estimate {
            loss: of_forward.loss,
            rate_loss: of_forward.rate_loss + of_backward.rate_loss,
            outputs: Some(forward + batch.flip(backward)),
            firing_rates: [of_forward.firing_rates, of_backward.firing_rates].concat(),
            gradients: gradients.grads(),
        }
    }

    /// What the estimator does to both networks after an optimizer has updated them.
    pub fn after_update(self, estimator: &impl GradientEstimator<C>) -> Self {
        let Self { forward, backward } = self;
        Self { forward: estimator.after_update(forward), backward: estimator.after_update(backward) }
    }
}
