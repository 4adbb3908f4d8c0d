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
use burn::tensor::Tensor;

use crate::batch::Batch;
use crate::cell::Cell;
use crate::estimator::{Estimate, Evaluation, GradientEstimator, evaluate};
use crate::loss::Objective;
use crate::model::RecurrentModel;
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
    #[track_caller]
    pub fn new(forward: Network<C>, backward: Network<C>) -> Self {
        let sizes = |network: &Network<C>| [network.inputs(), network.outputs()];
        let (given, expected) = (sizes(&backward), sizes(&forward));
        assert_eq!(
            given, expected,
            "a backward network of {given:?} beside a forward one of {expected:?}, [inputs, outputs]"
        );
        Self { forward, backward }
    }

    /// y of each network by itself, [batch, time, outputs], both in the batch's order of time, and the batch as the backward network sees it.
    fn outputs(&self, batch: &Batch) -> ([Tensor<3>; 2], Batch) {
        let reversed = batch.reversed();
        let run = |network: &Network<C>, batch: &Batch| {
            network.valid().forward(batch.inputs().clone().without_autodiff())
        };
        let (forward, backward) = (run(&self.forward, batch), run(&self.backward, &reversed));
        ([forward, batch.flip(backward)], reversed)
    }
}

/// Firing rates are those of the forward network's layers, then of the backward one's.
impl<C: Cell> RecurrentModel for Bidirectional<C> {
    type Cell = C;

    fn networks(&self) -> Vec<&Network<C>> {
        vec![&self.forward, &self.backward]
    }

    /// Each with the other's outputs added to its own.
    fn views(&self, batch: &Batch) -> Vec<Batch> {
        let ([forward, backward], reversed) = self.outputs(batch);
        vec![batch.clone().adding(backward), reversed.adding(batch.flip(forward))]
    }

    #[track_caller]
    fn evaluate(&self, batch: &Batch, objective: &Objective) -> Evaluation {
        let found = evaluate(&self.backward, &batch.reversed(), objective);
        let backward = batch.flip(found.outputs);
        let forward = evaluate(&self.forward, &batch.clone().adding(backward.clone()), objective);
        Evaluation {
            loss: forward.loss,
            outputs: forward.outputs + backward,
            firing_rates: [forward.firing_rates, found.firing_rates].concat(),
        }
    }

    /// The estimator goes through one network after the other. The estimate's outputs, where it is asked for them, are those of both together.
    #[track_caller]
    fn estimate(&self, estimator: &mut impl GradientEstimator<C>, batch: &Batch) -> Estimate {
        let ([forward, backward], reversed) = self.outputs(batch);
        let of_forward = estimator.estimate(&self.forward, &batch.clone().adding(backward.clone()));
        let of_backward = estimator.estimate(&self.backward, &reversed.adding(batch.flip(forward)));
        let mut gradients = GradientsAccumulator::new();
        gradients.accumulate(self, of_forward.gradients);
        gradients.accumulate(self, of_backward.gradients);
        Estimate {
            loss: of_forward.loss,
            rate_loss: of_forward.rate_loss + of_backward.rate_loss,
            voltage_loss: of_forward.voltage_loss + of_backward.voltage_loss,
            outputs: of_forward.outputs.map(|forward| forward + backward),
            firing_rates: [of_forward.firing_rates, of_backward.firing_rates].concat(),
            gradients: gradients.grads(),
        }
    }

    fn after_update(self, estimator: &impl GradientEstimator<C>) -> Self {
        let Self { forward, backward } = self;
        Self { forward: estimator.after_update(forward), backward: estimator.after_update(backward) }
    }
}
