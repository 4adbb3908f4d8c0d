//! What a cell says of its constants.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::constant::Constant;

/// What stands for a constant of which each neuron has its own value, as a parameter.
const PER_NEURON: &str = "per neuron";

/// The constants of a cell by name, as JSON values.
///
/// ```
/// use burn_eprop::cell::Constants;
///
/// let constants = Constants::new().with("decay", 0.9).with("reset", "subtraction");
/// # let _ = constants;
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Constants(BTreeMap<&'static str, Value>);

impl Constants {
    /// No constants.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a constant: a number, a text, or whatever else serde writes as JSON, such as a whole configuration.
    ///
    /// # Panics
    ///
    /// If the value cannot be written as JSON.
    pub fn with(mut self, name: &'static str, value: impl Serialize) -> Self {
        let value = serde_json::to_value(value);
        self.0.insert(name, value.unwrap_or_else(|error| panic!("constant `{name}`: {error}")));
        self
    }

    /// Adds a constant that all neurons share, or says that each has its own: then what follows from it is a parameter of the cell.
    pub(super) fn with_constant(self, name: &'static str, constant: &Constant) -> Self {
        match constant {
            Constant::Shared(value) => self.with(name, value),
            Constant::PerNeuron(_) => self.with(name, PER_NEURON),
        }
    }
}
