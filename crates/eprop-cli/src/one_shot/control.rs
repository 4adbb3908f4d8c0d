//! What stands in for the error module.

use burn::tensor::Tensor;
use burn_eprop::signal::{LearningSignal, Random, SignalContext, Symmetric};
use eprop_tasks::arm_reaching::ArmReachingConfig;

use super::config::Teacher;
use super::family::Family;

/// The learning signal in place of the error module's, if there is one.
pub(super) fn control(teacher: Teacher, family: &Family) -> Option<Box<dyn LearningSignal>> {
    let signal: Box<dyn LearningSignal> = match teacher {
        Teacher::Learned | Teacher::Frozen | Teacher::Shuffled => return None,
        Teacher::Symmetric => Box::new(Symmetric),
        Teacher::Random => Box::new(Random),
        Teacher::None => return Some(Box::new(Silent)),
    };
    Some(match family.seen_positions() {
        Some(arm) => Box::new(OfPosition { arm: arm.clone(), signal }),
        None => signal,
    })
}

/// Says nothing.
#[derive(Debug, Clone)]
struct Silent;

impl LearningSignal for Silent {
    fn signal(&mut self, context: &SignalContext) -> Tensor<3> {
        context.neurons.zeros_like()
    }
}

/// A signal of the error of the hand's position in place of the outputs': a coordinate for each joint.
#[derive(Debug, Clone)]
struct OfPosition {
    arm: ArmReachingConfig,
    signal: Box<dyn LearningSignal>,
}

impl LearningSignal for OfPosition {
    fn signal(&mut self, context: &SignalContext) -> Tensor<3> {
        let error = self.arm.positions(context.outputs.clone()) - context.targets.clone();
        self.signal.signal(&SignalContext { error, ..context.clone() })
    }
}
