//! Gradients of all parameters of a module together.

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Tensor};

use crate::batch::check_finite;
use crate::error::NonFinite;
use crate::kernel;

/// Euclidean norm of the gradients of all of a module's parameters together.
///
/// # Errors
///
/// The first weight, else the first gradient, that is not finite.
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

/// Whether a parameter is trained: it is not where Burn's `freeze`, `no_grad` or `set_require_grad(false)` was called on it or on a module around it.
pub(crate) fn is_trained<const D: usize>(param: &Param<Tensor<D>>) -> bool {
    match param.val().is_autodiff() {
        true => param.val().is_require_grad(),
        // A parameter without autodiff still knows what it will be on an autodiff device.
        false => param.clone().train().val().is_require_grad(),
    }
}

/// Registers the gradient of a parameter, if that is trained: optimizers apply all that is registered.
pub(crate) fn register<const D: usize>(
    gradients: &mut GradientsParams,
    param: &Param<Tensor<D>>,
    gradient: Tensor<D>,
) {
    if is_trained(param) {
        gradients.register(param.id, gradient);
    }
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

/// The norm of all gradients together but of some, and the first weight, else the first gradient, that is not finite.
///
/// The gradients alone do not tell of every infinite weight: a neuron that always spikes has a finite output, and its
/// pseudo-derivative is 0.
pub(crate) fn survey<M: Module>(
    module: &M,
    gradients: &GradientsParams,
    aside: Vec<ParamId>,
) -> (f64, Option<NonFinite>) {
    let mut survey = Survey {
        gradients,
        aside,
        path: Vec::new(),
        norm: 0.0,
        non_finite: None,
        non_finite_weight: None,
        counts: Vec::new(),
    };
    module.visit(&mut survey);
    let weight = survey.non_finite_weight.or_else(|| non_finite_weight(survey.counts));
    (survey.norm, weight.or(survey.non_finite))
}

/// The first of some named weights with values that are not finite, given their number `[1]`.
fn non_finite_weight(counts: Vec<(String, Tensor<1>)>) -> Option<NonFinite> {
    let (names, counts): (Vec<_>, Vec<_>) = counts.into_iter().unzip();
    if counts.is_empty() {
        return None;
    }
    // One transfer for all of them: the device is waited for once.
    let counts: Vec<f32> = Tensor::cat(counts, 0).into_data().try_into_vec().expect("float32");
    let first = counts.iter().position(|&count| count > 0.0)?;
    Some(weight_error(&names[first]))
}

fn weight_error(name: &str) -> NonFinite {
    NonFinite { what: format!("the weight `{name}`") }
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
    /// The first weight that is not finite, on a CPU.
    non_finite_weight: Option<NonFinite>,
    /// Elsewhere, by name, how many of a weight's values are not finite, `[1]`.
    counts: Vec<(String, Tensor<1>)>,
}

impl Survey<'_> {
    fn look_at_weight<const D: usize>(&mut self, weight: &Tensor<D>) {
        if !kernel::is_on_cpu(weight) {
            let non_finite = weight.clone().is_finite().bool_not().float().cast(DType::F32).sum();
            self.counts.push((self.path.join("."), non_finite));
        } else if self.non_finite_weight.is_none() && !kernel::is_finite(weight.clone()) {
            self.non_finite_weight = Some(weight_error(&self.path.join(".")));
        }
    }
}

impl ModuleVisitor for Survey<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.look_at_weight(&param.val().without_autodiff());
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
