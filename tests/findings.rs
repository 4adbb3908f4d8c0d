//! What an estimator found, as numbers by name, and how two findings compare.

use std::collections::BTreeMap;

use burn::module::{Param, ParamId};
use burn::tensor::Tensor;
use burn_eprop::{Cell, Estimate, Network};

/// Gradients by the names of their parameters.
pub type Gradients = BTreeMap<String, Vec<f64>>;

/// An estimate as numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Findings {
    /// The task's loss.
    pub loss: f64,
    /// The regulariser's loss.
    pub rate_loss: f64,
    /// y, [batch, time, outputs]; empty where not asked for.
    pub outputs: Vec<f64>,
    /// Mean output of each neuron, of all layers.
    pub firing_rates: Vec<f64>,
    /// The gradient of every trainable parameter.
    pub gradients: Gradients,
}

impl Findings {
    /// Reads an estimate for a network.
    ///
    /// # Panics
    ///
    /// If a trainable parameter has no gradient.
    pub fn new<C: Cell>(network: &Network<C>, estimate: &Estimate) -> Self {
        Self {
            loss: estimate.loss,
            rate_loss: estimate.rate_loss,
            outputs: estimate.outputs.as_ref().map(values).unwrap_or_default(),
            firing_rates: estimate.firing_rates.iter().flat_map(values).collect(),
            gradients: gradients(network, estimate),
        }
    }

    /// Adds losses and gradients of another piece of the same sequence; the regulariser's loss and
    /// the rates are those of the later piece.
    pub fn add_piece(&mut self, later: Findings) {
        self.loss += later.loss;
        self.rate_loss = later.rate_loss;
        self.firing_rates = later.firing_rates;
        for (name, sum) in &mut self.gradients {
            sum.iter_mut().zip(&later.gradients[name]).for_each(|(sum, value)| *sum += value);
        }
    }

    /// Refuses a network of spiking neurons that hardly fire or fire nearly always: comparisons of
    /// zeros would pass.
    ///
    /// # Panics
    ///
    /// If the mean rate is not within 0.02 and 0.8 spikes per step.
    pub fn assert_active<C: Cell>(&self) {
        // What spikes has no autapses.
        if !C::AUTAPSES {
            let rate = self.firing_rates.iter().sum::<f64>() / self.firing_rates.len() as f64;
            assert!((0.02..0.8).contains(&rate), "mean rate of {rate} spikes per step");
        }
    }

    /// Asserts that nothing differs by more than `tolerance`, and says on standard output by how much it does.
    ///
    /// # Panics
    ///
    /// If something does, or as [`differences`](Self::differences).
    pub fn assert_agrees(&self, what: &str, expected: &Self, tolerance: f64) {
        for (name, difference) in self.differences(expected) {
            println!("{difference:.1e} {what}, {name}");
            assert!(difference <= tolerance, "{what}, {name}: {difference:e} > {tolerance:e}");
        }
    }

    /// By how much each quantity differs, relative to its largest expected value. A loss of firing rates of 0,
    /// and outputs that neither side holds, are left out.
    ///
    /// # Panics
    ///
    /// If one side lacks what the other has; if all expected values of a quantity are 0.
    pub fn differences(&self, expected: &Self) -> Vec<(String, f64)> {
        let (found, expected) = (self.quantities(), expected.quantities());
        assert!(found.keys().eq(expected.keys()), "{:?} and {:?}", found.keys(), expected.keys());
        let quantities = found.into_iter().zip(expected.into_values());
        quantities
            .map(|((name, found), expected)| {
                let difference = relative_difference(&found, &expected);
                (name, difference)
            })
            .collect()
    }

    fn quantities(&self) -> BTreeMap<String, Vec<f64>> {
        let gradients = self.gradients.iter();
        let mut quantities: BTreeMap<_, _> =
            gradients.map(|(name, gradient)| (format!("gradient of {name}"), gradient.clone())).collect();
        quantities.insert("loss".into(), vec![self.loss]);
        quantities.insert("firing rates".into(), self.firing_rates.clone());
        if self.rate_loss != 0.0 {
            quantities.insert("loss of firing rates".into(), vec![self.rate_loss]);
        }
        if !self.outputs.is_empty() {
            quantities.insert("outputs".into(), self.outputs.clone());
        }
        quantities
    }
}

/// The gradients of all trainable parameters.
///
/// # Panics
///
/// If one is missing.
pub fn gradients<C: Cell>(network: &Network<C>, estimate: &Estimate) -> Gradients {
    let mut gradients = Gradients::new();
    let matrix = |param: &Param<Tensor<2>>| gradient::<2>(estimate, param.id);
    let vector = |param: &Param<Tensor<1>>| gradient::<1>(estimate, param.id);
    for (index, layer) in network.layers.iter().enumerate() {
        gradients.insert(format!("layer {index} w_in"), matrix(&layer.w_in));
        gradients.insert(format!("layer {index} w_rec"), matrix(&layer.w_rec));
        if let Some(bias) = &layer.bias {
            gradients.insert(format!("layer {index} bias"), vector(bias));
        }
    }
    gradients.insert("readout weight".into(), matrix(&network.readout.weight));
    if let Some(bias) = &network.readout.bias {
        gradients.insert("readout bias".into(), vector(bias));
    }
    // Not every method trains it.
    if let Some(module) = &network.synthetic_gradient {
        let layers = module.hidden.iter().chain([&module.output]).enumerate();
        gradients.extend(layers.filter_map(|(index, layer)| {
            let gradient = estimate.gradients.get::<2>(layer.weight.id)?;
            Some((format!("synthetic gradient, layer {index}"), values(&gradient)))
        }));
    }
    gradients
}

fn gradient<const D: usize>(estimate: &Estimate, id: ParamId) -> Vec<f64> {
    values(&estimate.gradients.get::<D>(id).expect("every trainable parameter has a gradient"))
}

/// Compares gradients by name; see [`assert_close`].
pub fn assert_same_gradients(what: &str, found: &Gradients, expected: &Gradients, tolerance: f64) {
    assert!(found.keys().eq(expected.keys()), "{what}: {:?}, {:?}", found.keys(), expected.keys());
    for (name, found) in found {
        assert_close(&format!("{what}, gradient of {name}"), found, &expected[name], tolerance);
    }
}

/// Asserts that the largest difference is within `tolerance`, relative to the largest expected
/// value, and says on standard output how large it is.
///
/// # Panics
///
/// If it is not; if the numbers of values differ; if all expected values are 0.
pub fn assert_close(what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    let error = relative_difference(found, expected);
    println!("{error:.1e} {what}");
    assert!(error <= tolerance, "{what}: {error:e} > {tolerance:e}\n{found:?}\n{expected:?}");
}

/// max |found − expected| / max |expected|; infinite where something is NaN.
///
/// # Panics
///
/// If the numbers of values differ; if all expected values are 0.
pub fn relative_difference(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len(), "numbers of values");
    let scale = largest(expected.iter().copied());
    assert!(scale > 0.0, "all {} expected values are 0", expected.len());
    largest(found.iter().zip(expected).map(|(found, expected)| found - expected)) / scale
}

fn largest(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(
        0.0,
        |largest: f64, value| if value.is_nan() { f64::INFINITY } else { largest.max(value.abs()) },
    )
}

/// The values of a tensor, row by row.
pub fn values<const D: usize>(tensor: &Tensor<D>) -> Vec<f64> {
    tensor.to_data().convert::<f64>().try_into_vec::<f64>().expect("converted to f64")
}
