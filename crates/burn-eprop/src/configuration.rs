//! What a model is besides its parameters: the kinds of its cells, and constants.

use std::collections::BTreeSet;

use burn::store::ModuleSnapshot;
use serde_json::{Number, Value, json};

use crate::cell::Cell;
use crate::error::Disagreement;
use crate::model::RecurrentModel;
use crate::network::{Network, RecurrentLayer};

/// Version of the description. The first had the name of the cells' type alone.
const VERSION: u64 = 2;

/// Numbers that differ by less are the same: other programs may have written other digits of them.
const PRECISION: f64 = 1e-12;

/// Where a description says what of a layer.
const CONSTANTS: &str = "constants";

/// The description of a model, as JSON.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Configuration(Value);

impl Configuration {
    /// Of a model.
    pub(crate) fn of<M: RecurrentModel>(model: &M) -> Self {
        let parameters = model.collect(None, None, false);
        // What the names of a network's parameters begin with.
        let prefix = |network: &Network<M::Cell>| {
            let id = Some(network.readout.weight.id.val());
            let readout = parameters.iter().find(|parameter| parameter.param_id == id);
            readout.and_then(|readout| readout.name.strip_suffix("readout.weight")).unwrap_or_default()
        };
        let networks = model.networks().into_iter();
        let networks: Vec<_> = networks.map(|network| describe(network, prefix(network))).collect();
        Self(json!({ "version": VERSION, "networks": networks }))
    }

    /// From a file.
    ///
    /// # Errors
    ///
    /// What the file says of itself, if it is no description, or one of another version.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(text).map_err(|_| text.to_owned())?;
        match value["version"] == VERSION {
            true => Ok(Self(value)),
            false => Err(format!("version {}", value["version"])),
        }
    }

    /// What a file that can be read says of its version.
    pub(crate) fn version() -> String {
        format!("version {VERSION}")
    }

    /// The text for a file.
    pub(crate) fn to_text(&self) -> String {
        self.0.to_string()
    }

    /// Whether this, which is a file's, is that of a network. A cell that does not say its constants agrees with any.
    ///
    /// # Errors
    ///
    /// What differs first.
    pub(crate) fn agrees_with(&self, network: &Self) -> Result<(), Disagreement> {
        let [found, expected] = [&self.0, &network.0].map(networks);
        let [count, needed] = [found, expected].map(|networks| Value::from(networks.len()));
        compare("networks", Some(&count), Some(&needed))?;
        let mut pairs = found.iter().zip(expected);
        pairs.try_for_each(|(found, expected)| {
            compare(expected["prefix"].as_str().unwrap_or_default(), Some(found), Some(expected))
        })
    }

    /// Where this, which is a file's, does not say constants that the network's does.
    pub(crate) fn leaves_out(&self, network: &Self) -> bool {
        let layers = |model: &Self| -> Vec<bool> {
            let layers = networks(&model.0).iter().filter_map(|network| network["layers"].as_array());
            layers.flatten().map(|layer| layer[CONSTANTS].is_null()).collect()
        };
        layers(self).into_iter().zip(layers(network)).any(|(found, expected)| found && !expected)
    }
}

fn networks(model: &Value) -> &[Value] {
    model["networks"].as_array().map_or(&[], Vec::as_slice)
}

fn describe<C: Cell>(network: &Network<C>, prefix: &str) -> Value {
    let layer = |layer: &RecurrentLayer<C>| json!({ "cell": kind::<C>(), CONSTANTS: layer.cell.constants() });
    let layers: Vec<_> = network.layers.iter().map(layer).collect();
    json!({ "prefix": prefix, "layers": layers, "readout": network.readout.constants() })
}

/// The name of a cell's type, without its module and its parameters.
pub(crate) fn kind<C: Cell>() -> &'static str {
    let name = std::any::type_name::<C>();
    name.split('<').next().and_then(|path| path.rsplit("::").next()).unwrap_or(name)
}

/// The first difference of two values, depth first.
fn compare(field: &str, found: Option<&Value>, expected: Option<&Value>) -> Result<(), Disagreement> {
    let inner = |name: &str| match field.is_empty() || field.ends_with('.') {
        true => format!("{field}{name}"),
        false => format!("{field}.{name}"),
    };
    let is_unsaid = |value: Option<&Value>| field.ends_with(CONSTANTS) && value.is_some_and(Value::is_null);
    match (found, expected) {
        (Some(Value::Object(found)), Some(Value::Object(expected))) => {
            let names: BTreeSet<_> = found.keys().chain(expected.keys()).collect();
            names.into_iter().try_for_each(|name| compare(&inner(name), found.get(name), expected.get(name)))
        }
        (Some(Value::Array(found)), Some(Value::Array(expected))) => {
            let mut indices = 0..found.len().max(expected.len());
            indices.try_for_each(|index| {
                compare(&inner(&index.to_string()), found.get(index), expected.get(index))
            })
        }
        (Some(Value::Number(found)), Some(Value::Number(expected))) if is_same(found, expected) => Ok(()),
        _ if found == expected || is_unsaid(found) || is_unsaid(expected) => Ok(()),
        _ => {
            let [found, expected] =
                [found, expected].map(|value| value.map_or_else(|| "missing".into(), Value::to_string));
            Err(Disagreement { field: field.into(), found, expected })
        }
    }
}

fn is_same(found: &Number, expected: &Number) -> bool {
    let [found, expected] = [found, expected].map(|number| number.as_f64().unwrap_or(f64::NAN));
    (found - expected).abs() <= PRECISION * found.abs().max(expected.abs())
}
