//! A builder for every kind of cell.
//!
//! Thresholds and the strength of adaptation scale with ζ, so that neurons spike alike with both
//! normalisations of the input.

use burn::tensor::TensorCreationOptions;
use burn_eprop::cell::{Alif, AlifConfig, InputNormalization, Lif, LifConfig, Lstm, LstmConfig};
use burn_eprop::constant::Constant;

use crate::case::Case;
use crate::two_compartment::{TwoCompartment, TwoCompartmentConfig};

const TAU_MEMBRANE_MS: f64 = 8.0;
const TAU_ADAPTATION_MS: f64 = 15.0;

/// Runs a check for every kind of cell, each as a test of its own: `check::lif` and so on. The check is
/// `fn check<C: Cell>(build: Build<C>)`; after a colon the kinds can be named.
#[macro_export]
macro_rules! for_every_cell {
    ($check:ident) => {
        $crate::for_every_cell!($check: lif, lif_per_neuron, alif, alif_per_neuron, lstm, two_compartment);
    };
    ($check:ident: $($cell:ident),*) => {
        mod $check {
            $(#[test]
            fn $cell() {
                super::$check($crate::cells::$cell);
            })*
        }
    };
}

/// LIF neurons that share their constants.
pub fn lif(case: &Case, neurons: usize, options: &TensorCreationOptions) -> Lif {
    lif_config(case, neurons).init(options.clone())
}

/// LIF neurons, each with its own time constant.
pub fn lif_per_neuron(case: &Case, neurons: usize, options: &TensorCreationOptions) -> Lif {
    lif_config(case, neurons).with_tau_membrane_ms(per_neuron(neurons, TAU_MEMBRANE_MS)).init(options.clone())
}

/// LIF and ALIF neurons that share their time constants.
pub fn alif(case: &Case, neurons: usize, options: &TensorCreationOptions) -> Alif {
    alif_config(case, neurons).init(options.clone())
}

/// ALIF neurons, each with its own constants.
pub fn alif_per_neuron(case: &Case, neurons: usize, options: &TensorCreationOptions) -> Alif {
    alif_config(case, neurons)
        .with_tau_membrane_ms(per_neuron(neurons, TAU_MEMBRANE_MS))
        .with_tau_adaptation_ms(per_neuron(neurons, TAU_ADAPTATION_MS))
        .with_adaptation_strength(per_neuron(neurons, adaptation_strength(case)))
        .init(options.clone())
}

/// LSTM units.
pub fn lstm(_case: &Case, neurons: usize, _options: &TensorCreationOptions) -> Lstm {
    LstmConfig::new(neurons).init()
}

/// Neurons that are known by their step alone.
pub fn two_compartment(case: &Case, neurons: usize, _options: &TensorCreationOptions) -> TwoCompartment {
    TwoCompartmentConfig { neurons, pseudo_derivative: case.pseudo_derivative.clone(), bias: case.bias }
        .init()
}

/// The configuration behind [`lif`].
pub fn lif_config(case: &Case, neurons: usize) -> LifConfig {
    LifConfig::new(neurons)
        .with_tau_membrane_ms(TAU_MEMBRANE_MS.into())
        .with_threshold(0.6 * input_factor(case))
        .with_refractory_steps(case.refractory_steps)
        .with_input_normalization(case.input_normalization)
        .with_pseudo_derivative(case.pseudo_derivative.clone())
        .with_bias(case.bias)
}

/// The configuration behind [`alif`].
pub fn alif_config(case: &Case, neurons: usize) -> AlifConfig {
    AlifConfig::mixed(neurons, neurons.div_ceil(2), adaptation_strength(case))
        .with_tau_membrane_ms(TAU_MEMBRANE_MS.into())
        .with_tau_adaptation_ms(TAU_ADAPTATION_MS.into())
        .with_threshold(0.6 * input_factor(case))
        .with_refractory_steps(case.refractory_steps)
        .with_input_normalization(case.input_normalization)
        .with_pseudo_derivative(case.pseudo_derivative.clone())
        .with_bias(case.bias)
}

/// β, which raises the threshold by a third with a spike.
fn adaptation_strength(case: &Case) -> f64 {
    0.2 * input_factor(case)
}

/// ζ.
fn input_factor(case: &Case) -> f64 {
    match case.input_normalization {
        InputNormalization::Unit => 1.0,
        InputNormalization::OneMinusDecay => 1.0 - (-1.0 / TAU_MEMBRANE_MS).exp(),
    }
}

/// Values from `value` up to twice that, one for each neuron.
fn per_neuron(neurons: usize, value: f64) -> Constant {
    let values = (0..neurons).map(|neuron| value * (1.0 + neuron as f64 / neurons as f64));
    Constant::PerNeuron(values.collect())
}
