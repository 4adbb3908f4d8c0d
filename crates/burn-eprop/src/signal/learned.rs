//! The output of an error module: a network that has learned what to tell another.

use burn::module::Module;
use burn::tensor::Tensor;

use super::{LearningSignal, SignalContext};
use crate::carried::{Archive, Carried};
use crate::cell::Cell;
use crate::estimator::window::{Window, WindowOptions};
use crate::network::{Network, NetworkState};

/// L^t is the output of an error module (Bellec et al. 2019, arXiv:1901.09049, "e-prop 2"): a recurrent network that sees, side by
/// side, what the batch tells of the [target](crate::Batch::with_teaching), the outputs of the learner's neurons and the
/// learner's inputs. It does not see the error. It multiplies the eligibility traces themselves, which the readout does not filter.
///
/// It stays as it is while the learner learns. What makes it useful is an outer loop over many tasks, see
/// [`OneShot`](crate::meta::OneShot).
#[derive(Debug, Clone)]
pub struct Learned<E: Cell> {
    module: Network<E>,
    /// After the last chunk; `None` before the first.
    state: Option<NetworkState>,
}

impl<E: Cell> Learned<E> {
    /// The signal of an error module, whose outputs are as many as the learner's neurons.
    pub fn new(module: &Network<E>) -> Self {
        Self { module: module.valid(), state: None }
    }
}

impl<E: Cell> LearningSignal for Learned<E> {
    /// # Panics
    ///
    /// If the batch tells nothing of the target, or the module's inputs or outputs are not as many as there are.
    #[track_caller]
    fn signal(&mut self, context: &SignalContext) -> Tensor<3> {
        let inputs = module_inputs(&self.module, context);
        let state = self.state.take().unwrap_or_else(|| self.module.initial_state(inputs.dims()[0]));
        let (signal, state) = self.module.forward_from(inputs, state);
        self.state = Some(state);
        signal
    }

    fn speaks_of_outputs(&self) -> bool {
        false
    }

    fn separates_sequences(&self) -> bool {
        true
    }

    fn visit(&mut self, archive: &mut Archive) {
        let mut batch = self.state.as_ref().map_or(0.0, |state| state.output.dims()[0] as f64);
        archive.number("batch", &mut batch);
        if batch == 0.0 {
            return self.state = None;
        }
        let module = &self.module;
        let state = self.state.get_or_insert_with(|| module.initial_state(archive.rows("module.output")));
        archive.part("module", |archive| state.visit(archive));
    }
}

/// L [steps, batch, neurons] of a whole sequence, in the autodiff graph of the module and of what it sees; and the module's run.
pub(crate) fn teach<E: Cell>(module: &Network<E>, context: &SignalContext) -> Window {
    let inputs = module_inputs(module, context).swap_dims(0, 1);
    let state = module.initial_state(inputs.dims()[1]);
    Window::run(module, &module.weights(), state, &inputs, WindowOptions::PLAIN)
}

/// What the module sees, [batch, time, inputs].
fn module_inputs<E: Cell>(module: &Network<E>, context: &SignalContext) -> Tensor<3> {
    let teaching = context.teaching.clone();
    let teaching = teaching.expect("a learned signal needs a batch with teaching: `Batch::with_teaching`");
    let inputs = Tensor::cat(vec![teaching, context.neurons.clone(), context.inputs.clone()], 2);
    let (given, expected) =
        ([inputs.dims()[2], context.neurons.dims()[2]], [module.inputs(), module.outputs()]);
    assert_eq!(
        given, expected,
        "teaching, neurons and inputs of a learner, and its neurons {given:?}, for an error module with [inputs, outputs] {expected:?}"
    );
    inputs
}
