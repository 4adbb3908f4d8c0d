//! A learning signal that remembers.

use burn::tensor::Tensor;
use burn_eprop::carried::Archive;
use burn_eprop::signal::{LearningSignal, SignalContext};

/// The symmetric signal, smoothed over the steps before: L̃^t = ½ L̃^{t−1} + L^t.
#[derive(Debug, Clone, Default)]
pub struct Smoothed {
    last: Option<Tensor<3>>,
}

impl LearningSignal for Smoothed {
    fn signal(&mut self, context: &SignalContext) -> Tensor<3> {
        let steps = context.broadcast(context.readout_weight.clone()).split(1, 1);
        let smoothed = steps.into_iter().map(|step| {
            let smoothed = match self.last.take() {
                Some(last) => last.mul_scalar(0.5) + step,
                None => step,
            };
            self.last = Some(smoothed.clone());
            smoothed
        });
        Tensor::cat(smoothed.collect(), 1)
    }

    fn visit(&mut self, archive: &mut Archive) {
        archive.optional("last", &mut self.last, None);
    }
}
