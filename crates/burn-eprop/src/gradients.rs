//! Gradients of all parameters of a module together.

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

use crate::batch::check_finite;
use crate::error::NonFinite;

/// Euclidean norm of the gradients of all of a module's parameters together.
///
/// # Errors
///
/// The first gradient that is not finite.
pub fn global_norm<M: Module>(module: &M, gradients: &GradientsParams) -> Result<f64, NonFinite> {
    let (norm, non_finite) = survey(module, gradients, Vec::new());
    non_finite.map_or(Ok(norm), Err)
}

/// The gradients of a module's parameters, all multiplied by a factor. A clip of their [norm](global_norm), all together, keeps
/// their direction; an optimizer's own clips each parameter's.
pub fn scale<M: Module>(module: &M, gradients: GradientsParams, factor: f64) -> GradientsParams {
    let mut scaling = Scaling { gradients, factor };
    module.visit(&mut scaling);
    scaling.gradients
}

struct Scaling {
    gradients: GradientsParams,
    factor: f64,
}

impl ModuleVisitor for Scaling {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.remove::<D>(param.id) {
            self.gradients.register(param.id, gradient.mul_scalar(self.factor));
        }
    }
}

/// The norm of all gradients together but of some, and the first gradient that is not finite.
pub(crate) fn survey<M: Module>(
    module: &M,
    gradients: &GradientsParams,
    aside: Vec<ParamId>,
) -> (f64, Option<NonFinite>) {
    let mut survey = Survey { gradients, aside, path: Vec::new(), norm: 0.0, non_finite: None };
    module.visit(&mut survey);
    (survey.norm, survey.non_finite)
}

/// Euclidean norm, also where squares overflow the tensor's type.
fn norm<const D: usize>(tensor: &Tensor<D>) -> f64 {
    let root = |tensor: Tensor<D>| (tensor.clone() * tensor).sum().into_scalar::<f64>().sqrt();
    let norm = root(tensor.clone());
    if norm.is_finite() {
        return norm;
    }
    let largest = tensor.clone().abs().max().into_scalar::<f64>();
    largest * root(tensor.clone().mul_scalar(1.0 / largest))
}

struct Survey<'a> {
    gradients: &'a GradientsParams,
    /// What does not count in the norm.
    aside: Vec<ParamId>,
    path: Vec<String>,
    norm: f64,
    non_finite: Option<NonFinite>,
}

impl ModuleVisitor for Survey<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(gradient) = self.gradients.get::<D>(param.id) else {
            return;
        };
        let norm = norm(&gradient);
        if self.non_finite.is_none() && !norm.is_finite() {
            let what = format!("the gradient of `{}`", self.path.join("."));
            self.non_finite = check_finite(&what, &gradient).err();
        }
        if !self.aside.contains(&param.id) {
            self.norm = self.norm.hypot(norm);
        }
    }
}
