//! Names of cells, methods and learning signals, as commands and run folders spell them.

use burn_eprop::error::ConfigError;
use burn_eprop::estimator::{Bptt, Eprop, TruncatedBptt};
use burn_eprop::signal::{Adaptive, Global, LearningSignal, Random, Symmetric};
use burn_eprop::{Batch, Cell, Estimate, GradientEstimator, Network, Objective};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// A cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CellName {
    /// Leaky integrate-and-fire.
    Lif,
    /// LIF with adaptive threshold; half of the neurons adapt.
    Alif,
    /// Long short-term memory.
    Lstm,
}

/// An algorithm that finds gradients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MethodName {
    /// Eligibility traces times a learning signal.
    Eprop,
    /// Back-propagation through time.
    Bptt,
    /// Back-propagation through time within windows of `--chunk` steps.
    TruncatedBptt,
    /// The readout alone learns: a control.
    Readout,
}

/// A learning signal of e-prop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignalName {
    /// Feedback by the readout's weights.
    Symmetric,
    /// Feedback by fixed random weights.
    Random,
    /// Random feedback weights that learn to mirror the readout's.
    Adaptive,
    /// The same signal for all neurons: a control.
    Global,
}

impl SignalName {
    /// The signal. `decay` is the adaptive one's.
    ///
    /// # Errors
    ///
    /// If `decay` is out of range.
    pub fn create(self, decay: f64) -> Result<Box<dyn LearningSignal>, ConfigError> {
        Ok(match self {
            Self::Symmetric => Box::new(Symmetric),
            Self::Random => Box::new(Random),
            Self::Adaptive => Box::new(Adaptive::new(decay)?),
            Self::Global => Box::new(Global),
        })
    }
}

/// Steps of a window of truncated BPTT where none are asked for.
const DEFAULT_WINDOW: usize = 100;

/// An estimator chosen at run time.
#[derive(Debug)]
pub enum Method {
    /// e-prop.
    Eprop(Eprop),
    /// BPTT.
    Bptt(Bptt),
    /// Truncated BPTT.
    TruncatedBptt(TruncatedBptt),
    /// e-prop with all but the readout's gradients left out.
    Readout(Eprop),
}

impl Method {
    /// The method by name, with e-prop's signal. `chunk` is e-prop's chunk, or the window of truncated BPTT, in place of
    /// what they choose.
    pub fn new(
        name: MethodName,
        signal: Box<dyn LearningSignal>,
        chunk: Option<usize>,
        objective: Objective,
    ) -> Self {
        let eprop = |signal| {
            let eprop = Eprop::boxed(objective, signal).with_outputs(true);
            match chunk {
                Some(chunk) => eprop.with_chunk(chunk),
                None => eprop,
            }
        };
        match name {
            MethodName::Eprop => Self::Eprop(eprop(signal)),
            MethodName::Bptt => Self::Bptt(Bptt::new(objective).with_outputs(true)),
            MethodName::TruncatedBptt => {
                let window = chunk.unwrap_or(DEFAULT_WINDOW);
                Self::TruncatedBptt(TruncatedBptt::new(objective, window).with_outputs(true))
            }
            MethodName::Readout => Self::Readout(eprop(Box::new(Symmetric))),
        }
    }

    /// The method without the outputs of all steps in its estimates.
    pub fn without_outputs(self) -> Self {
        match self {
            Self::Eprop(eprop) => Self::Eprop(eprop.with_outputs(false)),
            Self::Bptt(bptt) => Self::Bptt(bptt.with_outputs(false)),
            Self::TruncatedBptt(truncated) => Self::TruncatedBptt(truncated.with_outputs(false)),
            Self::Readout(eprop) => Self::Readout(eprop.with_outputs(false)),
        }
    }
}

impl<C: Cell> GradientEstimator<C> for Method {
    fn estimate(&mut self, network: &Network<C>, batch: &Batch) -> Estimate {
        match self {
            Self::Eprop(eprop) => eprop.estimate(network, batch),
            Self::Bptt(bptt) => bptt.estimate(network, batch),
            Self::TruncatedBptt(truncated) => truncated.estimate(network, batch),
            Self::Readout(eprop) => {
                let mut estimate = eprop.estimate(network, batch);
                for layer in &network.layers {
                    estimate.gradients.remove::<2>(layer.w_in.id);
                    estimate.gradients.remove::<2>(layer.w_rec.id);
                    if let Some(bias) = &layer.bias {
                        estimate.gradients.remove::<1>(bias.id);
                    }
                }
                estimate
            }
        }
    }

    fn after_update(&self, network: Network<C>) -> Network<C> {
        match self {
            Self::Eprop(eprop) => eprop.after_update(network),
            Self::Bptt(_) | Self::TruncatedBptt(_) | Self::Readout(_) => network,
        }
    }
}
