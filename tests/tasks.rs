//! Random one-shot tasks that follow from a seed.

use burn::module::ParamId;
use burn::optim::GradientsParams;
use burn::tensor::{Tensor, TensorCreationOptions};
use burn_eprop::meta::{MetaLearner, OneShot};
use burn_eprop::{Batch, Cell, Network};

use crate::case::{Build, Case, Problem, uniform};
use crate::findings::values;

const TEACHING: usize = 3;
/// η.
pub const RATE: f64 = 0.05;

/// Learner, error module and tasks of a case.
#[derive(Debug, Clone)]
pub struct Tasks<C: Cell> {
    /// What they were made from.
    pub case: Case,
    /// Learner and error module.
    pub meta: MetaLearner<C, C>,
    /// The training trials.
    pub training: Batch,
    /// Inputs of the test trials.
    pub test_inputs: Tensor<3>,
    /// Their targets.
    pub test_targets: Tensor<3>,
}

impl<C: Cell> Tasks<C> {
    /// The tasks of a case.
    pub fn new(case: Case, build: Build<C>, options: &TensorCreationOptions) -> Self {
        let Problem { network: learner, batch, .. } = Problem::new(&case, build, options);
        let neurons = learner.neurons();
        let of_module = Case {
            neurons: vec![5],
            inputs: TEACHING + neurons + case.inputs,
            outputs: neurons,
            ..case.clone()
        };
        let module = Problem::new(&of_module, build, options).network;
        let rng = &mut case.rng(7);
        let shape = [case.batch, case.steps];
        let teaching = uniform([shape[0], shape[1], TEACHING], -1.0..1.0, rng, options);
        Self {
            meta: MetaLearner::new(learner, module, RATE),
            training: batch.with_teaching(teaching),
            test_inputs: uniform([shape[0], shape[1] + 3, case.inputs], -1.0..1.5, rng, options),
            test_targets: uniform([shape[0], shape[1] + 3, case.outputs], 0.0..1.0, rng, options),
            case,
        }
    }

    /// How they are learned from one presentation.
    pub fn one_shot(&self) -> OneShot<C> {
        OneShot::new(self.case.objective)
    }

    /// What the outer loop minimises.
    pub fn loss(&self, outputs: Tensor<3>) -> Tensor<1> {
        let difference = outputs - self.test_targets.clone();
        (difference.clone() * difference).mean().mul_scalar(0.5)
    }

    /// The loss, and the gradients of all parameters.
    pub fn estimate(&self, rule: &OneShot<C>) -> (f64, GradientsParams) {
        let test_inputs = self.test_inputs.clone();
        let found = rule.estimate(&self.meta, &self.training, test_inputs, |outputs| self.loss(outputs));
        (found.loss + found.rate_loss, found.gradients)
    }

    /// Every trained parameter with its name.
    pub fn parameters(&self) -> Vec<(String, ParamId)> {
        let network = |name: &str, network: &Network<C>| {
            let mut parameters = Vec::new();
            for (index, layer) in network.layers.iter().enumerate() {
                parameters.push((format!("{name}.{index}.w_in"), layer.w_in.id));
                parameters.push((format!("{name}.{index}.w_rec"), layer.w_rec.id));
                parameters.extend(layer.bias.iter().map(|bias| (format!("{name}.{index}.bias"), bias.id)));
            }
            parameters.push((format!("{name}.w_out"), network.readout.weight.id));
            parameters.extend(network.readout.bias.iter().map(|bias| (format!("{name}.b_out"), bias.id)));
            parameters
        };
        let rates = ("log_rates".to_owned(), self.meta.log_rates.id);
        let of_module = network("module", &self.meta.module);
        network("learner", &self.meta.learner).into_iter().chain(of_module).chain([rates]).collect()
    }
}

/// The gradient of a parameter of this name.
pub fn gradient(gradients: &GradientsParams, name: &str, id: ParamId) -> Option<Vec<f64>> {
    match name.contains("w_") {
        true => gradients.get::<2>(id).map(|gradient| values(&gradient)),
        false => gradients.get::<1>(id).map(|gradient| values(&gradient)),
    }
}
