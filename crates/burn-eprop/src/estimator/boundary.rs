//! What lies behind a window: the gradient of the loss to come with respect to the state at the window's end.

use std::collections::VecDeque;
use std::fmt::Debug;

use burn::module::{Module, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Tensor, TensorCreationOptions, TensorData};
use dyn_clone::DynClone;
use serde::{Deserialize, Serialize};

use crate::autodiff::backward;
use crate::carried::{Archive, Carried};
use crate::cell::{Cell, LocalJacobian};
use crate::error::ConfigError;
use crate::gradients::register;
use crate::network::{Network, NetworkState};
use crate::steps::sum;
use crate::synthetic_gradient::SyntheticGradient;

/// A source of gradients at the ends of windows, in place of the network's
/// [synthetic gradient](crate::synthetic_gradient).
pub trait BoundaryGradient: Debug + DynClone + Send + Sync {
    /// ∂E/∂S [batch, width], for the state S after `time` steps of a sequence, in the order of
    /// [`NetworkState::to_rows`] and on the state's device; E is what the estimator minimises of all later steps, divided
    /// as a mean divides it. It is used as it is, without [`BoundaryLearning::discount`]. What it says of sequences that have
    /// ended is not used.
    fn gradient(&mut self, time: usize, state: &NetworkState) -> Tensor<2>;
}

dyn_clone::clone_trait_object!(BoundaryGradient);

/// How a network's [synthetic gradient](crate::synthetic_gradient) learns.
///
/// At the start of each window but the first, its target is the gradient that arrives there: that of the window's own
/// loss and, through the window, what it foretells itself at the window's end (Jaderberg et al. 2017, arXiv:1608.05343).
/// The difference δ is a temporal-difference error. With λ > 0 it also corrects what was foretold at earlier
/// windows, through traces that run forward (accumulate BP(λ): Pemberton & Costa 2024, arXiv:2401.07044): from one window's
/// start S^w to the next,
///
/// $$ e^w = \gamma\lambda J^{w-1} e^{w-1} + \frac{\partial g(S^w)}{\partial\Theta}, \qquad \Delta\Theta \propto \sum_w \delta^w e^w. $$
///
/// Of the window's Jacobian J only what happens within each neuron is kept, as in e-prop's own traces: with the whole of
/// it, e would have as many values as the module has weights for each value of the state. The traces are those of the module's last
/// layer, kept in factors, and reach back 64 windows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoundaryLearning {
    /// λ, the share of an error that reaches one window further back; 0 for none.
    pub lambda: f64,
    /// γ, by which what is foretold is multiplied: less than 1 holds down the errors of a bad prediction.
    pub discount: f64,
}

impl Default for BoundaryLearning {
    /// λ = 0, γ = 1.
    fn default() -> Self {
        Self { lambda: 0.0, discount: 1.0 }
    }
}

impl BoundaryLearning {
    /// Checks the ranges of all fields.
    pub fn validate(&self) -> Result<(), ConfigError> {
        ConfigError::check((0.0..=1.0).contains(&self.lambda), "lambda", self.lambda, "between 0 and 1")?;
        ConfigError::check((0.0..=1.0).contains(&self.discount), "discount", self.discount, "between 0 and 1")
    }
}

/// Some sequences of a batch.
pub(super) struct Sequences(Vec<bool>);

impl Sequences {
    pub(super) fn new(members: Vec<bool>) -> Self {
        Self(members)
    }

    /// How many sequences the batch has.
    pub(super) fn size(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.0.contains(&true)
    }

    /// `rows` [batch, _] with 0 for all others.
    pub(super) fn select(&self, rows: Tensor<2>) -> Tensor<2> {
        if !self.0.contains(&false) {
            return rows;
        }
        let members: Vec<f64> = self.0.iter().copied().map(f64::from).collect();
        let data = TensorData::new(members, [self.0.len(), 1]);
        let options: TensorCreationOptions = (&rows.device(), rows.dtype()).into();
        rows * Tensor::from_data(data, options)
    }
}

/// The state at the start of a window, and the gradient that arrived there.
pub(super) struct Arrival<'a> {
    /// [batch, width]
    pub(super) states: Tensor<2>,
    /// ∂E/∂S, [batch, width].
    pub(super) gradient: Tensor<2>,
    /// By what the loss is divided.
    pub(super) divisor: f64,
    /// The sequences that had not ended.
    pub(super) going_on: &'a Sequences,
}

/// Windows over which BP(λ) remembers what was foretold.
const MOST_WINDOWS: usize = 64;

/// (γλ)ⁿ below which n windows are not gone back.
const NEGLIGIBLE: f64 = 1e-6;

/// BP(λ)'s traces, in factors; nothing without λ.
#[derive(Debug, Clone)]
pub(super) struct BoundaryTraces {
    /// From the earliest.
    windows: VecDeque<PastWindow>,
    /// Sequences, and what is read of each: features, and 1.
    shape: [usize; 2],
    /// Neurons by layer.
    neurons: Vec<usize>,
    /// Hidden values of a neuron.
    hidden: usize,
    options: TensorCreationOptions,
}

/// A window at whose start something was foretold.
#[derive(Debug, Clone)]
struct PastWindow {
    /// What the module's last layer read there, and 1, [batch, features + 1].
    features: Tensor<2>,
    /// What the window did to each neuron, by layer.
    jacobians: Vec<LocalJacobian>,
    /// What it left of y.
    output_decay: f64,
}

impl BoundaryLearning {
    /// What is foretold for states [batch, width], where the loss is divided by `divisor`.
    pub(super) fn foretell(
        &self,
        module: &SyntheticGradient,
        states: Tensor<2>,
        divisor: f64,
        following: &Sequences,
    ) -> Tensor<2> {
        following.select(module.valid().forward(states)).mul_scalar(self.discount / divisor)
    }

    /// Gradients of the module of ½ |g(S) − target|², the mean over the batch; with traces, of the λ-weighted errors.
    pub(super) fn learn(
        &self,
        module: &SyntheticGradient,
        traces: &mut BoundaryTraces,
        arrival: Arrival,
    ) -> GradientsParams {
        let Arrival { states, gradient, divisor, going_on } = arrival;
        let batch = states.dims()[0];
        let features = module.features(states);
        let foretold = module.output.forward(features.clone());
        let features = features.without_autodiff();
        let target = gradient.mul_scalar(divisor);
        let error = going_on.select(target - foretold.clone().without_autodiff());
        let loss = (foretold * error.clone()).sum().mul_scalar(-1.0 / batch as f64);
        let mut gradients = GradientsParams::from_grads(backward(&loss), module);
        if self.lambda > 0.0 {
            let earlier = traces.advance(features, error, self.lambda * self.discount);
            if let Some(earlier) = earlier.map(|credit| credit.mul_scalar(-1.0 / batch as f64)) {
                let rows = earlier.dims()[0] - 1;
                add(&mut gradients, &module.output.weight, earlier.clone().narrow(0, 0, rows));
                if let Some(bias) = &module.output.bias {
                    add(&mut gradients, bias, earlier.narrow(0, rows, 1).squeeze_dim::<1>(0));
                }
            }
        }
        gradients
    }
}

fn add<const D: usize>(gradients: &mut GradientsParams, param: &Param<Tensor<D>>, part: Tensor<D>) {
    let sum = match gradients.remove::<D>(param.id) {
        Some(gradient) => gradient + part,
        None => part,
    };
    register(gradients, param, sum);
}

impl BoundaryTraces {
    /// Traces before the first step.
    pub(super) fn new<C: Cell>(network: &Network<C>, batch: usize) -> Self {
        let features = network.synthetic_gradient.as_ref().map_or(0, |module| module.output.weight.dims()[0]);
        Self {
            windows: VecDeque::new(),
            shape: [batch, features + 1],
            neurons: network.layers.iter().map(|layer| layer.cell.neurons()).collect(),
            hidden: C::HIDDEN,
            options: network.valid().options(),
        }
    }

    /// A window in which nothing happens.
    fn empty(&self) -> PastWindow {
        PastWindow {
            features: Tensor::zeros(self.shape, self.options.clone()),
            jacobians: self.neurons.iter().map(|_| LocalJacobian::zero(self.hidden)).collect(),
            output_decay: 0.0,
        }
    }

    /// Remembers what the last window did to each neuron, and what it left of y.
    pub(super) fn remember(&mut self, jacobians: impl Iterator<Item = LocalJacobian>, output_decay: f64) {
        if let Some(window) = self.windows.back_mut() {
            window.jacobians = jacobians.collect();
            window.output_decay = output_decay;
        }
    }

    /// What errors [batch, width] at a window's start say of all that was foretold earlier, [features + 1, width], and that
    /// something is foretold there; `None` where nothing was.
    fn advance(&mut self, features: Tensor<2>, error: Tensor<2>, decay: f64) -> Option<Tensor<2>> {
        // ANCHOR: bp-lambda
        let mut error = error;
        let mut credit = None;
        for (back, window) in (1..).zip(self.windows.iter().rev()) {
            if decay.powi(back) < NEGLIGIBLE {
                break;
            }
            error = window.back(error, &self.neurons).mul_scalar(decay);
            let features = window.features.clone();
            credit = sum([credit, Some(features.transpose().matmul(error.clone()))]);
        }
        // ANCHOR_END: bp-lambda
        let ones = Tensor::ones([self.shape[0], 1], (&features.device(), features.dtype()));
        let window = PastWindow { features: Tensor::cat(vec![features, ones], 1), ..self.empty() };
        self.windows.push_back(window);
        if self.windows.len() > MOST_WINDOWS {
            self.windows.pop_front();
        }
        credit
    }
}

impl PastWindow {
    /// Errors [batch, width] at the window's end as errors at its start, within each neuron.
    fn back(&self, error: Tensor<2>, neurons: &[usize]) -> Tensor<2> {
        let mut start = 0;
        let mut next = |size: usize| {
            start += size;
            error.clone().narrow(1, start - size, size)
        };
        let mut columns = Vec::new();
        for (LocalJacobian { hidden, output }, &neurons) in self.jacobians.iter().zip(neurons) {
            let of_output = next(neurons);
            let of_hidden: Vec<_> = hidden.iter().map(|_| next(neurons)).collect();
            // z acts through weights and the reset, which e-prop's traces leave out.
            columns.push(of_output.zeros_like());
            columns.extend((0..hidden.len()).map(|column| {
                let rows = hidden.iter().zip(&of_hidden);
                let through_hidden = rows.map(|(row, error)| Some(row[column].clone()? * error.clone()));
                let through_output = output[column].clone().map(|factor| factor * of_output.clone());
                sum(through_hidden.chain([through_output])).unwrap_or_else(|| of_output.zeros_like())
            }));
        }
        let neurons: usize = columns.iter().map(|column| column.dims()[1]).sum();
        columns.push(next(error.dims()[1] - neurons).mul_scalar(self.output_decay));
        Tensor::cat(columns, 1)
    }
}

impl Carried for BoundaryTraces {
    fn visit(&mut self, archive: &mut Archive) {
        let mut windows: Vec<_> = std::mem::take(&mut self.windows).into();
        archive.constant("features", self.shape[1] as f64);
        archive.list(
            "windows",
            &mut windows,
            || self.empty(),
            |archive, name, window| {
                archive.part(name, |archive| {
                    archive.tensor("features", &mut window.features);
                    archive.number("output_decay", &mut window.output_decay);
                    for (layer, (jacobian, neurons)) in
                        window.jacobians.iter_mut().zip(&self.neurons).enumerate()
                    {
                        let factors = jacobian.hidden.iter_mut().flatten().chain(&mut jacobian.output);
                        for (index, factor) in factors.enumerate() {
                            archive.optional(
                                &format!("jacobian.{layer}.{index}"),
                                factor,
                                [self.shape[0], *neurons],
                            );
                        }
                    }
                });
            },
        );
        self.windows = windows.into();
    }
}
