//! Gradients where several devices train one model.
//!
//! Under Burn's distributed data parallel, gradients are exchanged within autodiff's backward pass, parameter by parameter. Those that were
//! found without one are sent through it: Σ ⟨w, g⟩ with constant g has the gradient g.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

/// Whether Burn exchanges the gradients of a module's parameters.
pub(super) fn is_distributed<M: Module>(module: &M) -> bool {
    let mut marks = Marks(false);
    module.visit(&mut marks);
    marks.0
}

/// The gradients as a backward pass of autodiff gives them, and 0 where there are none: all devices exchange the same parameters. A
/// [`TrainableModel`](super::TrainableModel) does so where Burn has marked its weights.
///
/// # Panics
///
/// If there is a gradient of a parameter that requires none.
#[track_caller]
pub fn through_backward<M: Module>(module: &M, gradients: GradientsParams) -> GradientsParams {
    let mut products = Products { gradients, sum: None };
    module.visit(&mut products);
    match products.sum {
        Some(sum) => GradientsParams::from_grads(sum.backward(), module),
        None => GradientsParams::new(),
    }
}

struct Marks(bool);

impl ModuleVisitor for Marks {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let weight = param.val();
        self.0 |= weight.is_autodiff() && weight.is_distributed();
    }
}

struct Products {
    gradients: GradientsParams,
    sum: Option<Tensor<1>>,
}

impl ModuleVisitor for Products {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let weight = param.val();
        let gradient = self.gradients.remove::<D>(param.id);
        if !weight.is_require_grad() {
            assert!(gradient.is_none(), "feedback weights that learn are not exchanged among devices");
            return;
        }
        let gradient = gradient.unwrap_or_else(|| weight.clone().without_autodiff().zeros_like());
        let product = (weight * gradient.autodiff()).sum();
        self.sum = Some(match self.sum.take() {
            Some(sum) => sum + product,
            None => product,
        });
    }
}
