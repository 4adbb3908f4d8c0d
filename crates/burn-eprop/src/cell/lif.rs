//! Leaky integrate-and-fire neurons.
//!
//! $$ v^t = \alpha v^{t-1} + \zeta I^t - \theta z^{t-1}, \qquad z^t = 1[v^t > \theta] $$
//!
//! and $z^t = 0$ while the neuron is refractory (Bellec et al. 2019, arXiv:1901.09049, eqs. 11-12).
//!
//! | symbol | unit | field |
//! |---|---|---|
//! | α = exp(−dt/τ_m) | | `tau_membrane_ms`, `dt_ms` |
//! | θ | as v | `threshold` |
//! | ζ | | `input_normalization` |
//! | n_ref: n_ref − 1 silent steps follow a spike | steps | `refractory_steps` |
//! | ψ = ∂z/∂v | 1/v | `pseudo_derivative` |
//!
//! The one hidden value is v; its eligibility vector is the presynaptic value filtered by α, times
//! ζ, and the eligibility trace is `e_ji = ψ_j ζ_j pre̅_i`.

use burn::config::Config;
use burn::module::Module;
use burn::tensor::{Tensor, TensorCreationOptions};

use super::firing::Firing;
use super::{
    Cell, CellState, Constants, InputNormalization, Linearization, SimulatedChunk, SynapticChunk, Transition,
};
use crate::constant::{Constant, NeuronConstant};
use crate::error::{ConfigError, expect_valid};
use crate::surrogate::PseudoDerivative;

/// Configuration of a [`Lif`] population.
#[derive(Config, Debug, PartialEq)]
pub struct LifConfig {
    /// Number of neurons.
    pub neurons: usize,
    /// Membrane time constant τ_m in ms.
    #[config(default = "Constant::Shared(20.0)")]
    pub tau_membrane_ms: Constant,
    /// Duration of a step in ms.
    #[config(default = 1.0)]
    pub dt_ms: f64,
    /// Threshold θ.
    #[config(default = 0.6)]
    pub threshold: f64,
    /// n_ref; 0 and 1 mean no refractoriness.
    #[config(default = 0)]
    pub refractory_steps: usize,
    /// Factor of the synaptic current.
    #[config(default = "InputNormalization::Unit")]
    pub input_normalization: InputNormalization,
    /// Pseudo-derivative of the spike.
    #[config(default = "PseudoDerivative::default()")]
    pub pseudo_derivative: PseudoDerivative,
    /// Whether neurons have a trainable bias current, 0 at first.
    #[config(default = false)]
    pub bias: bool,
}

/// A population of LIF neurons; see the [module](self) for its equations. Create it with
/// [`LifConfig::init`].
///
/// Hidden values: v.
#[derive(Module, Debug)]
pub struct Lif {
    /// α, the membrane's decay in a step.
    pub decay: NeuronConstant,
    /// ζ, the factor of the current.
    pub input_factor: NeuronConstant,
    #[module(skip)]
    config: LifConfig,
    #[module(skip)]
    firing: Firing,
}

impl LifConfig {
    /// Checks the ranges of all fields.
    pub fn validate(&self) -> Result<(), ConfigError> {
        ConfigError::check(self.neurons > 0, "neurons", self.neurons, "at least 1")?;
        ConfigError::check_positive("dt_ms", self.dt_ms)?;
        let positive = |value| value > 0.0;
        self.tau_membrane_ms.check("tau_membrane_ms", self.neurons, positive, "finite and greater than 0")?;
        self.firing().validate()
    }

    /// The population.
    ///
    /// # Panics
    ///
    /// If [`validate`](Self::validate) fails.
    #[track_caller]
    pub fn init(&self, options: impl Into<TensorCreationOptions>) -> Lif {
        expect_valid("LifConfig", self.validate());
        let options = options.into();
        let decay = self.tau_membrane_ms.decay(self.dt_ms);
        Lif {
            input_factor: self.input_normalization.factor(&decay).init(&options),
            decay: decay.init(&options),
            config: self.clone(),
            firing: self.firing(),
        }
    }

    fn firing(&self) -> Firing {
        Firing {
            threshold: self.threshold,
            refractory_steps: self.refractory_steps,
            pseudo_derivative: self.pseudo_derivative.clone(),
        }
    }
}

impl Lif {
    /// u = (v − θ)/θ.
    fn normalized_distance(&self, v: &Tensor<2>) -> Tensor<2> {
        self.firing.normalize(v.clone().sub_scalar(self.firing.threshold))
    }

    fn psi(&self, transition: &Transition) -> Tensor<2> {
        let u = self.normalized_distance(&transition.after.hidden[0]);
        self.firing.psi(u, &transition.before)
    }
}

impl Cell for Lif {
    const CURRENTS: usize = 1;
    const HIDDEN: usize = 1;
    const CARRIED: usize = 1;
    const AUTAPSES: bool = false;

    fn neurons(&self) -> usize {
        self.config.neurons
    }

    fn constants(&self) -> Option<Constants> {
        let constants = Constants::new()
            .with("dt_ms", self.config.dt_ms)
            .with_constant("tau_membrane_ms", &self.config.tau_membrane_ms)
            .with("input_normalization", self.config.input_normalization);
        Some(self.firing.describe(constants))
    }

    fn dt_ms(&self) -> Option<f64> {
        Some(self.config.dt_ms)
    }

    fn initial_bias(&self) -> Option<Vec<f64>> {
        self.config.bias.then(|| vec![0.0; self.config.neurons])
    }

    fn step(&self, state: &CellState, currents: &[Tensor<2>]) -> CellState {
        let v = self.decay.scale(state.hidden[0].clone()) + self.input_factor.scale(currents[0].clone())
            - state.output.clone().mul_scalar(self.firing.threshold);
        let output = self.firing.spike(self.normalized_distance(&v), state);
        CellState { carried: self.firing.count(state, &output), hidden: vec![v], output }
    }

    fn linearize(&self, transition: &Transition) -> Linearization {
        let psi = self.psi(transition);
        let d = vec![Some(self.input_factor.scale(psi.clone()))];
        match self.decay.shared() {
            Some(decay) => {
                let folded = Some(self.input_factor.folded(decay, &psi));
                Linearization { folded, a: vec![], b: vec![], c: vec![], d }
            }
            None => Linearization {
                folded: None,
                a: vec![vec![Some(self.decay.full(&psi))]],
                b: vec![vec![Some(self.input_factor.full(&psi))]],
                c: vec![Some(self.decay.scale(psi))],
                d,
            },
        }
    }

    fn has_kernel(&self) -> bool {
        self.decay.shared().is_some()
    }

    fn simulate(&self, chunk: &SynapticChunk) -> Option<SimulatedChunk> {
        self.firing.simulate(chunk, &self.decay, &self.input_factor, None)
    }

    fn can_replay(&self) -> bool {
        self.decay.shared().is_some()
    }

    fn replay(&self, before: &CellState, currents: &[Tensor<3>], outputs: &Tensor<3>) -> Option<Transition> {
        self.firing.replay(before, &currents[0], outputs, &self.decay, &self.input_factor, None)
    }

    fn voltage_excess(&self, transition: &Transition) -> Option<Tensor<2>> {
        let v = &transition.after.hidden[0];
        Some(self.firing.voltage_excess(v, v.full_like(self.firing.threshold)))
    }

    fn monitors(&self, transition: &Transition) -> Vec<(&'static str, Tensor<2>)> {
        let v = transition.after.hidden[0].clone();
        vec![("threshold", v.full_like(self.firing.threshold)), ("v", v), ("psi", self.psi(transition))]
    }
}
