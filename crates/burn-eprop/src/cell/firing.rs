//! What spiking cells share: threshold crossing, refractoriness and the pseudo-derivative.

use burn::tensor::activation::relu;
use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::{CellState, Constants, Folded, Linearization, SimulatedChunk, SynapticChunk, Transition};
use crate::constant::{Constant, NeuronConstant};
use crate::error::ConfigError;
use crate::kernel::{self, List, SpikingChunk, SpikingDynamics};
use crate::surrogate::PseudoDerivative;

/// Values [steps, batch, neurons] one step later, from what was before the first, [batch, neurons].
fn delayed(values: &Tensor<3>, before: &Tensor<2>) -> Tensor<3> {
    let steps = values.dims()[0];
    let first = before.clone().unsqueeze_dim(0);
    match steps {
        1 => first,
        _ => Tensor::cat(vec![first, values.clone().narrow(0, 0, steps - 1)], 0),
    }
}

/// x^t = decay · x^{t−1} + input^t from x^0 = `before`.
fn low_pass_from(before: &Tensor<2>, input: Tensor<3>, decay: f64) -> Tensor<3> {
    let steps = input.dims()[0];
    let powers: Vec<f64> = (1..=steps).map(|step| decay.powi(step as i32)).collect();
    let options = (&before.clone().without_autodiff().device(), before.dtype());
    let powers = Tensor::<1>::from_data(TensorData::new(powers, [steps]), options).reshape([steps, 1, 1]);
    kernel::filter(input, decay) + powers * before.clone().unsqueeze_dim(0)
}

/// Factor ζ of the synaptic current in a leaky membrane, `v^t = α v^{t−1} + ζ I^t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InputNormalization {
    /// ζ = 1.
    Unit,
    /// ζ = 1 − α: a constant current I drives v towards I.
    OneMinusDecay,
}

impl InputNormalization {
    /// ζ for the decay α.
    pub(super) fn factor(self, decay: &Constant) -> Constant {
        match self {
            Self::Unit => Constant::Shared(1.0),
            Self::OneMinusDecay => decay.map(|alpha| 1.0 - alpha),
        }
    }
}

/// Threshold crossing of a spiking cell with base threshold θ. The refractory counter is the
/// first (and only) carried value of the cell's state.
#[derive(Debug, Clone)]
pub(super) struct Firing {
    pub(super) threshold: f64,
    pub(super) refractory_steps: usize,
    pub(super) pseudo_derivative: PseudoDerivative,
}

impl Firing {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        ConfigError::check_positive("threshold", self.threshold)?;
        self.pseudo_derivative.validate()
    }

    /// A cell's constants, with these.
    pub(super) fn describe(&self, constants: Constants) -> Constants {
        constants
            .with("threshold", self.threshold)
            .with("refractory_steps", self.refractory_steps)
            .with("pseudo_derivative", &self.pseudo_derivative)
    }

    /// u = (v − Θ)/θ for the distance v − Θ of the potential from the threshold.
    pub(super) fn normalize(&self, distance: Tensor<2>) -> Tensor<2> {
        distance.mul_scalar(1.0 / self.threshold)
    }

    /// z = 1[u > 0] outside refractoriness, exactly 0 or 1, with ψ as its derivative.
    pub(super) fn spike(&self, u: Tensor<2>, before: &CellState) -> Tensor<2> {
        let dtype = u.dtype();
        let mut fires = u.clone().greater_elem(0.0);
        if self.is_refractory() {
            fires = fires.bool_and(before.carried[0].clone().lower_equal_elem(0.0));
        }
        let spikes = fires.float().cast(dtype);
        if !u.is_autodiff() {
            return spikes;
        }
        // y − y is exactly 0 and has the gradient θψ with respect to u.
        let slope = self.psi(u.clone().detach(), before).mul_scalar(self.threshold);
        let y = u * slope.detach();
        spikes + (y.clone() - y.detach())
    }

    /// What of v is above the threshold Θ, or below −θ.
    pub(super) fn voltage_excess(&self, v: &Tensor<2>, threshold: Tensor<2>) -> Tensor<2> {
        let above = relu(v.clone() - threshold);
        let below = relu(v.clone().neg().sub_scalar(self.threshold));
        above - below
    }

    /// ψ = ∂z/∂v.
    pub(super) fn psi(&self, u: Tensor<2>, before: &CellState) -> Tensor<2> {
        let psi = self.pseudo_derivative.evaluate(u, self.threshold);
        if !self.is_refractory() || !self.pseudo_derivative.zero_in_refractoriness {
            return psi;
        }
        let silent = before.carried[0].clone().greater_elem(0.0);
        psi.mask_fill(silent, 0.0)
    }

    /// The refractory counter after the step: r^t = clip(r^{t−1} + n_ref z^t − 1, 0, n_ref).
    pub(super) fn count(&self, before: &CellState, spikes: &Tensor<2>) -> Vec<Tensor<2>> {
        if !self.is_refractory() {
            return before.carried.clone();
        }
        let steps = self.refractory_steps as f64;
        let spikes = spikes.clone().detach().mul_scalar(steps);
        let counter = before.carried[0].clone() + spikes;
        vec![counter.sub_scalar(1.0).clamp(0.0, steps)]
    }

    /// Simulates a chunk of LIF neurons or, with the decay and the strength of their adaptation, of ALIF neurons, by
    /// the kernel; `None` where there is none for the device, or neurons do not share their decay.
    pub(super) fn simulate(
        &self,
        chunk: &SynapticChunk,
        decay: &NeuronConstant,
        input_factor: &NeuronConstant,
        adaptation: Option<[&NeuronConstant; 2]>,
    ) -> Option<SimulatedChunk> {
        let [_, neurons] = chunk.state.output.dims();
        let supported = match chunk.shares_weights() {
            true => kernel::is_supported_with(&chunk.inputs, neurons),
            false => kernel::is_on_cpu(&chunk.inputs),
        };
        let decay = decay.shared().filter(|_| supported)?;
        let options = (&chunk.inputs.device(), chunk.inputs.dtype()).into();
        let constant = |constant: &NeuronConstant| constant.vector(neurons, &options);
        let CellState { hidden, carried, output } = chunk.state.clone();
        let counter = carried.iter().filter(|_| self.is_refractory()).cloned();
        let state = [hidden[0].clone(), output].into_iter().chain(counter).chain(hidden.get(1).cloned());
        let dynamics = SpikingDynamics {
            decay,
            threshold: self.threshold,
            refractory_steps: if self.is_refractory() { self.refractory_steps } else { 0 },
            pseudo_derivative: self.pseudo_derivative.clone(),
        };
        let run = kernel::simulate_spiking(
            SpikingChunk {
                inputs: chunk.inputs.clone().into_dispatch(),
                w_in: chunk.w_in.clone().into_dispatch(),
                bias: List::lower(chunk.bias.clone()),
                w_rec: chunk.w_rec.clone().into_dispatch(),
                input_factor: constant(input_factor).into_dispatch(),
                adaptation: List::lower(adaptation.into_iter().flatten().map(constant)),
                state: List::lower(state),
            },
            dynamics,
        );
        let mut state = run.state.lift::<2>().into_iter();
        let mut next = || state.next().expect("as many as went in");
        let (v, output) = (next(), next());
        let carried = if self.is_refractory() { vec![next()] } else { carried };
        let mut coefficients = run.linearization.lift::<2>().into_iter();
        let d = coefficients.next();
        let (c, a) = (coefficients.next(), coefficients.next());
        let adapts = adaptation.is_some();
        let rows = |coefficient: Option<Tensor<2>>| if adapts { vec![coefficient] } else { vec![] };
        // v^t = α v^{t−1} + ζ (I^t − θ/ζ z^{t−1})
        let reset = constant(input_factor).recip().mul_scalar(-self.threshold);
        Some(SimulatedChunk {
            own_output: Some(reset),
            outputs: Tensor::from_dispatch(run.outputs),
            state: CellState { hidden: [v].into_iter().chain(state).collect(), carried, output },
            linearization: Linearization {
                folded: Some(Folded { decay, gain: constant(input_factor) }),
                a: if adapts { vec![vec![a]] } else { vec![] },
                b: if adapts { vec![vec![d.clone()]] } else { vec![] },
                c: rows(c),
                d: vec![d],
            },
        })
    }

    /// The steps of LIF neurons or, with the decay of their adaptation, of ALIF neurons, of which the spikes are known: v and a
    /// are low-passes of what comes in and of the spikes. `None` where neurons do not share their decays, or elsewhere than on a
    /// CPU: Burn's fusion on wgpu (0.22.1) was seen to overwrite zeros that several tensors were shifted with.
    pub(super) fn replay(
        &self,
        before: &CellState,
        current: &Tensor<3>,
        spikes: &Tensor<3>,
        decay: &NeuronConstant,
        input_factor: &NeuronConstant,
        adaptation_decay: Option<&NeuronConstant>,
    ) -> Option<Transition> {
        let decay = decay.shared().filter(|_| kernel::is_on_cpu(&spikes.clone().without_autodiff()))?;
        let [steps, batch, neurons] = spikes.dims();
        let rows = |tensor: &Tensor<3>| tensor.clone().reshape([steps * batch, neurons]);
        let input = input_factor.scale(rows(current)).reshape([steps, batch, neurons]);
        let earlier = delayed(spikes, &before.output);
        let reset = earlier.clone().mul_scalar(self.threshold);
        let mut hidden = vec![low_pass_from(&before.hidden[0], input - reset, decay)];
        if let Some(decay) = adaptation_decay {
            hidden.push(low_pass_from(&before.hidden[1], spikes.clone(), decay.shared()?));
        }
        let counter = match self.is_refractory() {
            true => self.counter(&before.carried[0].clone().detach(), &spikes.clone().detach()),
            false => before.carried[0].clone().unsqueeze_dim::<3>(0).repeat_dim(0, steps),
        };
        let earlier_hidden =
            hidden.iter().zip(&before.hidden).map(|(hidden, before)| delayed(hidden, before));
        let state = |hidden: Vec<Tensor<3>>, counter: &Tensor<3>, output: &Tensor<3>| CellState {
            hidden: hidden.iter().map(rows).collect(),
            carried: vec![rows(counter)],
            output: rows(output),
        };
        Some(Transition {
            before: state(earlier_hidden.collect(), &delayed(&counter, &before.carried[0]), &earlier),
            currents: vec![rows(current)],
            after: state(hidden, &counter, spikes),
        })
    }

    /// The refractory counter after each step, for spikes [steps, batch, neurons] that follow on a counter: n_ref − 1 − k where the last one
    /// was k steps ago, and what is left of the counter. Of n_ref − 1 successive steps no more than one has a spike.
    fn counter(&self, before: &Tensor<2>, spikes: &Tensor<3>) -> Tensor<3> {
        let nothing = before.zeros_like();
        let mut ago = spikes.clone();
        let mut counter = spikes.zeros_like();
        for left in (1..self.refractory_steps).rev() {
            counter = counter + ago.clone().mul_scalar(left as f64);
            ago = delayed(&ago, &nothing);
        }
        let steps = spikes.dims()[0];
        let passed: Vec<f64> = (1..=steps).map(|step| step as f64).collect();
        let options = (&before.device(), before.dtype());
        let passed = Tensor::<1>::from_data(TensorData::new(passed, [steps]), options).reshape([steps, 1, 1]);
        counter + relu(before.clone().unsqueeze_dim::<3>(0) - passed)
    }

    /// One refractory step or none leaves no step silent.
    fn is_refractory(&self) -> bool {
        self.refractory_steps > 1
    }
}
