//! Weights to and from other programs, in [safetensors](https://docs.rs/safetensors) files.
//!
//! [`save`] writes all parameters of a model, and [`load`] fills a model with them. A [`WeightMap`] fills it from the state dict of
//! another program, such as PyTorch or snnTorch. A tensor's name is the path of its field. Of layer L, counted from 0, with N neurons
//! of G currents each (one for LIF and ALIF; the four gates i, f, g, o, in this order, for LSTM):
//!
//! | tensor | shape | meaning |
//! |---|---|---|
//! | `layers.L.w_in` | [pre, G · N] | W_in; pre are the inputs or, above the first layer, the neurons of the layer below |
//! | `layers.L.w_rec` | [N, G · N] | W_rec; 0 from a neuron to itself where the cell has no [autapses](crate::Cell::AUTAPSES), as LIF and ALIF |
//! | `layers.L.bias` | [G · N] | b, for LSTM, and for LIF and ALIF with a bias |
//! | `layers.L.cell.decay.values` | `[N]` | α of LIF and ALIF, where each neuron has its own |
//! | `layers.L.cell.input_factor.values` | `[N]` | ζ of LIF and ALIF, likewise |
//! | `layers.L.cell.adaptation_decay.values` | `[N]` | ρ of ALIF, likewise |
//! | `layers.L.cell.adaptation_strength.values` | `[N]` | β of ALIF, likewise |
//! | `readout.weight` | [N of all layers, outputs] | W_out; the neurons of the lowest layer come first |
//! | `readout.bias` | `[outputs]` | b of the readout, if it has one |
//! | `feedback` | [N of all layers, outputs] | B, the feedback weights |
//! | `synthetic_gradient.hidden.K.weight` | [pre, post] | hidden layer K of the synthetic gradient, if there is one |
//! | `synthetic_gradient.hidden.K.bias` | `[post]` | its bias |
//! | `synthetic_gradient.output.weight` | [pre, width] | the synthetic gradient's last layer |
//! | `synthetic_gradient.output.bias` | `[width]` | its bias |
//!
//! Weights are [pre, post] and row-major; the neurons of one current stand together, so that column g · N + j is current g of neuron j.
//! A [`Bidirectional`](crate::bidirectional::Bidirectional) has all of these twice, behind `forward.` and `backward.`. A cell of a
//! user's own has its parameters, which must be of floating-point type, behind `layers.L.cell.`.
//!
//! The header's metadata describe what is no tensor, under the key `burn_eprop`, as JSON:
//!
//! | field | meaning |
//! |---|---|
//! | `version` | 2; files of other versions are refused, but for the first, see below |
//! | `networks` | the networks of the model: one, or forward and backward |
//! | `networks[].prefix` | with what the names of its tensors begin |
//! | `networks[].layers[].cell` | the kind of cell: `Lif`, `Alif`, `Lstm`, or the name of a user's own type |
//! | `networks[].layers[].constants` | its [constants](crate::Cell::constants); `null` for a cell that does not say them |
//! | `networks[].readout` | `tau_ms` of κ = exp(−dt/τ), or `null` for κ = 0; `dt_ms`; `normalized`, whether g is 1 − κ or 1 |
//!
//! The constants of LIF and ALIF are fields of their configurations, and a constant of which each neuron has its own value is the text `per neuron`:
//!
//! | constant | meaning |
//! |---|---|
//! | `dt_ms` | duration of a step |
//! | `tau_membrane_ms` | τ_m of α = exp(−dt/τ_m); of each neuron, α is a tensor |
//! | `tau_adaptation_ms` | τ_a of ρ = exp(−dt/τ_a), of ALIF; of each neuron, ρ is a tensor |
//! | `adaptation_strength` | β of ALIF; of each neuron, it is a tensor |
//! | `threshold` | θ |
//! | `refractory_steps` | n_ref |
//! | `input_normalization` | `unit` for ζ = 1, `one-minus-decay` for ζ = 1 − α |
//! | `pseudo_derivative` | ψ: `shape` (with its `slope`, but for `piecewise-linear`), `height`, `divide_by_threshold`, `zero_in_refractoriness` |
//!
//! LSTM units have none. Initial values and what training is done with (gains, seeds, estimator, optimizer) are not in the file. A network of other cells or
//! constants refuses the file by the name of what differs; [`WeightMap::by_name`] takes it nonetheless. The kind of cell is the name of its Rust type: a cell of
//! one's own that is renamed no longer takes its older files, except through a map.
//!
//! A file that does not say its constants, of version 1 or made by hand without metadata, is loaded into whatever network has its tensors, with a warning to the
//! [`log`]; so is one of a cell that did not say them. Programs see such warnings with any logger of the `log` crate, such as `env_logger`.
//!
//! Tensors of float64, float32, bfloat16 and float16 are loaded, and rounded to the type of the network. Loading is all or nothing, and
//! parameter ids (which an optimizer's state refers to), devices and what requires a gradient stay the network's.

mod error;
mod map;
mod state_dict;

use std::path::Path;

use burn::module::{ModuleMapper, Param, ParamId};
use burn::store::{ModuleSnapshot, SafetensorsStore};
use burn::tensor::Tensor;

pub use error::{InterchangeError, Misfit};
pub use map::{Source, WeightMap};
use state_dict::StateDict;

use crate::atomic;
use crate::cell::Cell;
use crate::configuration::{self, Configuration};
use crate::model::RecurrentModel;

/// Key of the description in the metadata. There is no other, so that equal networks make equal files.
const DESCRIPTION: &str = "burn_eprop";

/// Saves the parameters of a model. The file is written beside `path` and then renamed, so that an earlier one is never torn.
///
/// # Errors
///
/// If the file cannot be written.
pub fn save<M: RecurrentModel>(model: &M, path: impl AsRef<Path>) -> Result<(), InterchangeError> {
    let path = path.as_ref();
    let written = to_bytes(model).and_then(|bytes| atomic::write(path, &bytes));
    written.map_err(|reason| InterchangeError::Write { path: path.into(), reason })
}

fn to_bytes<M: RecurrentModel>(model: &M) -> Result<Vec<u8>, String> {
    let store = SafetensorsStore::from_bytes(None).clear_metadata();
    let mut store = store.metadata(DESCRIPTION, Configuration::of(model).to_text());
    let saved = without_autapses(model).save_into(&mut store);
    saved.and_then(|()| store.get_bytes()).map_err(|error| error.to_string())
}

/// The model with its parameters from a file with the [module](self)'s tensors.
///
/// # Errors
///
/// If the file cannot be read, is torn, or of other cells or constants, lacks a tensor or has one too many, or a tensor is of another
/// shape, no floating-point numbers, or holds NaN or infinity.
pub fn load<M: RecurrentModel>(model: &M, path: impl AsRef<Path>) -> Result<M, InterchangeError> {
    let path = path.as_ref();
    let (loaded, unsaid) = read_file(path, |bytes| fill(model, bytes))?;
    if let Some(unsaid) = unsaid {
        log::warn!("{}: {unsaid}", path.display());
    }
    Ok(loaded)
}

/// As [`load`], from a file's content.
///
/// # Errors
///
/// As [`load`].
pub fn from_bytes<M: RecurrentModel>(model: &M, bytes: Vec<u8>) -> Result<M, Misfit> {
    let (loaded, unsaid) = fill(model, bytes)?;
    if let Some(unsaid) = unsaid {
        log::warn!("{unsaid}");
    }
    Ok(loaded)
}

/// The model with its parameters from a file's content, and what the file leaves unsaid.
fn fill<M: RecurrentModel>(model: &M, bytes: Vec<u8>) -> Result<(M, Option<&'static str>), Misfit> {
    let file = StateDict::parse(bytes)?;
    let unsaid = check(model, file.metadata.get(DESCRIPTION))?;
    Ok((WeightMap::by_name(model).fill(model, &file)?, unsaid))
}

/// Whether a file's description is that of a model, and what it leaves unsaid.
fn check<M: RecurrentModel>(model: &M, text: Option<&String>) -> Result<Option<&'static str>, Misfit> {
    let Some(text) = text else {
        return Ok(Some("no metadata say cells and constants; they are taken to be those of the network"));
    };
    let first = format!("version 1, {} cells", configuration::kind::<M::Cell>());
    if *text == first {
        return Ok(Some("version 1 does not say constants; they are taken to be those of the network"));
    }
    let expected = if text.starts_with("version 1") { first } else { Configuration::version() };
    let found = Configuration::parse(text).map_err(|found| Misfit::Kind { found, expected })?;
    let own = Configuration::of(model);
    found.agrees_with(&own)?;
    let unsaid = "a cell's constants are not said; they are taken to be those of the network";
    Ok(found.leaves_out(&own).then_some(unsaid))
}

fn read_file<T>(path: &Path, read: impl FnOnce(Vec<u8>) -> Result<T, Misfit>) -> Result<T, InterchangeError> {
    let bytes = std::fs::read(path).map_err(|reason| InterchangeError::Read { path: path.into(), reason })?;
    read(bytes).map_err(|misfit| InterchangeError::Misfit { path: path.into(), misfit })
}

/// The model with 0 from each neuron to itself where the cell has no autapses: the dynamics do not see what is there.
fn without_autapses<M: RecurrentModel>(model: &M) -> M {
    if M::Cell::AUTAPSES {
        return model.valid();
    }
    let layers = model.networks().into_iter().flat_map(|network| &network.layers);
    let recurrent = layers.map(|layer| layer.w_rec.id).collect();
    model.valid().map(&mut Autapses { recurrent })
}

/// Sets recurrent weights from each neuron to itself to 0.
struct Autapses {
    recurrent: Vec<ParamId>,
}

impl ModuleMapper for Autapses {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if !self.recurrent.contains(&param.id) {
            return param;
        }
        param.map(|weights| {
            let shape = weights.dims();
            let (neurons, targets) = (shape[0], shape[D - 1]);
            let own = Tensor::<2>::eye(neurons, &weights.device()).repeat_dim(1, targets / neurons).bool();
            weights.reshape([neurons, targets]).mask_fill(own, 0.0).reshape(shape)
        })
    }
}
