//! Names of cells, methods and learning signals, as commands and run folders spell them.

use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::tensor::Tensor;
use burn_eprop::bidirectional::Bidirectional;
use burn_eprop::error::ConfigError;
use burn_eprop::estimator::{
    BoundaryLearning, Bptt, Eprop, Eprop3, EpropState, Prediction, TruncatedBptt, WindowsState,
};
use burn_eprop::hook::Report;
use burn_eprop::signal::{Adaptive, Global, LearningSignal, Random, Symmetric};
use burn_eprop::{
    Batch, Cell, Estimate, GradientEstimator, Network, Objective, OnlineEstimator, OptimizerHook,
    RecurrentModel,
};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::config::RunConfig;

/// A cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CellName {
    /// Leaky integrate-and-fire.
    Lif,
    /// LIF with adaptive threshold; a part of the neurons adapts.
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
    /// Windows of `--window` steps: the total derivative within, eligibility traces before, a synthetic gradient behind.
    #[value(name = "eprop3")]
    #[serde(rename = "eprop3")]
    Eprop3,
    /// Back-propagation through time within windows of `--window` steps.
    TruncatedBptt,
    /// The same with a synthetic gradient behind each window.
    TruncatedBpttSg,
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

impl MethodName {
    /// Whether the method goes through sequences in windows, at each of which weights can be updated.
    pub fn has_windows(self) -> bool {
        matches!(self, Self::Eprop3 | Self::TruncatedBptt | Self::TruncatedBpttSg)
    }
}

/// Steps of a window where none are asked for.
pub const DEFAULT_WINDOW: usize = 100;

/// An estimator chosen at run time.
#[derive(Debug)]
pub enum Method {
    /// e-prop.
    Eprop(Eprop),
    /// BPTT.
    Bptt(Bptt),
    /// e-prop 3.
    Eprop3(Eprop3),
    /// Truncated BPTT, with or without synthetic gradients.
    TruncatedBptt(TruncatedBptt),
    /// e-prop with all but the readout's gradients left out.
    Readout(Eprop),
}

impl Method {
    /// The method by name, with e-prop's signal and with how a synthetic gradient learns. `chunk` is e-prop's chunk, or the
    /// window of e-prop 3 and of truncated BPTT, in place of what they choose.
    pub fn new(
        name: MethodName,
        signal: Box<dyn LearningSignal>,
        learning: BoundaryLearning,
        chunk: Option<usize>,
        objective: Objective,
    ) -> Self {
        // ANCHOR: methods
        let window = chunk.unwrap_or(DEFAULT_WINDOW);
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
            MethodName::Eprop3 => {
                let eprop3 = Eprop3::new(objective, window).with_boundary_learning(learning);
                Self::Eprop3(eprop3.with_outputs(true))
            }
            MethodName::TruncatedBptt | MethodName::TruncatedBpttSg => {
                let truncated = TruncatedBptt::new(objective, window).with_boundary_learning(learning);
                Self::TruncatedBptt(truncated.with_outputs(true))
            }
            MethodName::Readout => Self::Readout(eprop(Box::new(Symmetric))),
        }
        // ANCHOR_END: methods
    }

    /// A method with the settings of a run.
    ///
    /// # Errors
    ///
    /// If the signal's are out of range.
    pub fn of(config: &RunConfig, name: MethodName) -> Result<Self, ConfigError> {
        let signal = config.signal.create(config.signal_decay)?;
        Ok(Self::new(name, signal, config.synthetic.learning(), Some(config.chunk), config.objective()))
    }

    /// The method without the outputs of all steps in its estimates.
    pub fn without_outputs(self) -> Self {
        match self {
            Self::Eprop(eprop) => Self::Eprop(eprop.with_outputs(false)),
            Self::Bptt(bptt) => Self::Bptt(bptt.with_outputs(false)),
            Self::Eprop3(eprop3) => Self::Eprop3(eprop3.with_outputs(false)),
            Self::TruncatedBptt(truncated) => Self::TruncatedBptt(truncated.with_outputs(false)),
            Self::Readout(eprop) => Self::Readout(eprop.with_outputs(false)),
        }
    }
}

impl<C: Cell> GradientEstimator<C> for Method {
    fn objective(&self) -> &Objective {
        match self {
            Self::Eprop(eprop) | Self::Readout(eprop) => GradientEstimator::<C>::objective(eprop),
            Self::Bptt(bptt) => GradientEstimator::<C>::objective(bptt),
            Self::Eprop3(eprop3) => GradientEstimator::<C>::objective(eprop3),
            Self::TruncatedBptt(truncated) => GradientEstimator::<C>::objective(truncated),
        }
    }

    fn estimate(&mut self, network: &Network<C>, batch: &Batch) -> Estimate {
        match self {
            Self::Eprop(eprop) => eprop.estimate(network, batch),
            Self::Bptt(bptt) => bptt.estimate(network, batch),
            Self::Eprop3(eprop3) => eprop3.estimate(network, batch),
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
            Self::Bptt(_) | Self::Eprop3(_) | Self::TruncatedBptt(_) | Self::Readout(_) => network,
        }
    }
}

/// What a method carries from window to window.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "there is one for each run")]
pub enum MethodState {
    /// e-prop 1.
    Eprop(EpropState),
    /// e-prop 3 and truncated BPTT.
    Windows(WindowsState),
    /// Methods for whole sequences.
    None,
}

impl<C: Cell> OnlineEstimator<C> for Method {
    type State = MethodState;

    fn start(&mut self, network: &Network<C>, batch: usize) -> MethodState {
        match self {
            Self::Eprop(eprop) => MethodState::Eprop(eprop.start(network, batch)),
            Self::Eprop3(eprop3) => MethodState::Windows(eprop3.start(network, batch)),
            Self::TruncatedBptt(truncated) => MethodState::Windows(truncated.start(network, batch)),
            Self::Bptt(_) | Self::Readout(_) => MethodState::None,
        }
    }

    /// # Panics
    ///
    /// Also if the method is for whole sequences alone.
    fn feed(&mut self, network: &Network<C>, state: &mut MethodState, piece: &Batch) -> Estimate {
        match (self, state) {
            (Self::Eprop(eprop), MethodState::Eprop(state)) => eprop.feed(network, state, piece),
            (Self::Eprop3(eprop3), MethodState::Windows(state)) => eprop3.feed(network, state, piece),
            (Self::TruncatedBptt(truncated), MethodState::Windows(state)) => {
                truncated.feed(network, state, piece)
            }
            (method, _) => panic!("{method:?} does not learn from a piece of a sequence"),
        }
    }

    /// # Panics
    ///
    /// Also if the method is for whole sequences alone.
    fn predict(&self, network: &Network<C>, state: &MethodState, inputs: Tensor<3>) -> Prediction {
        match (self, state) {
            (Self::Eprop(eprop), MethodState::Eprop(state)) => eprop.predict(network, state, inputs),
            (Self::Eprop3(eprop3), MethodState::Windows(state)) => eprop3.predict(network, state, inputs),
            (Self::TruncatedBptt(truncated), MethodState::Windows(state)) => {
                truncated.predict(network, state, inputs)
            }
            (method, _) => panic!("{method:?} does not learn from a piece of a sequence"),
        }
    }
}

/// A model as runs train it.
pub trait Model: RecurrentModel {
    /// Learns from a batch in one step or, given the length of windows, window by window.
    ///
    /// # Panics
    ///
    /// If there are windows, but the model is bidirectional.
    fn learn(
        self,
        hook: &mut OptimizerHook<Method, MethodState>,
        learning_rate: ModuleLearningRate,
        batch: &Batch,
        windows: Option<usize>,
    ) -> (Self, Report);
}

impl<C: Cell> Model for Network<C> {
    fn learn(
        self,
        hook: &mut OptimizerHook<Method, MethodState>,
        learning_rate: ModuleLearningRate,
        batch: &Batch,
        windows: Option<usize>,
    ) -> (Self, Report) {
        let Some(length) = windows else {
            return hook.step(learning_rate, self, batch);
        };
        hook.restart(&self, batch.size());
        let mut network = self;
        let mut whole: Option<Report> = None;
        for start in (0..batch.steps()).step_by(length) {
            let piece = batch.piece(start..(start + length).min(batch.steps()));
            let (updated, report) = hook.feed(learning_rate.clone(), network, &piece);
            network = updated;
            let refused = report.non_finite.is_some();
            whole = Some(match whole {
                Some(whole) => whole.followed_by(report),
                None => report,
            });
            if refused {
                break;
            }
        }
        (network, whole.expect("a batch has a step"))
    }
}

impl<C: Cell> Model for Bidirectional<C> {
    fn learn(
        self,
        hook: &mut OptimizerHook<Method, MethodState>,
        learning_rate: ModuleLearningRate,
        batch: &Batch,
        windows: Option<usize>,
    ) -> (Self, Report) {
        assert!(windows.is_none(), "a bidirectional network learns from whole sequences");
        hook.step(learning_rate, self, batch)
    }
}
