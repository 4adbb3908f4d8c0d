//! Long short-term memory (Hochreiter & Schmidhuber 1997; with a forget gate).
//!
//! $$ i, f, o = \sigma(I_i), \sigma(I_f), \sigma(I_o), \quad g = \tanh(I_g), \quad
//!    c^t = f c^{t-1} + i g, \quad z^t = o \tanh(c^t) $$
//!
//! The four currents of a unit are in the order i, f, g, o. The hidden value is c; with
//! $s = o(1 - \tanh^2 c)$ the eligibility vectors and traces of the gates are
//!
//! $$ \epsilon_q^t = f^t \epsilon_q^{t-1} + J_q^t\,pre^t, \quad e_q^t = s^t \epsilon_q^t, \quad
//!    J_i = g\,i(1-i),\; J_f = c^{t-1} f(1-f),\; J_g = i(1-g^2), \quad
//!    e_o^t = \tanh(c)\,o(1-o)\,pre^t $$
//!
//! (Bellec et al. 2019, arXiv:1901.09049, section "LSTM"; the output gate has no eligibility vector).

use burn::config::Config;
use burn::module::Module;
use burn::tensor::Tensor;

use super::{Cell, CellState, Constants, Linearization, SimulatedChunk, SynapticChunk, Transition};
use crate::error::{ConfigError, expect_valid};
use crate::kernel::{self, List, LstmChunk};
use crate::loss::sigmoid;
use crate::readout::LeakyReadoutConfig;

/// Configuration of an [`Lstm`] population.
#[derive(Config, Debug, PartialEq)]
pub struct LstmConfig {
    /// Number of units.
    pub neurons: usize,
    /// Initial bias of the forget gate.
    #[config(default = 1.0)]
    pub forget_bias: f64,
}

/// A population of LSTM units; see the [module](self) for its equations. Create it with
/// [`LstmConfig::init`].
///
/// Hidden values: c. Currents: i, f, g, o.
#[derive(Module, Debug)]
pub struct Lstm {
    #[module(skip)]
    neurons: usize,
    #[module(skip)]
    forget_bias: f64,
}

/// The gates of one step.
struct Gates {
    i: Tensor<2>,
    f: Tensor<2>,
    g: Tensor<2>,
    o: Tensor<2>,
}

impl LstmConfig {
    /// Checks the ranges of all fields.
    pub fn validate(&self) -> Result<(), ConfigError> {
        ConfigError::check(self.neurons > 0, "neurons", self.neurons, "at least 1")?;
        ConfigError::check(self.forget_bias.is_finite(), "forget_bias", self.forget_bias, "finite")
    }

    /// The population. It has no tensors of its own, hence needs no device.
    ///
    /// # Panics
    ///
    /// If [`validate`](Self::validate) fails.
    #[track_caller]
    pub fn init(&self) -> Lstm {
        expect_valid("LstmConfig", self.validate());
        Lstm { neurons: self.neurons, forget_bias: self.forget_bias }
    }
}

impl Gates {
    fn new(currents: &[Tensor<2>]) -> Self {
        let [i, f, g, o] = [0, 1, 2, 3].map(|gate| currents[gate].clone());
        Self { i: sigmoid(i), f: sigmoid(f), g: g.tanh(), o: sigmoid(o) }
    }
}

/// 1 − x.
fn one_minus(x: Tensor<2>) -> Tensor<2> {
    x.neg().add_scalar(1.0)
}

/// x(1 − x), the derivative of a sigmoid with the value x.
fn sigmoid_slope(x: &Tensor<2>) -> Tensor<2> {
    x.clone() * one_minus(x.clone())
}

impl Cell for Lstm {
    const CURRENTS: usize = 4;
    const HIDDEN: usize = 1;
    const AUTAPSES: bool = true;

    fn neurons(&self) -> usize {
        self.neurons
    }

    /// None: the forget gate's bias is an initial value.
    fn constants(&self) -> Option<Constants> {
        Some(Constants::new())
    }

    fn default_readout(&self) -> LeakyReadoutConfig {
        LeakyReadoutConfig::new().with_tau_ms(None)
    }

    fn initial_bias(&self) -> Option<Vec<f64>> {
        let n = self.neurons;
        let mut bias = vec![0.0; 4 * n];
        bias[n..2 * n].fill(self.forget_bias);
        Some(bias)
    }

    fn step(&self, state: &CellState, currents: &[Tensor<2>]) -> CellState {
        let Gates { i, f, g, o } = Gates::new(currents);
        let c = f * state.hidden[0].clone() + i * g;
        CellState { output: o * c.clone().tanh(), hidden: vec![c], carried: vec![] }
    }

    // ANCHOR: linearize
    fn linearize(&self, transition: &Transition) -> Linearization {
        let Gates { i, f, g, o } = Gates::new(&transition.currents);
        let c_before = transition.before.hidden[0].clone();
        let tanh_c = transition.after.hidden[0].clone().tanh();
        let slope = o.clone() * one_minus(tanh_c.clone() * tanh_c.clone()); // s
        let j_i = g.clone() * sigmoid_slope(&i);
        let j_f = c_before * sigmoid_slope(&f);
        let j_g = i * one_minus(g.clone() * g);
        let through_c = |j: &Tensor<2>| Some(slope.clone() * j.clone());
        Linearization {
            folded: None,
            c: vec![through_c(&f)],
            d: vec![through_c(&j_i), through_c(&j_f), through_c(&j_g), Some(tanh_c * sigmoid_slope(&o))],
            b: vec![vec![Some(j_i), Some(j_f), Some(j_g), None]],
            a: vec![vec![Some(f)]],
        }
    }
    // ANCHOR_END: linearize

    fn has_kernel(&self) -> bool {
        true
    }

    fn simulate(&self, chunk: &SynapticChunk) -> Option<SimulatedChunk> {
        if !chunk.shares_weights() || !kernel::is_supported_with(&chunk.inputs, self.neurons) {
            return None;
        }
        let CellState { hidden, output, .. } = chunk.state.clone();
        let run = kernel::simulate_lstm(LstmChunk {
            inputs: chunk.inputs.clone().into_dispatch(),
            w_in: chunk.w_in.clone().into_dispatch(),
            bias: List::lower(chunk.bias.clone()),
            w_rec: chunk.w_rec.clone().into_dispatch(),
            c: hidden[0].clone().into_dispatch(),
            output: output.into_dispatch(),
        });
        let mut coefficients = run.linearization.lift::<2>().into_iter();
        let mut next = || coefficients.next();
        Some(SimulatedChunk {
            own_output: None,
            outputs: Tensor::from_dispatch(run.outputs),
            state: CellState {
                hidden: vec![Tensor::from_dispatch(run.c)],
                carried: vec![],
                output: Tensor::from_dispatch(run.output),
            },
            linearization: Linearization {
                folded: None,
                a: vec![vec![next()]],
                b: vec![vec![next(), next(), next(), None]],
                c: vec![next()],
                d: vec![next(), next(), next(), next()],
            },
        })
    }

    fn monitors(&self, transition: &Transition) -> Vec<(&'static str, Tensor<2>)> {
        let Gates { i, f, g, o } = Gates::new(&transition.currents);
        vec![("c", transition.after.hidden[0].clone()), ("i", i), ("f", f), ("g", g), ("o", o)]
    }
}
