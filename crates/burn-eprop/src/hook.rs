//! The optimizer hook: an estimator and a Burn optimizer where `loss.backward()` and
//! `optimizer.step()` stood.

mod checkpoint;

use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::module::list_param_ids;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::Tensor;

use crate::accumulation::Accumulation;
use crate::batch::Batch;
use crate::cell::Cell;
use crate::error::NonFinite;
use crate::estimator::{Estimate, GradientEstimator, OnlineEstimator, Prediction};
use crate::gradients::{scale, survey};
use crate::loss::{Objective, Reduction};
use crate::model::RecurrentModel;
use crate::network::Network;

/// Owns an estimator, a Burn optimizer and, while a stream is learnt from, the stream's state `S`.
///
/// The learning rate of each step is a scheduler's, as in any Burn project. An optimizer of Burn clips the gradient of each
/// parameter by itself; [`with_norm_clipping`](Self::with_norm_clipping) clips all of them together. A step with a value that
/// is NaN or infinite changes nothing and says so in its [`Report`].
#[derive(Clone)]
pub struct OptimizerHook<E, S = ()> {
    estimator: E,
    optimizer: ModuleOptimizer,
    state: S,
    updates: u64,
    /// The largest norm of all gradients together.
    largest_norm: Option<f64>,
    /// Batches of an update.
    batches: usize,
    accumulated: Accumulation,
}

/// What a step found, and whether it was taken.
#[derive(Debug)]
pub struct Report {
    /// The task's loss.
    pub loss: f64,
    /// The firing-rate regulariser's loss.
    pub rate_loss: f64,
    /// The voltage regulariser's loss.
    pub voltage_loss: f64,
    /// y, [batch, time, outputs], where the estimator was asked for it.
    pub outputs: Option<Tensor<3>>,
    /// The mean output of each neuron (spikes per step), by layer, `[neurons]`.
    pub firing_rates: Vec<Tensor<1>>,
    /// Euclidean norm of the gradients of all weights together (but for feedback weights and the synthetic gradient),
    /// before clipping.
    pub gradient_norm: f64,
    /// The first value that is not finite. Then neither network nor optimizer has changed.
    pub non_finite: Option<NonFinite>,
    /// Whether the optimizer has changed the weights: not if a value is not finite, nor while gradients
    /// [accumulate](OptimizerHook::with_accumulation).
    pub updated: bool,
}

/// The state of a stream from which an estimator learns: what a hook has after [`OptimizerHook::into_stream`].
#[diagnostic::on_unimplemented(
    message = "this `OptimizerHook` learns from whole sequences, not from a stream",
    label = "call `into_stream` on the hook first",
    note = "`let mut hook = hook.into_stream(&network, batch);` makes a hook that has `feed`"
)]
pub trait StreamOf<E: OnlineEstimator<C>, C: Cell> {
    /// The estimator's state.
    fn state(&self) -> &E::State;

    /// The estimator's state, to learn on from.
    fn state_mut(&mut self) -> &mut E::State;
}

impl<E: OnlineEstimator<C>, C: Cell> StreamOf<E, C> for E::State {
    fn state(&self) -> &E::State {
        self
    }

    fn state_mut(&mut self) -> &mut E::State {
        self
    }
}

impl Report {
    /// The report itself, unless a value was not finite.
    ///
    /// # Errors
    ///
    /// What was not finite, if the step was not taken.
    pub fn ensure_finite(self) -> Result<Self, NonFinite> {
        match self.non_finite {
            Some(error) => Err(error),
            None => Ok(self),
        }
    }

    /// The report of both steps, of successive pieces of the same sequences: losses of the task and of voltages are summed and outputs
    /// joined, the rates are those of the later one, which holds all, and the norm is the larger one.
    pub fn followed_by(self, later: Self) -> Self {
        let outputs = match (self.outputs, later.outputs) {
            (Some(outputs), Some(later)) => Some(Tensor::cat(vec![outputs, later], 1)),
            _ => None,
        };
        Self {
            loss: self.loss + later.loss,
            voltage_loss: self.voltage_loss + later.voltage_loss,
            outputs,
            gradient_norm: self.gradient_norm.max(later.gradient_norm),
            non_finite: self.non_finite.or(later.non_finite),
            updated: self.updated || later.updated,
            ..later
        }
    }

    /// Of an estimate, with its gradients.
    pub(crate) fn of<M: RecurrentModel>(model: &M, estimate: Estimate) -> (Self, GradientsParams) {
        let Estimate { loss, rate_loss, voltage_loss, outputs, firing_rates, gradients } = estimate;
        let (gradient_norm, mut non_finite) = survey_weights(model, &gradients);
        if !(loss + rate_loss + voltage_loss).is_finite() {
            non_finite = non_finite.or_else(|| Some(NonFinite { what: "loss".into() }));
        }
        let report = Self {
            loss,
            rate_loss,
            voltage_loss,
            outputs,
            firing_rates,
            gradient_norm,
            non_finite,
            updated: false,
        };
        (report, gradients)
    }

    /// A step that was not begun.
    pub(crate) fn refused(error: NonFinite) -> Self {
        Self {
            loss: f64::NAN,
            rate_loss: f64::NAN,
            voltage_loss: f64::NAN,
            outputs: None,
            firing_rates: Vec::new(),
            gradient_norm: f64::NAN,
            non_finite: Some(error),
            updated: false,
        }
    }
}

impl<E> OptimizerHook<E> {
    /// A hook for whole sequences.
    pub fn new(optimizer: ModuleOptimizer, estimator: E) -> Self {
        let accumulated = Accumulation::default();
        Self { estimator, optimizer, state: (), updates: 0, largest_norm: None, batches: 1, accumulated }
    }

    /// Turns to a stream of `batch` parallel sequences.
    pub fn into_stream<C: Cell>(mut self, network: &Network<C>, batch: usize) -> OptimizerHook<E, E::State>
    where
        E: OnlineEstimator<C>,
    {
        let state = self.estimator.start(network, batch);
        let Self { estimator, optimizer, updates, largest_norm, batches, accumulated, .. } = self;
        OptimizerHook { estimator, optimizer, state, updates, largest_norm, batches, accumulated }
    }
}

impl<E, S> OptimizerHook<E, S> {
    /// Scales the gradients of an update down to this Euclidean norm, of all weights together as in
    /// [`Report::gradient_norm`], where theirs is larger. Their direction stays.
    ///
    /// # Panics
    ///
    /// If `largest_norm` is not a finite number greater than 0.
    #[track_caller]
    pub fn with_norm_clipping(self, largest_norm: f64) -> Self {
        let valid = largest_norm.is_finite() && largest_norm > 0.0;
        assert!(valid, "gradients cannot be clipped to a norm of {largest_norm}");
        Self { largest_norm: Some(largest_norm), ..self }
    }

    /// Updates the weights once every `batches` steps, by the gradient of all of them together.
    ///
    /// Whole sequences: the gradient of a [mean](crate::loss::Reduction::Mean) over the steps that count in all of the batches, or of the
    /// sum, as if they had been one batch (but for firing rates, which are regularised in each of them). Pieces of a stream: the sum
    /// of their gradients, whose losses [`Batch::piece`] divides.
    ///
    /// # Panics
    ///
    /// If `batches` is 0.
    #[track_caller]
    pub fn with_accumulation(self, batches: usize) -> Self {
        assert!(batches > 0, "an update needs at least one batch");
        Self { batches, ..self }
    }

    /// The estimator.
    pub fn estimator(&self) -> &E {
        &self.estimator
    }

    /// The optimizer.
    pub fn optimizer(&self) -> &ModuleOptimizer {
        &self.optimizer
    }

    /// How many updates of weights this hook has made, or the one from whose checkpoint it goes on.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// Learns from a batch of whole sequences: estimates the gradients of a network, or of one in both directions, and
    /// lets the optimizer apply them.
    ///
    /// # Panics
    ///
    /// If the batch does not fit the model, or the model is not on an autodiff device, which every Burn optimizer needs.
    #[track_caller]
    #[must_use = "the updated model is returned, and the one that was given is gone"]
    pub fn step<M: RecurrentModel>(
        &mut self,
        lr: impl Into<ModuleLearningRate>,
        model: M,
        batch: &Batch,
    ) -> (M, Report)
    where
        E: GradientEstimator<M::Cell>,
    {
        check_autodiff(&model);
        if let Err(error) =
            batch.check_finite().and_then(|()| check_counts(batch, self.estimator.objective()))
        {
            return (model, Report::refused(error));
        }
        let estimate = model.estimate(&mut self.estimator, batch);
        let weight = match self.estimator.objective().reduction {
            Reduction::Mean => Some(batch.loss_steps()),
            Reduction::Sum => None,
        };
        self.apply(lr.into(), model, estimate, weight)
    }

    /// Learns from the next piece of the stream. State and traces live on, with the new weights.
    ///
    /// # Panics
    ///
    /// If the piece does not fit the network or the stream's batch, or the network is not on an autodiff device.
    #[track_caller]
    #[must_use = "the updated network is returned, and the one that was given is gone"]
    pub fn feed<C: Cell>(
        &mut self,
        lr: impl Into<ModuleLearningRate>,
        network: Network<C>,
        piece: &Batch,
    ) -> (Network<C>, Report)
    where
        E: OnlineEstimator<C>,
        S: StreamOf<E, C> + Clone,
    {
        check_autodiff(&network);
        if let Err(error) = piece.check_finite() {
            return (network, Report::refused(error));
        }
        let before = self.state.clone();
        let estimate = self.estimator.feed(&network, self.state.state_mut(), piece);
        let (network, report) = self.apply(lr.into(), network, estimate, None);
        if report.non_finite.is_some() {
            self.state = before;
        }
        (network, report)
    }

    /// The outputs for the next inputs [batch, time, inputs] of the stream, before their targets are known; the stream stays where it
    /// is. To learn from them is to [`feed`](Self::feed) the [piece](Prediction::into_piece) that they make with their targets:
    ///
    /// ```
    /// use burn::optim::SgdConfig;
    /// use burn::tensor::{Device, Tensor};
    /// use burn_eprop::cell::LifConfig;
    /// use burn_eprop::estimator::Eprop;
    /// use burn_eprop::signal::Symmetric;
    /// use burn_eprop::{Loss, NetworkConfig, Objective, OptimizerHook};
    ///
    /// let device = Device::flex().autodiff();
    /// let network = NetworkConfig::new(3, 1).init(vec![LifConfig::new(20).init(&device)], &device);
    /// let eprop = Eprop::new(Objective::mean(Loss::MeanSquaredError), Symmetric);
    /// let mut hook = OptimizerHook::new(SgdConfig::new().init(), eprop).into_stream(&network, 1);
    ///
    /// let prediction = hook.predict(&network, Tensor::ones([1, 10, 3], &device));
    /// assert_eq!(prediction.outputs().dims(), [1, 10, 1]);
    /// let truth = Tensor::ones([1, 10, 1], &device); // known only now
    /// let (network, report) = hook.feed(1e-2, network, &prediction.into_piece(truth));
    /// # let _ = (network, report);
    /// ```
    ///
    /// # Panics
    ///
    /// If the inputs do not fit the network or the stream's batch.
    #[track_caller]
    pub fn predict<C: Cell>(&self, network: &Network<C>, inputs: Tensor<3>) -> Prediction
    where
        E: OnlineEstimator<C>,
        S: StreamOf<E, C>,
    {
        self.estimator.predict(network, self.state.state(), inputs)
    }

    /// Begins new sequences.
    pub fn restart<C: Cell>(&mut self, network: &Network<C>, batch: usize)
    where
        E: OnlineEstimator<C>,
        S: StreamOf<E, C>,
    {
        *self.state.state_mut() = self.estimator.start(network, batch);
    }

    /// Applies an estimate, or has it wait for others. `weight` is that of its batch in a mean over batches; `None` for a sum.
    fn apply<M: RecurrentModel>(
        &mut self,
        lr: ModuleLearningRate,
        model: M,
        estimate: Estimate,
        weight: Option<f64>,
    ) -> (M, Report)
    where
        E: GradientEstimator<M::Cell>,
    {
        let (mut report, mut gradients) = Report::of(&model, estimate);
        if report.non_finite.is_some() {
            return (model, report);
        }
        let mut norm = report.gradient_norm;
        if self.batches > 1 {
            self.accumulated.add(&model, gradients, weight.unwrap_or(1.0));
            if self.accumulated.batches() < self.batches {
                return (model, report);
            }
            gradients = self.accumulated.take(&model, weight.is_some());
            norm = survey_weights(&model, &gradients).0;
        }
        if let Some(largest) = self.largest_norm.filter(|&largest| norm > largest) {
            gradients = scale(&model, gradients, largest / norm);
        }
        let model = self.optimizer.step(lr, model, gradients);
        self.updates += 1;
        report.updated = true;
        (model.after_update(&self.estimator), report)
    }
}

/// # Panics
///
/// If a model is not on an autodiff device.
#[track_caller]
pub(crate) fn check_autodiff<M: RecurrentModel>(model: &M) {
    for network in model.networks() {
        assert!(
            network.readout.weight.val().is_autodiff(),
            "the network is on {:?} without autodiff, where optimizers cannot train it: make it on `device.autodiff()`, \
             or call `train` on it",
            network.device()
        );
    }
}

/// # Errors
///
/// If no step of a batch counts, so that it has no mean loss, and nothing else is minimised.
pub(crate) fn check_counts(batch: &Batch, objective: &Objective) -> Result<(), NonFinite> {
    let regularised = objective.rate.is_some() || objective.voltage.is_some();
    if objective.reduction == Reduction::Sum || regularised || batch.loss_steps() != 0.0 {
        return Ok(());
    }
    Err(NonFinite { what: "the mean loss of a batch in which no step counts (mask or lengths are 0)".into() })
}

/// The norm of all gradients of weights together, and the first gradient that is not finite.
fn survey_weights<M: RecurrentModel>(model: &M, gradients: &GradientsParams) -> (f64, Option<NonFinite>) {
    let mut aside = Vec::new();
    for network in model.networks() {
        aside.extend(network.synthetic_gradient.iter().flat_map(list_param_ids));
        aside.push(network.feedback.id);
    }
    survey(model, gradients, aside)
}
