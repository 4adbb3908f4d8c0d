//! e-prop 2: an outer loop that teaches an error module what to tell a learner.
//!
//! A learner sees a task once, in a training trial. An error module watches, and its outputs L are the learning signals of one
//! e-prop update of the learner's input and recurrent weights,
//!
//! $$ \Delta W_{ji} = -\eta \sum_t L_j^t e_{ji}^t. $$
//!
//! How well the learner does in a test trial after that, over a family of tasks, is what the outer loop minimises, with
//! respect to the learner's initial weights, its readout, the error module and η (Bellec et al. 2019, arXiv:1901.09049,
//! "e-prop 2"). Each sequence of a batch is a task, with an update of its own.
//!
//! | part | here |
//! |---|---|
//! | learner, error module, η | [`MetaLearner`], a Burn module |
//! | outer loss and its gradient | [`OneShot::estimate`], for any Burn optimizer |
//! | one update, outside of any graph | [`OneShot::adapt`] |
//! | the module's signal for [`Eprop`](crate::estimator::Eprop), in a stream too | [`Learned`](crate::signal::Learned) |
//!
//! # The gradient of the outer loss
//!
//! The update is differentiated through traces that are never held. The adjoint of the trace equations (see
//! [`eligibility`](crate::eligibility)) turns L into weights w of the presynaptic values, in neuron space, so that
//! $\Delta W_b = -\eta \sum_t w_b^t \otimes pre_b^t$ is one matrix product for each task b. All of this, the pseudo-derivatives
//! and thereby the second derivative of a spike included, lies in one graph of Burn's first-order autodiff: training trial,
//! error module, update and test trial. It takes O(batch · (T · neurons + pre · post)) of memory; explicit traces would take T
//! times as much for the synapses.

mod one_shot;

pub use one_shot::{Adaptation, MetaEstimate, OneShot};

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use crate::cell::Cell;
use crate::init::float_param;
use crate::network::Network;

/// A learner with its error module.
#[derive(Module, Debug)]
pub struct MetaLearner<C: Module, E: Module> {
    /// The learner, with the weights from which it starts into each task. Those that are frozen stay as they are: neither the
    /// update nor the outer loop changes them.
    pub learner: Network<C>,
    /// The error module: its inputs are the batch's [teaching](crate::Batch::with_teaching), the learner's neurons and the
    /// learner's inputs, side by side; its outputs are L.
    pub module: Network<E>,
    /// ln η of the input weights, of the recurrent weights and of the bias, `[3]`.
    pub log_rates: Param<Tensor<1>>,
}

impl<C: Cell, E: Cell> MetaLearner<C, E> {
    /// A learner with an error module, and η for a start.
    ///
    /// # Panics
    ///
    /// If the module has not as many outputs as the learner has neurons, or `learning_rate` is not a finite number greater
    /// than 0.
    #[track_caller]
    pub fn new(learner: Network<C>, module: Network<E>, learning_rate: f64) -> Self {
        let (outputs, neurons) = (module.outputs(), learner.neurons());
        assert_eq!(
            outputs, neurons,
            "an error module with {outputs} outputs for a learner with {neurons} neurons"
        );
        assert!(learning_rate.is_finite() && learning_rate > 0.0, "a learning rate of {learning_rate}");
        let log_rates = float_param(vec![learning_rate.ln(); 3], [3], &learner.options());
        Self { learner, module, log_rates }
    }
}
