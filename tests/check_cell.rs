//! The check of hand-derived linearisations: it passes every closed form, and refuses wrong ones.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorCreationOptions};
use burn_eprop::Cell;
use burn_eprop::cell::{
    Alif, CellState, Folded, InputNormalization, Lif, Linearization, LinearizationError, Lstm, Transition,
    check_cell,
};
use burn_eprop::surrogate::PseudoDerivative;
use eprop_tests::case::{Build, Case, SHAPES, float64};
use eprop_tests::cells::{alif, alif_config, alif_per_neuron, lif, lif_per_neuron, lstm};
use eprop_tests::findings::values;
use eprop_tests::for_every_cell;

const NEURONS: usize = 5;
const CURRENT_SCALE: f64 = 0.7;
const TOLERANCE: f64 = 1e-11;

for_every_cell!(every_closed_form: lif, lif_per_neuron, alif, alif_per_neuron, lstm);

fn every_closed_form<C: Cell>(build: Build<C>) {
    for case in spiking_options() {
        let cell = build(&case, NEURONS, &options());
        let error = check_cell(&cell, options(), CURRENT_SCALE, TOLERANCE);
        let error = error.unwrap_or_else(|error| panic!("{error}: {case:?}"));
        println!("{error:.1e} {:?}", case.pseudo_derivative);
    }
}

/// Every combination of a spiking cell's options.
fn spiking_options() -> Vec<Case> {
    let mut cases = Vec::new();
    for shape in SHAPES {
        for input_normalization in [InputNormalization::Unit, InputNormalization::OneMinusDecay] {
            for (refractory_steps, zero_in_refractoriness) in [(0, true), (1, true), (4, true), (4, false)] {
                for divide_by_threshold in [true, false] {
                    let pseudo_derivative =
                        PseudoDerivative { shape, height: 0.4, divide_by_threshold, zero_in_refractoriness };
                    cases.push(Case {
                        input_normalization,
                        refractory_steps,
                        pseudo_derivative,
                        ..Case::new(0)
                    });
                }
            }
        }
    }
    cases
}

fn options() -> TensorCreationOptions {
    float64(&Device::flex())
}

/// A cell whose linearisation is that of another cell, tampered with.
#[derive(Module, Debug)]
struct Tampered<C: Module> {
    steps: C,
    linearizes: C,
    #[module(skip)]
    tamper: Tamper,
}

type Tamper = fn(&Transition, Linearization) -> Linearization;

impl<C: Cell> Cell for Tampered<C> {
    const CURRENTS: usize = C::CURRENTS;
    const HIDDEN: usize = C::HIDDEN;
    const CARRIED: usize = C::CARRIED;
    const AUTAPSES: bool = C::AUTAPSES;

    fn neurons(&self) -> usize {
        self.steps.neurons()
    }

    fn step(&self, state: &CellState, currents: &[Tensor<2>]) -> CellState {
        self.steps.step(state, currents)
    }

    fn linearize(&self, transition: &Transition) -> Linearization {
        (self.tamper)(transition, self.linearizes.linearize(transition))
    }
}

/// A problem's cells with refractoriness.
fn case() -> Case {
    Case { refractory_steps: 4, ..Case::new(0) }
}

/// Asserts that the linearisation is refused, and how wrong it is at least.
fn assert_refused<C: Cell>(steps: C, linearizes: C, at_least: f64, tamper: Tamper) {
    let cell = Tampered { steps, linearizes, tamper };
    match check_cell(&cell, options(), CURRENT_SCALE, TOLERANCE) {
        Err(
            LinearizationError::Mismatch { error, tolerance, .. }
            | LinearizationError::Gain { error, tolerance },
        ) => {
            assert_eq!(tolerance, TOLERANCE);
            assert!(error.is_nan() || error >= at_least, "an error of {error:e} only, below {at_least:e}");
        }
        other => panic!("{other:?}"),
    }
}

fn tampered_lif(at_least: f64, tamper: Tamper) {
    let cell: Lif = lif(&case(), NEURONS, &options());
    assert_refused(cell.clone(), cell, at_least, tamper);
}

fn tampered_alif(at_least: f64, tamper: Tamper) {
    let cell: Alif = alif(&case(), NEURONS, &options());
    assert_refused(cell.clone(), cell, at_least, tamper);
}

fn tampered_lstm(at_least: f64, tamper: Tamper) {
    let cell: Lstm = lstm(&case(), NEURONS, &options());
    assert_refused(cell.clone(), cell, at_least, tamper);
}

#[test]
fn refuses_nan() {
    tampered_lif(f64::INFINITY, |_, mut linearization| {
        linearization.d[0] = linearization.d[0].take().map(|d| d.mul_scalar(f64::NAN));
        linearization
    });
}

#[test]
fn refuses_an_error_above_the_tolerance() {
    tampered_lif(0.9e-9, |_, mut linearization| {
        linearization.d[0] = linearization.d[0].take().map(|d| d.mul_scalar(1.0 + 1e-9));
        linearization
    });
}

#[test]
fn refuses_lif_with_another_decay() {
    tampered_lif(1e-2, |_, linearization| {
        let folded = linearization.folded.map(|folded| Folded { decay: 0.8, ..folded });
        Linearization { folded, ..linearization }
    });
}

#[test]
fn refuses_lif_with_another_gain() {
    tampered_lif(1e-2, |_, linearization| {
        let folded =
            linearization.folded.map(|Folded { decay, gain }| Folded { decay, gain: gain.mul_scalar(1.1) });
        Linearization { folded, ..linearization }
    });
}

#[test]
fn refuses_lif_without_its_filter() {
    let cell: Lif = lif_per_neuron(&case(), NEURONS, &options());
    assert_refused(cell.clone(), cell, 1e-2, |_, mut linearization| {
        linearization.c[0] = None;
        linearization
    });
}

/// ρ in place of ρ − βψ.
#[test]
fn refuses_alif_whose_threshold_does_not_see_itself() {
    tampered_alif(1e-2, |_, mut linearization| {
        let by_adaptation = linearization.c[0].clone().expect("−βψ");
        linearization.a[0][0] = linearization.a[0][0].take().map(|a| a - by_adaptation);
        linearization
    });
}

#[test]
fn refuses_alif_as_lif() {
    tampered_alif(1e-2, |_, mut linearization| {
        linearization.c[0] = None;
        linearization
    });
}

#[test]
fn refuses_alif_without_the_effect_of_its_potential_on_its_threshold() {
    let cell: Alif = alif_per_neuron(&case(), NEURONS, &options());
    assert_refused(cell.clone(), cell, 1e-2, |_, mut linearization| {
        linearization.a[1][0] = None;
        linearization
    });
}

#[test]
fn refuses_a_pseudo_derivative_that_ignores_refractoriness() {
    let steps = alif(&case(), NEURONS, &options());
    let ignoring = PseudoDerivative { zero_in_refractoriness: false, ..PseudoDerivative::default() };
    let linearizes = alif_config(&case(), NEURONS).with_pseudo_derivative(ignoring).init(options());
    assert_refused(steps, linearizes, 1e-2, |_, linearization| linearization);
}

/// f^{t−1} in place of f^t.
#[test]
fn refuses_lstm_with_the_forget_gate_of_the_step_before() {
    tampered_lstm(1e-2, |transition, mut linearization| {
        let forget = linearization.a[0][0].take().expect("f");
        let rows = forget.dims()[0];
        let at_rest = values(&transition.before.hidden[0]);
        let batch = at_rest.chunks(NEURONS).filter(|row| row.iter().all(|&c| c == 0.0)).count();
        assert!((1..rows).contains(&batch), "{batch} of {rows} rows are at rest");
        let first = forget.clone().narrow(0, 0, batch);
        let before = Tensor::cat(vec![first, forget.clone().narrow(0, 0, rows - batch)], 0);
        linearization.c[0] = linearization.c[0].take().map(|c| c * before.clone() / forget);
        linearization.a[0][0] = Some(before);
        linearization
    });
}

#[test]
fn refuses_lstm_with_gates_in_another_order() {
    tampered_lstm(1e-2, |_, mut linearization| {
        linearization.b[0].swap(0, 2);
        linearization.d.swap(0, 2);
        linearization
    });
}

#[test]
fn refuses_lstm_without_output_gate() {
    tampered_lstm(1e-2, |_, mut linearization| {
        linearization.d[3] = None;
        linearization
    });
}

/// A current too few is named, not left out of the comparison.
#[test]
fn refuses_a_linearization_of_another_size() {
    let cell: Lstm = lstm(&case(), NEURONS, &options());
    let without_output_gate: Tamper = |_, mut linearization| {
        linearization.d.pop();
        linearization
    };
    let cell = Tampered { steps: cell.clone(), linearizes: cell, tamper: without_output_gate };
    let sizes = LinearizationError::Sizes { what: "currents of D", found: 3, expected: 4 };
    assert_eq!(check_cell(&cell, options(), CURRENT_SCALE, TOLERANCE), Err(sizes));
}

#[test]
fn says_that_a_silent_cell_was_not_checked() {
    for neurons in [1, NEURONS] {
        let cell = lif(&case(), neurons, &options());
        assert_eq!(check_cell(&cell, options(), 0.0, TOLERANCE), Err(LinearizationError::Silent));
    }
}
