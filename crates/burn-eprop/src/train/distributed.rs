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

/// The gradients as a backward pass gives them, and 0 where there are none: all devices exchange the same parameters.
///
/// # Panics
///
/// If there is a gradient of a parameter that requires none.
pub(super) fn through_backward<M: Module>(module: &M, gradients: GradientsParams) -> GradientsParams {
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
        self.0 |= param.val().is_distributed();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::LstmConfig;
    use crate::estimator::Bptt;
    use crate::{Batch, GradientEstimator, Loss, NetworkConfig, Objective};
    use burn::tensor::{Device, Distribution};

    #[test]
    fn a_backward_pass_gives_the_gradients_that_it_was_given() {
        let device = Device::flex().autodiff();
        let network = NetworkConfig::new(3, 2).init(vec![LstmConfig::new(4).init(&device)], &device);
        let inputs = Tensor::random([2, 5, 3], Distribution::Default, &device);
        let batch = Batch::new(inputs, Tensor::ones([2, 5, 2], &device));
        let estimate = || {
            let mut bptt = Bptt::new(Objective::sum(Loss::MeanSquaredError));
            bptt.estimate(&network, &batch).gradients
        };
        let (given, mut expected) = (through_backward(&network, estimate()), estimate());
        let layer = &network.layers[0];
        for id in [layer.w_in.id, layer.w_rec.id, network.readout.weight.id] {
            let data = |gradients: &GradientsParams| gradients.get::<2>(id).unwrap().into_data();
            assert_eq!(data(&given), data(&expected));
        }

        let left_out = layer.w_in.id;
        expected.remove::<2>(left_out);
        let given = through_backward(&network, expected);
        let zeros = given.get::<2>(left_out).expect("a gradient for each parameter");
        assert_eq!(zeros.abs().max().into_scalar::<f32>(), 0.0);
        assert!(!is_distributed(&network));
    }
}
