//! Leaky integrate-and-fire neurons with an adaptive threshold (ALIF; networks of them and of LIF
//! neurons are known as LSNNs).
//!
//! $$ v^t = \alpha v^{t-1} + \zeta I^t - \theta z^{t-1}, \qquad
//!    z^t = 1[v^t > \theta + \beta a^t], \qquad a^{t+1} = \rho a^t + z^t $$
//!
//! (Bellec et al. 2019, arXiv:1901.09049, eqs. 13-15; Bellec et al. 2018, arXiv:1803.09574.)
//!
//! | symbol | unit | field |
//! |---|---|---|
//! | α = exp(−dt/τ_m) | | `tau_membrane_ms`, `dt_ms` |
//! | ρ = exp(−dt/τ_a) | | `tau_adaptation_ms`, `dt_ms` |
//! | β | as v | `adaptation_strength` |
//! | θ | as v | `threshold` |
//! | ζ | | `input_normalization` |
//! | n_ref: n_ref − 1 silent steps follow a spike | steps | `refractory_steps` |
//! | ψ = ∂z/∂v, ∂z/∂a = −β ψ | 1/v | `pseudo_derivative` |
//!
//! The hidden values are v and a, the latter stored after its update: what the step at t finds is
//! a^t. With pre̅ the presynaptic value filtered by α, the eligibility vector's second component and
//! the trace are
//!
//! $$ \epsilon_a^{t+1} = \psi^t \zeta \overline{pre}^t + (\rho - \psi^t\beta)\,\epsilon_a^t, \qquad
//!    e^t = \psi^t (\zeta \overline{pre}^t - \beta\,\epsilon_a^t). $$
//!
//! β = 0 for some of the neurons gives a mixed population, see [`AlifConfig::mixed`].

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

/// Configuration of an [`Alif`] population.
#[derive(Config, Debug, PartialEq)]
pub struct AlifConfig {
    /// Number of neurons.
    pub neurons: usize,
    /// Membrane time constant τ_m in ms.
    #[config(default = "Constant::Shared(20.0)")]
    pub tau_membrane_ms: Constant,
    /// Time constant τ_a of the threshold's adaptation in ms.
    #[config(default = "Constant::Shared(2000.0)")]
    pub tau_adaptation_ms: Constant,
    /// Strength β of the adaptation: the threshold rises by β with a spike.
    #[config(default = "Constant::Shared(0.0174242)")]
    pub adaptation_strength: Constant,
    /// Duration of a step in ms.
    #[config(default = 1.0)]
    pub dt_ms: f64,
    /// Base threshold θ.
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

/// A population of ALIF neurons; see the [module](self) for its equations. Create it with
/// [`AlifConfig::init`].
///
/// Hidden values: v, a.
#[derive(Module, Debug)]
pub struct Alif {
    /// α, the membrane's decay in a step.
    pub decay: NeuronConstant,
    /// ρ, the adaptation's decay in a step.
    pub adaptation_decay: NeuronConstant,
    /// β, the strength of the adaptation.
    pub adaptation_strength: NeuronConstant,
    /// ζ, the factor of the current.
    pub input_factor: NeuronConstant,
    #[module(skip)]
    config: AlifConfig,
    #[module(skip)]
    firing: Firing,
}

impl AlifConfig {
    /// A population in which the last `adaptive` of the neurons adapt with strength β and the
    /// others, with β = 0, are LIF neurons.
    ///
    /// # Panics
    ///
    /// If `adaptive` is greater than `neurons`.
    #[track_caller]
    pub fn mixed(neurons: usize, adaptive: usize, beta: f64) -> Self {
        assert!(adaptive <= neurons, "{adaptive} adaptive neurons of {neurons}");
        let mut strengths = vec![0.0; neurons - adaptive];
        strengths.resize(neurons, beta);
        Self::new(neurons).with_adaptation_strength(strengths.into())
    }

    /// Checks the ranges of all fields.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let neurons = self.neurons;
        ConfigError::check(neurons > 0, "neurons", neurons, "at least 1")?;
        ConfigError::check_positive("dt_ms", self.dt_ms)?;
        let positive = |value| value > 0.0;
        let range = "finite and greater than 0";
        self.tau_membrane_ms.check("tau_membrane_ms", neurons, positive, range)?;
        self.tau_adaptation_ms.check("tau_adaptation_ms", neurons, positive, range)?;
        self.adaptation_strength.check("adaptation_strength", neurons, |_| true, "finite")?;
        self.firing().validate()
    }

    /// The population.
    ///
    /// # Panics
    ///
    /// If [`validate`](Self::validate) fails.
    #[track_caller]
    pub fn init(&self, options: impl Into<TensorCreationOptions>) -> Alif {
        expect_valid("AlifConfig", self.validate());
        let options = options.into();
        let decay = self.tau_membrane_ms.decay(self.dt_ms);
        Alif {
            input_factor: self.input_normalization.factor(&decay).init(&options),
            decay: decay.init(&options),
            adaptation_decay: self.tau_adaptation_ms.decay(self.dt_ms).init(&options),
            adaptation_strength: self.adaptation_strength.init(&options),
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

impl Alif {
    /// u = (v − θ − β a)/θ.
    fn normalized_distance(&self, v: &Tensor<2>, a: &Tensor<2>) -> Tensor<2> {
        let threshold = self.threshold(a);
        self.firing.normalize(v.clone() - threshold)
    }

    /// Θ = θ + β a.
    fn threshold(&self, a: &Tensor<2>) -> Tensor<2> {
        let adaptation = self.adaptation_strength.scale(a.clone());
        adaptation.add_scalar(self.firing.threshold)
    }

    fn psi(&self, transition: &Transition) -> Tensor<2> {
        let u = self.normalized_distance(&transition.after.hidden[0], &transition.before.hidden[1]);
        self.firing.psi(u, &transition.before)
    }
}

impl Cell for Alif {
    const CURRENTS: usize = 1;
    const HIDDEN: usize = 2;
    const CARRIED: usize = 1;
    const AUTAPSES: bool = false;

    fn neurons(&self) -> usize {
        self.config.neurons
    }

    fn constants(&self) -> Option<Constants> {
        let constants = Constants::new()
            .with("dt_ms", self.config.dt_ms)
            .with_constant("tau_membrane_ms", &self.config.tau_membrane_ms)
            .with_constant("tau_adaptation_ms", &self.config.tau_adaptation_ms)
            .with_constant("adaptation_strength", &self.config.adaptation_strength)
            .with("input_normalization", self.config.input_normalization);
        Some(self.firing.describe(constants))
    }

    fn dt_ms(&self) -> Option<f64> {
        Some(self.config.dt_ms)
    }

    fn initial_bias(&self) -> Option<Vec<f64>> {
        self.config.bias.then(|| vec![0.0; self.config.neurons])
    }

    // ANCHOR: step
    fn step(&self, state: &CellState, currents: &[Tensor<2>]) -> CellState {
        let [v, a] = [&state.hidden[0], &state.hidden[1]];
        let v = self.decay.scale(v.clone()) + self.input_factor.scale(currents[0].clone())
            - state.output.clone().mul_scalar(self.firing.threshold);
        let output = self.firing.spike(self.normalized_distance(&v, a), state);
        let a = self.adaptation_decay.scale(a.clone()) + output.clone();
        CellState { carried: self.firing.count(state, &output), hidden: vec![v, a], output }
    }
    // ANCHOR_END: step

    fn linearize(&self, transition: &Transition) -> Linearization {
        let psi = self.psi(transition);
        let by_current = self.input_factor.scale(psi.clone()); // ψ ζ
        let by_adaptation = self.adaptation_strength.scale(psi.clone()).neg(); // −β ψ
        let adaptation = self.adaptation_decay.add(by_adaptation.clone()); // ρ − β ψ
        let d = vec![Some(by_current.clone())];
        if let Some(decay) = self.decay.shared() {
            return Linearization {
                folded: Some(self.input_factor.folded(decay, &psi)),
                a: vec![vec![Some(adaptation)]],
                b: vec![vec![Some(by_current)]],
                c: vec![Some(by_adaptation)],
                d,
            };
        }
        let by_potential = self.decay.scale(psi.clone()); // α ψ
        Linearization {
            folded: None,
            a: vec![
                vec![Some(self.decay.full(&psi)), None],
                vec![Some(by_potential.clone()), Some(adaptation)],
            ],
            b: vec![vec![Some(self.input_factor.full(&psi))], vec![Some(by_current)]],
            c: vec![Some(by_potential), Some(by_adaptation)],
            d,
        }
    }

    fn has_kernel(&self) -> bool {
        self.decay.shared().is_some()
    }

    fn simulate(&self, chunk: &SynapticChunk) -> Option<SimulatedChunk> {
        let adaptation = [&self.adaptation_decay, &self.adaptation_strength];
        self.firing.simulate(chunk, &self.decay, &self.input_factor, Some(adaptation))
    }

    fn can_replay(&self) -> bool {
        self.decay.shared().and(self.adaptation_decay.shared()).is_some()
    }

    fn replay(&self, before: &CellState, currents: &[Tensor<3>], outputs: &Tensor<3>) -> Option<Transition> {
        let adaptation = Some(&self.adaptation_decay);
        self.firing.replay(before, &currents[0], outputs, &self.decay, &self.input_factor, adaptation)
    }

    fn voltage_excess(&self, transition: &Transition) -> Option<Tensor<2>> {
        let threshold = self.threshold(&transition.before.hidden[1]).detach();
        Some(self.firing.voltage_excess(&transition.after.hidden[0], threshold))
    }

    // ANCHOR: monitors
    fn monitors(&self, transition: &Transition) -> Vec<(&'static str, Tensor<2>)> {
        let a = transition.before.hidden[1].clone();
        vec![
            ("v", transition.after.hidden[0].clone()),
            ("threshold", self.threshold(&a)),
            ("a", a),
            ("psi", self.psi(transition)),
        ]
    }
    // ANCHOR_END: monitors
}
