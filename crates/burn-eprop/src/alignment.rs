//! How an estimated gradient lies to another one: what an approximation keeps of the exact gradient.
//!
//! | | |
//! |---|---|
//! | cosine | $\langle g, h \rangle / (\lVert g \rVert \lVert h \rVert)$: 1 where both point the same way, 0 where g tells nothing of h |
//! | norm ratio | $\lVert g \rVert / \lVert h \rVert$: above 1 where g is longer |

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

/// A gradient beside its reference.
#[derive(Debug, Clone, PartialEq)]
pub struct Alignment {
    /// The parameter by its path in the module, as `layers.0.w_rec`.
    pub parameter: String,
    /// The cosine of the angle between both; NaN where one of them is 0.
    pub cosine: f64,
    /// The norm of the gradient in units of the reference's; NaN or infinite where that is 0.
    pub norm_ratio: f64,
}

/// The alignment of each parameter that has both gradients, in the module's order. Sums are float64.
pub fn alignment<M: Module>(
    module: &M,
    gradients: &GradientsParams,
    reference: &GradientsParams,
) -> Vec<Alignment> {
    let mut comparison = Comparison { gradients, reference, path: Vec::new(), found: Vec::new() };
    module.visit(&mut comparison);
    comparison.found
}

struct Comparison<'a> {
    gradients: &'a GradientsParams,
    reference: &'a GradientsParams,
    path: Vec<String>,
    found: Vec<Alignment>,
}

impl ModuleVisitor for Comparison<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let both = (self.gradients.get::<D>(param.id), self.reference.get::<D>(param.id));
        let (Some(gradient), Some(reference)) = both else {
            return;
        };
        let values = |tensor: Tensor<D>| tensor.into_data().iter::<f64>().collect::<Vec<f64>>();
        let (gradient, reference) = (values(gradient), values(reference));
        let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let norms = [&gradient, &reference].map(|values| product(values, values).sqrt());
        self.found.push(Alignment {
            parameter: self.path.join("."),
            cosine: product(&gradient, &reference) / (norms[0] * norms[1]),
            norm_ratio: norms[0] / norms[1],
        });
    }
}
