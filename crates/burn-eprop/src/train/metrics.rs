//! Metrics of recurrent and spiking networks, in the style of burn-train's own.

use burn::tensor::TensorReadError;
use burn::train::metric::state::{FormatOptions, NumericMetricState};
use burn::train::metric::{
    Metric, MetricAttributes, MetricMetadata, MetricName, Numeric, NumericAttributes, NumericEntry,
    SerializedEntry,
};

/// The mean output of a network's neurons.
#[derive(Debug, Clone, Copy)]
pub struct FiringRateInput {
    /// Spikes per step, over neurons, sequences and time.
    pub per_step: f64,
    /// How many sequences it is a mean of.
    pub sequences: usize,
}

/// The size of a step's gradient.
#[derive(Debug, Clone, Copy)]
pub struct GradientNormInput {
    /// Euclidean norm of all weights' gradients together, before clipping.
    pub norm: f64,
}

/// The mean firing rate of all neurons in Hz.
#[derive(Clone)]
pub struct FiringRateMetric {
    name: MetricName,
    dt_ms: f64,
    state: NumericMetricState,
}

/// The norm of the gradients.
#[derive(Clone)]
pub struct GradientNormMetric {
    name: MetricName,
    state: NumericMetricState,
}

impl FiringRateMetric {
    /// For steps of `dt_ms` milliseconds.
    pub fn new(dt_ms: f64) -> Self {
        Self { name: MetricName::new("Firing Rate".into()), dt_ms, state: NumericMetricState::new() }
    }

    fn format(&self) -> FormatOptions {
        FormatOptions::new(self.name()).unit("Hz").precision(2)
    }
}

impl GradientNormMetric {
    /// A metric of training; there are no gradients in inference.
    pub fn new() -> Self {
        Self { name: MetricName::new("Gradient Norm".into()), state: NumericMetricState::new() }
    }

    fn format(&self) -> FormatOptions {
        FormatOptions::new(self.name()).precision(3)
    }
}

impl Default for GradientNormMetric {
    fn default() -> Self {
        Self::new()
    }
}

/// A metric that is its state's mean, weighted by `count`. What was not found in a refused step does not count.
macro_rules! metric_of_state {
    ($metric:ty, $input:ty, $unit:expr, |$self:ident, $item:ident| $value:expr, $count:expr) => {
        impl Metric for $metric {
            type Input = $input;

            fn name(&self) -> MetricName {
                self.name.clone()
            }

            fn attributes(&self) -> MetricAttributes {
                NumericAttributes { unit: $unit, higher_is_better: false }.into()
            }

            fn update(
                &mut $self,
                $item: &$input,
                _metadata: &MetricMetadata,
            ) -> Result<SerializedEntry, TensorReadError> {
                let value: f64 = $value;
                $self.state.update(value, if value.is_finite() { $count } else { 0 });
                Ok($self.state.compute_update($self.format()))
            }

            fn compute(&mut self) -> Result<SerializedEntry, TensorReadError> {
                Ok(self.state.compute_final(self.format()))
            }

            fn clear(&mut self) {
                self.state.reset();
            }
        }

        impl Numeric for $metric {
            fn value(&self) -> Option<NumericEntry> {
                Some(self.state.current_value())
            }

            fn running_value(&self) -> Option<NumericEntry> {
                Some(self.state.running_value())
            }

            fn final_value(&self) -> NumericEntry {
                self.state.final_value()
            }
        }
    };
}

metric_of_state!(
    FiringRateMetric,
    FiringRateInput,
    Some("Hz".into()),
    |self, item| item.per_step * 1000.0 / self.dt_ms,
    item.sequences
);
metric_of_state!(GradientNormMetric, GradientNormInput, None, |self, item| item.norm, 1);
