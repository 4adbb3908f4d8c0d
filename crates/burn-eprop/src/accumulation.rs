//! Gradients of several batches, together.

use std::collections::{HashMap, HashSet};

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

use crate::carried::Archive;

/// The weighted sum of the gradients of batches that wait for their update.
#[derive(Debug, Clone, Default)]
pub(crate) struct Accumulation {
    /// By parameter, in one row.
    gradients: HashMap<ParamId, Tensor<1>>,
    /// The sum of the batches' weights.
    weight: f64,
    batches: usize,
}

impl Accumulation {
    /// How many batches wait.
    pub(crate) fn batches(&self) -> usize {
        self.batches
    }

    /// Adds the gradients of a batch, times its weight.
    pub(crate) fn add<M: Module>(&mut self, module: &M, gradients: GradientsParams, weight: f64) {
        module.visit(&mut Adding { sum: &mut self.gradients, gradients, weight });
        self.weight += weight;
        self.batches += 1;
    }

    /// The sum, divided by the sum of the weights if the `mean` is asked for; nothing waits after that.
    pub(crate) fn take<M: Module>(&mut self, module: &M, mean: bool) -> GradientsParams {
        let Self { gradients, weight, .. } = std::mem::take(self);
        // Batches in which no step counts have no gradient, whatever it is divided by.
        let factor = if mean && weight != 0.0 { 1.0 / weight } else { 1.0 };
        let mut taking = Taking { sum: gradients, factor, gradients: GradientsParams::new() };
        module.visit(&mut taking);
        taking.gradients
    }

    /// Names what waits for an update of a module, to be saved or filled in.
    pub(crate) fn visit<M: Module>(&mut self, module: &M, archive: &mut Archive) {
        archive.number("weight", &mut self.weight);
        let mut batches = self.batches as f64;
        archive.number("batches", &mut batches);
        self.batches = batches as usize;
        module.visit(&mut Naming { sum: &mut self.gradients, named: HashSet::new(), archive });
    }
}

struct Naming<'a> {
    sum: &'a mut HashMap<ParamId, Tensor<1>>,
    /// A parameter may be in several places of a module.
    named: HashSet<ParamId>,
    archive: &'a mut Archive,
}

impl ModuleVisitor for Naming<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !self.named.insert(param.id) {
            return;
        }
        let mut gradient = self.sum.remove(&param.id);
        let size = param.val().dims().iter().product();
        self.archive.optional(&format!("gradients.{}", param.id.val()), &mut gradient, [size]);
        self.sum.extend(gradient.map(|gradient| (param.id, gradient)));
    }
}

struct Adding<'a> {
    sum: &'a mut HashMap<ParamId, Tensor<1>>,
    gradients: GradientsParams,
    weight: f64,
}

impl ModuleVisitor for Adding<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(gradient) = self.gradients.remove::<D>(param.id) else { return };
        let part = gradient.reshape([-1]).mul_scalar(self.weight);
        let sum = match self.sum.remove(&param.id) {
            Some(sum) => sum + part,
            None => part,
        };
        self.sum.insert(param.id, sum);
    }
}

struct Taking {
    sum: HashMap<ParamId, Tensor<1>>,
    factor: f64,
    gradients: GradientsParams,
}

impl ModuleVisitor for Taking {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(sum) = self.sum.remove(&param.id) {
            let gradient = sum.mul_scalar(self.factor).reshape(param.val().dims());
            self.gradients.register(param.id, gradient);
        }
    }
}
