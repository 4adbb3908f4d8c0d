//! What the examples share: short tasks, sequences of unequal lengths, and the count of right answers.

use burn::tensor::Tensor;
use burn::tensor::activation::softmax;
use burn_eprop::Batch;

pub mod evidence;
pub mod tones;
pub mod utterances;

/// Trials with what is to be told of them.
#[derive(Debug)]
pub struct Trials {
    /// [trial, time, input].
    pub inputs: Tensor<3>,
    /// 1 for the class of the trial and 0 for others, [trial, time, class].
    pub targets: Tensor<3>,
    /// 1 at the last steps, in which the network is asked, and 0 before, [trial, time].
    pub mask: Tensor<2>,
}

impl Trials {
    /// The trials as an estimator takes them.
    pub fn batch(&self) -> Batch {
        Batch::new(self.inputs.clone(), self.targets.clone()).with_mask(self.mask.clone())
    }

    /// The share of trials whose class the outputs tell, [trial, time, class].
    pub fn accuracy(&self, outputs: Tensor<3>) -> f64 {
        accuracy(outputs, self.targets.clone(), self.mask.clone())
    }
}

/// The share of sequences whose class, that with the largest softmax over all steps that count, is the target. Outputs and targets are
/// [batch, time, class], the mask is [batch, time].
pub fn accuracy(outputs: Tensor<3>, targets: Tensor<3>, mask: Tensor<2>) -> f64 {
    let class = |scores: Tensor<3>| (scores * mask.clone().unsqueeze_dim(2)).sum_dim(1).argmax(2);
    class(softmax(outputs, 2)).equal(class(targets)).float().mean().into_scalar()
}
