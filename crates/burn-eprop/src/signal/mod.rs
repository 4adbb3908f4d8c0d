//! Learning signals: what tells a neuron, at every step, how the network should have done.
//!
//! e-prop replaces the exact dE/dz_j^t by a signal that is available at time t,
//!
//! $$ L_j^t = \sum_k B_{jk}\, err_k^t $$
//!
//! with err the readout's own error (Bellec et al. 2019, arXiv:1901.09049, "e-prop 1"). Where B comes from
//! is the difference between the signals of this module; but for [`Learned`], which is the output of a network of its own
//! ("e-prop 2"). A new one is a type that implements [`LearningSignal`].

mod adaptive;
mod global;
mod learned;
mod random;
mod symmetric;

pub use adaptive::Adaptive;
pub use global::Global;
pub use learned::Learned;
pub(crate) use learned::teach;
pub use random::Random;
pub use symmetric::Symmetric;

use std::fmt::Debug;
use std::ops::Range;

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use dyn_clone::DynClone;

use crate::batch::BatchChunk;
use crate::carried::Archive;
use crate::cell::Cell;
use crate::gradients::is_trained;
use crate::kernel;
use crate::network::Network;

/// Numbers of outputs up to which a kernel is faster than a matrix product.
const FEW_OUTPUTS: usize = 16;

/// What a learning signal may look at in a chunk of steps. Tensors are [batch, time, feature].
#[derive(Debug, Clone)]
pub struct SignalContext {
    /// err = ∂E/∂y at the readout, [batch, time, outputs]; 0 where the loss does not count.
    pub error: Tensor<3>,
    /// y, the readout's outputs.
    pub outputs: Tensor<3>,
    /// y*, the targets.
    pub targets: Tensor<3>,
    /// x, the network's inputs.
    pub inputs: Tensor<3>,
    /// What a learned signal sees of the targets, [batch, time, values], where the batch has something.
    pub teaching: Option<Tensor<3>>,
    /// z, the outputs of all layers' neurons, [batch, time, neurons].
    pub neurons: Tensor<3>,
    /// The batch's mask, [batch, time, 1]; 0 behind a sequence's end.
    pub mask: Tensor<3>,
    /// The chunk's steps, counted from the start of the sequence.
    pub time: Range<usize>,
    /// W_out, [neurons, outputs].
    pub readout_weight: Tensor<2>,
    /// The network's feedback weights B, [neurons, outputs].
    pub feedback: Tensor<2>,
}

impl SignalContext {
    /// What there is to see of a chunk, given y, err and z, each [steps, batch, feature].
    pub(crate) fn new<C: Cell>(
        network: &Network<C>,
        chunk: &BatchChunk,
        [outputs, error, neurons]: [&Tensor<3>; 3],
        time: Range<usize>,
    ) -> Self {
        let batch_major = |tensor: &Tensor<3>| tensor.clone().swap_dims(0, 1);
        Self {
            error: batch_major(error),
            outputs: batch_major(outputs),
            targets: batch_major(&chunk.targets),
            inputs: batch_major(&chunk.inputs),
            teaching: chunk.teaching.as_ref().map(batch_major),
            neurons: batch_major(neurons),
            mask: batch_major(&chunk.mask),
            time,
            readout_weight: network.readout.weight.val(),
            feedback: network.feedback.val(),
        }
    }

    /// L, [steps, batch, neurons of all layers].
    pub(crate) fn signal(&self, signal: &mut dyn LearningSignal) -> Tensor<3> {
        let signal = signal.signal(self);
        let (given, expected) = (signal.dims(), self.neurons.dims());
        assert_eq!(
            given, expected,
            "learning signal {given:?} for neurons [batch, time, neurons] {expected:?}"
        );
        signal.swap_dims(0, 1)
    }

    /// L = Σ_k B_jk err_k for feedback weights B [neurons, outputs].
    pub fn broadcast(&self, feedback: Tensor<2>) -> Tensor<3> {
        let [batch, time, outputs] = self.error.dims();
        // A product with so few columns gains little from being one.
        if outputs <= FEW_OUTPUTS && kernel::is_on_cpu(&self.error) {
            return kernel::broadcast(self.error.clone(), feedback);
        }
        let neurons = feedback.dims()[0];
        let rows = self.error.clone().reshape([batch * time, outputs]);
        rows.matmul(feedback.transpose()).reshape([batch, time, neurons])
    }
}

/// A rule that turns the readout's error into a signal for each neuron.
///
/// A signal may remember earlier chunks in its fields: each sequence starts with a clone of the signal that
/// the estimator was given, and a stream carries it in its state.
pub trait LearningSignal: Debug + Send + Sync + DynClone {
    /// L, [batch, time, neurons of all layers], without the readout's factor.
    ///
    /// Chunks come in the order of time.
    fn signal(&mut self, context: &SignalContext) -> Tensor<3>;

    /// Whether L is 0 in a chunk whose error is 0, so that it need not be asked for there.
    fn follows_error(&self) -> bool {
        false
    }

    /// Whether L speaks of the readout's error of the moment, to which neurons have contributed through the readout's filter: then
    /// it multiplies the traces as the readout filters them, g F_κ(e). Otherwise it multiplies e itself.
    fn speaks_of_outputs(&self) -> bool {
        true
    }

    /// Whether L of a sequence follows from that sequence alone, so that those of a batch may be gone through one after
    /// the other, each with a clone of the signal; [`feedback_gradient`](Self::feedback_gradient) is then asked of one
    /// of the clones.
    fn separates_sequences(&self) -> bool {
        false
    }

    /// Names what the signal remembers, so that it is saved and resumed with a stream; nothing by default.
    fn visit(&mut self, _archive: &mut Archive) {}

    /// The gradient of the feedback weights, given that of W_out, [neurons, outputs]; `None` where
    /// they are fixed.
    fn feedback_gradient(&self, _readout_gradient: &Tensor<2>) -> Option<Tensor<2>> {
        None
    }

    /// By how much W_out and B shrink after each update: both are multiplied by 1 − decay.
    fn weight_decay(&self) -> f64 {
        0.0
    }
}

dyn_clone::clone_trait_object!(LearningSignal);

/// Registers what a signal says of the feedback weights.
pub(crate) fn register_feedback<C: Module>(
    signal: &dyn LearningSignal,
    network: &Network<C>,
    readout_gradient: &Tensor<2>,
    gradients: &mut GradientsParams,
) {
    if let Some(gradient) = signal.feedback_gradient(readout_gradient) {
        gradients.register(network.feedback.id, gradient);
    }
}

/// Shrinks W_out, unless it is frozen, and B as a signal asks for.
pub(crate) fn decay_weights<C: Cell>(signal: &dyn LearningSignal, mut network: Network<C>) -> Network<C> {
    let decay = signal.weight_decay();
    if decay == 0.0 {
        return network;
    }
    // A leaf again, as an optimizer leaves its parameters.
    let shrink = |weights: Tensor<2>| {
        let (autodiff, trained) = (weights.is_autodiff(), weights.is_require_grad());
        let shrunk = weights.without_autodiff().mul_scalar(1.0 - decay);
        match (autodiff, trained) {
            (true, true) => shrunk.autodiff().require_grad(),
            (true, false) => shrunk.autodiff(),
            (false, _) => shrunk,
        }
    };
    if is_trained(&network.readout.weight) {
        network.readout.weight = network.readout.weight.map(shrink);
    }
    network.feedback = network.feedback.map(shrink);
    network
}
