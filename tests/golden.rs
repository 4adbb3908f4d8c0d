//! Steps worked out by hand.

use burn::tensor::{Device, Tensor, TensorCreationOptions};
use burn_eprop::Cell;
use burn_eprop::cell::{AlifConfig, CellState, InputNormalization, LifConfig, LstmConfig, Transition};
use burn_eprop::eligibility::stepwise_traces;
use burn_eprop::surrogate::{PseudoDerivative, SurrogateShape};
use eprop_tests::case::{float64, tensor, uniform};
use eprop_tests::findings::{assert_close, values};
use rand::SeedableRng;
use rand::rngs::StdRng;

const EXACT: f64 = 1e-14;

/// The time constant in ms of a decay of 1/2 in a step of 1 ms.
fn half_life() -> f64 {
    1.0 / std::f64::consts::LN_2
}

fn options() -> TensorCreationOptions {
    float64(&Device::flex())
}

/// Steps of one neuron, from a state of zeros or a given one.
struct Run {
    transition: Transition,
}

impl Run {
    /// `currents` by step; each step lists the neuron's currents.
    fn new<C: Cell, const G: usize>(cell: &C, initial: Option<f64>, currents: &[[f64; G]]) -> Self {
        let mut state = cell.initial_state(1, &options());
        if let Some(hidden) = initial {
            state.hidden[0] = tensor(vec![hidden], [1, 1], &options());
        }
        let mut states = vec![state];
        for at_step in currents {
            let at_step = at_step.map(|current| tensor(vec![current], [1, 1], &options()));
            states.push(cell.step(states.last().expect("starts with one"), &at_step));
        }
        let of_gate = |gate: usize| currents.iter().map(|at_step| at_step[gate]).collect();
        let currents = (0..G).map(|gate| tensor(of_gate(gate), [currents.len(), 1], &options()));
        let transition = Transition {
            before: rows(&states[..states.len() - 1]),
            after: rows(&states[1..]),
            currents: currents.collect(),
        };
        Self { transition }
    }

    fn outputs(&self) -> Vec<f64> {
        values(&self.transition.after.output)
    }

    fn monitor<C: Cell>(&self, cell: &C, name: &str) -> Vec<f64> {
        let monitors = cell.monitors(&self.transition);
        values(&monitors.iter().find(|monitor| monitor.0 == name).expect("a monitor of the cell").1)
    }

    /// The eligibility traces of each current for presynaptic values, by step.
    fn traces<C: Cell>(&self, cell: &C, pre: &[f64]) -> Vec<Vec<f64>> {
        let pre = tensor(pre.to_vec(), [pre.len(), 1, 1], &options());
        stepwise_traces(&cell.linearize(&self.transition), pre).iter().map(values).collect()
    }
}

/// The states below one another.
fn rows(states: &[CellState]) -> CellState {
    let stack = |part: &dyn Fn(&CellState) -> &Tensor<2>| {
        Tensor::cat(states.iter().map(|state| part(state).clone()).collect(), 0)
    };
    CellState {
        hidden: (0..states[0].hidden.len()).map(|index| stack(&|state| &state.hidden[index])).collect(),
        carried: (0..states[0].carried.len()).map(|index| stack(&|state| &state.carried[index])).collect(),
        output: stack(&|state| &state.output),
    }
}

/// α = ζ = 1/2, θ = 0.4, γ = 0.3:
///
/// | t | v = ½ v + ½ I − 0.4 z | u = (v − 0.4)/0.4 | z | ψ = 0.75 (1 − ∣u∣) | pre̅ = ½ pre̅ + pre | e = ψ ½ pre̅ |
/// |---|---|---|---|---|---|---|
/// | 1 | ½·0.2 + ½·1.0 = 0.6 | 0.5 | 1 | 0.375 | 1 | 0.1875 |
/// | 2 | ½·0.6 + ½·0.6 − 0.4 = 0.2 | −0.5 | 0 | 0.375 | ½·1 + 0.5 = 1 | 0.1875 |
/// | 3 | ½·0.2 + ½·0.76 = 0.48 | 0.2 | 1 | 0.6 | ½·1 + 0 = 0.5 | 0.15 |
#[test]
fn lif() {
    let cell = LifConfig::new(1)
        .with_tau_membrane_ms(half_life().into())
        .with_threshold(0.4)
        .with_input_normalization(InputNormalization::OneMinusDecay)
        .init(options());
    let run = Run::new(&cell, Some(0.2), &[[1.0], [0.6], [0.76]]);
    assert_close("v", &run.monitor(&cell, "v"), &[0.6, 0.2, 0.48], EXACT);
    assert_eq!(run.outputs(), [1.0, 0.0, 1.0]);
    assert_close("ψ", &run.monitor(&cell, "psi"), &[0.375, 0.375, 0.6], EXACT);
    assert_close("e", &run.traces(&cell, &[1.0, 0.5, 0.0])[0], &[0.1875, 0.1875, 0.15], EXACT);
}

/// α = ρ = 1/2, ζ = 1, θ = 0.5, β = 0.2, γ = 0.3:
///
/// | t | v = ½ v + I − 0.5 z | a = ½ a + z (of t−1) | Θ = 0.5 + 0.2 a | z | ψ = 0.6 (1 − ∣v − Θ∣/0.5) |
/// |---|---|---|---|---|---|
/// | 1 | 0.8 | 0 | 0.5 | 1 | 0.6·0.4 = 0.24 |
/// | 2 | 0.4 + 1.0 − 0.5 = 0.9 | 1 | 0.7 | 1 | 0.6·0.6 = 0.36 |
/// | 3 | 0.45 + 0.6 − 0.5 = 0.55 | 1.5 | 0.8 | 0 | 0.6·0.5 = 0.3 |
///
/// At t = 3 the neuron would have fired without adaptation. With pre = 1, 0, 1:
///
/// | t | pre̅ | ε_a^t | e = ψ (pre̅ − 0.2 ε_a) | ε_a^{t+1} = ψ pre̅ + (½ − 0.2 ψ) ε_a |
/// |---|---|---|---|---|
/// | 1 | 1 | 0 | 0.24 | 0.24 |
/// | 2 | 0.5 | 0.24 | 0.36·0.452 = 0.16272 | 0.18 + 0.428·0.24 = 0.28272 |
/// | 3 | 1.25 | 0.28272 | 0.3·1.193456 = 0.3580368 | |
#[test]
fn alif() {
    let config = AlifConfig::new(1)
        .with_tau_membrane_ms(half_life().into())
        .with_tau_adaptation_ms(half_life().into())
        .with_adaptation_strength(0.2.into())
        .with_threshold(0.5);
    let per_neuron = config.clone().with_tau_membrane_ms(vec![half_life()].into());
    for cell in [config.init(options()), per_neuron.init(options())] {
        let run = Run::new(&cell, None, &[[0.8], [1.0], [0.6]]);
        assert_close("v", &run.monitor(&cell, "v"), &[0.8, 0.9, 0.55], EXACT);
        assert_close("a", &run.monitor(&cell, "a"), &[0.0, 1.0, 1.5], EXACT);
        assert_close("Θ", &run.monitor(&cell, "threshold"), &[0.5, 0.7, 0.8], EXACT);
        assert_eq!(run.outputs(), [1.0, 1.0, 0.0]);
        assert_close("ψ", &run.monitor(&cell, "psi"), &[0.24, 0.36, 0.3], EXACT);
        assert_close("e", &run.traces(&cell, &[1.0, 0.0, 1.0])[0], &[0.24, 0.16272, 0.3580368], EXACT);
    }
}

/// Currents ln 3, 0, ½ ln 3, −ln 3 open the gates to i = 3/4, f = 1/2, g = 1/2, o = 1/4 at both steps.
/// From c = 1/4, with pre = 1, 2:
///
/// | t | c = ½ c + 3/8 | J_i = g i(1−i) | J_f = c^{t−1} f(1−f) | J_g = i(1−g²) | ε_i | ε_f | ε_g |
/// |---|---|---|---|---|---|---|---|
/// | 1 | 1/2 | 3/32 | 1/16 | 9/16 | 3/32 | 1/16 | 9/16 |
/// | 2 | 5/8 | 3/32 | 1/8 | 9/16 | ½·3/32 + 2·3/32 | ½·1/16 + 2·1/8 | ½·9/16 + 2·9/16 |
///
/// z = ¼ tanh c, e_q = ¼ (1 − tanh² c) ε_q, e_o = tanh c · 3/16 · pre.
#[test]
fn lstm() {
    let cell = LstmConfig::new(1).init();
    let ln_3 = 3.0_f64.ln();
    let gates = [ln_3, 0.0, 0.5 * ln_3, -ln_3];
    let run = Run::new(&cell, Some(0.25), &[gates, gates]);
    let tanh = [0.462_117_157_260_009_75, 0.554_599_722_349_382_3]; // of 1/2 and 5/8
    assert_close("c", &run.monitor(&cell, "c"), &[0.5, 0.625], EXACT);
    assert_close("z", &run.outputs(), &tanh.map(|tanh| 0.25 * tanh), EXACT);

    let slope = tanh.map(|tanh| 0.25 * (1.0 - tanh * tanh));
    let through_c = |vectors: [f64; 2]| [slope[0] * vectors[0], slope[1] * vectors[1]];
    let traces = run.traces(&cell, &[1.0, 2.0]);
    assert_close("e_i", &traces[0], &through_c([3.0 / 32.0, 7.5 / 32.0]), EXACT);
    assert_close("e_f", &traces[1], &through_c([1.0 / 16.0, 4.5 / 16.0]), EXACT);
    assert_close("e_g", &traces[2], &through_c([9.0 / 16.0, 22.5 / 16.0]), EXACT);
    assert_close("e_o", &traces[3], &[tanh[0] * 3.0 / 16.0, tanh[1] * 6.0 / 16.0], EXACT);
}

/// A neuron that would fire at every step.
fn driven(refractory_steps: usize, zero_in_refractoriness: bool) -> LifConfig {
    LifConfig::new(1)
        .with_tau_membrane_ms(half_life().into())
        .with_threshold(0.5)
        .with_refractory_steps(refractory_steps)
        .with_pseudo_derivative(PseudoDerivative { zero_in_refractoriness, ..PseudoDerivative::default() })
}

#[test]
fn refractoriness_silences_one_step_less_than_its_length() {
    for (refractory_steps, period) in [(0, 1), (1, 1), (2, 2), (3, 3), (5, 5)] {
        let cell = driven(refractory_steps, true).init(options());
        let run = Run::new(&cell, None, &[[1.2]; 12]);
        let expected: Vec<_> = (0..12).map(|step| f64::from(step % period == 0)).collect();
        assert_eq!(run.outputs(), expected, "n_ref = {refractory_steps}");
    }
}

/// v^t = ½ v + 0.6 − 0.5 z goes on in refractoriness: 0.6 and a spike, then 0.4, 0.8, 1.0, 1.1 in silence,
/// then 1.15 and a spike.
#[test]
fn potential_integrates_in_refractoriness() {
    let potentials = [0.6, 0.4, 0.8, 1.0, 1.1, 1.15];
    for masked in [true, false] {
        let cell = driven(5, masked).init(options());
        let run = Run::new(&cell, None, &[[0.6]; 6]);
        assert_close("v", &run.monitor(&cell, "v"), &potentials, EXACT);
        assert_eq!(run.outputs(), [1.0, 0.0, 0.0, 0.0, 0.0, 1.0]);

        let psi = potentials.map(|v| 0.6 * (1.0 - (v - 0.5_f64).abs() / 0.5).max(0.0));
        let psi = if masked { [psi[0], 0.0, 0.0, 0.0, 0.0, psi[5]] } else { psi };
        assert_close("ψ", &run.monitor(&cell, "psi"), &psi, EXACT);
    }
}

/// v = I exactly, in the first step from rest.
#[test]
fn a_potential_on_the_threshold_is_silent() {
    let lif = driven(0, true).init(options());
    let alif = AlifConfig::new(1).with_threshold(0.5).init(options());
    let below = 0.5_f64.next_down();
    let above = 0.5_f64.next_up();
    for (potential, spike) in [(below, 0.0), (0.5, 0.0), (above, 1.0)] {
        assert_eq!(Run::new(&lif, None, &[[potential]]).outputs(), [spike], "{potential:?}");
        assert_eq!(Run::new(&alif, None, &[[potential]]).outputs(), [spike], "{potential:?}");
    }
    let on_threshold = Run::new(&lif, None, &[[0.5]]);
    assert_close("ψ at the threshold", &on_threshold.monitor(&lif, "psi"), &[0.6], EXACT);
}

/// The detour that gives a spike its derivative must not change its value.
#[test]
fn spikes_are_0_or_1_in_the_autodiff_graph_too() {
    let rng = &mut StdRng::seed_from_u64(0);
    let cell = AlifConfig::new(50).with_refractory_steps(2).init(options());
    let mut state = cell.initial_state(4, &options());
    let mut tracked = state.map(|tensor| tensor.clone().autodiff());
    let mut spikes = 0.0;
    for _ in 0..30 {
        let current = uniform([4, 50], -1.0..1.5, rng, &options());
        state = cell.step(&state, std::slice::from_ref(&current));
        tracked = cell.step(&tracked, &[current.autodiff().require_grad()]);
        let output = values(&tracked.output);
        assert!(output.iter().all(|&z| z == 0.0 || z == 1.0));
        assert_eq!(output, values(&state.output));
        spikes += output.iter().sum::<f64>();
    }
    assert!((200.0..3000.0).contains(&spikes), "{spikes} spikes in 6000 steps");
}

/// s(u) at ∣u∣ = 0, ½, 1, 2.
#[test]
fn pseudo_derivatives() {
    let ln_9 = 9.0_f64.ln();
    let shapes = [
        (SurrogateShape::PiecewiseLinear, [1.0, 0.5, 0.0, 0.0]),
        // 1/(1 + 2∣u∣)²
        (SurrogateShape::FastSigmoid { slope: 2.0 }, [1.0, 1.0 / 4.0, 1.0 / 9.0, 1.0 / 25.0]),
        // π k/2 = 1: 1/(1 + u²)
        (SurrogateShape::Arctan { slope: std::f64::consts::FRAC_2_PI }, [1.0, 0.8, 0.5, 0.2]),
        // σ(u ln 9) = 1/2, 3/4, 9/10, 81/82
        (SurrogateShape::Sigmoid { slope: ln_9 }, [1.0, 0.75, 0.36, 4.0 * 81.0 / (82.0 * 82.0)]),
    ];
    for (shape, expected) in shapes {
        for (divide_by_threshold, factor) in [(true, 0.3 / 0.5), (false, 0.3)] {
            let psi = PseudoDerivative { shape, divide_by_threshold, ..PseudoDerivative::default() };
            let expected = expected.map(|value| value * factor);
            for sign in [1.0, -1.0] {
                let u = [0.0, 0.5, 1.0, 2.0].map(|u| sign * u);
                let found = psi.evaluate(tensor(u.to_vec(), [4], &options()), 0.5);
                assert_close(&format!("{shape:?}"), &values(&found), &expected, EXACT);
            }
        }
    }
}

/// The bias of the forget gates alone starts at 1; gates are in the order i, f, g, o.
#[test]
fn the_forget_gates_start_open() {
    let bias = LstmConfig::new(2).init().initial_bias();
    assert_eq!(bias, Some(vec![0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]));
    let bias = LstmConfig::new(1).with_forget_bias(-0.5).init().initial_bias();
    assert_eq!(bias, Some(vec![0.0, -0.5, 0.0, 0.0]));
}
