//! Weights to and from other programs, in [safetensors](https://docs.rs/safetensors) files.
//!
//! [`save`] writes all parameters of a model, and [`load`] fills a model with them. A [`WeightMap`] fills it from the state dict of
//! another program, such as PyTorch or snnTorch. A tensor's name is the path of its field. Of layer L, counted from 0, with N neurons
//! of G currents each (one for LIF and ALIF; the four gates i, f, g, o, in this order, for LSTM):
//!
//! | tensor | shape | meaning |
//! |---|---|---|
//! | `layers.L.w_in` | [pre, G · N] | W_in; pre are the inputs or, above the first layer, the neurons of the layer below |
//! | `layers.L.w_rec` | [N, G · N] | W_rec; of LIF and ALIF without use for weights from a neuron to itself |
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
//! What is no tensor is not in the file: constants that all neurons share, thresholds and the readout's filter are configuration, and a
//! file is loaded into a network that was made with it. The header's metadata hold under `burn_eprop` the format's version and the kind of
//! cell, as in `version 1, Alif cells`, which must be the network's; a file without them is taken as one that was made by hand. The kind is the name of the cell's Rust type: a cell
//! of one's own that is renamed no longer takes its older files, except through a [`WeightMap`].
//!
//! Tensors of float64, float32, bfloat16 and float16 are loaded, and rounded to the type of the network. Loading is all or nothing, and
//! parameter ids (which an optimizer's state refers to), devices and what requires a gradient stay the network's.

mod error;
mod map;
mod state_dict;

use std::path::Path;

use burn::store::{ModuleSnapshot, SafetensorsStore};

pub use error::{InterchangeError, Misfit};
pub use map::{Source, WeightMap};
use state_dict::StateDict;

use crate::atomic;
use crate::model::RecurrentModel;

/// Key of what the metadata say of the kind of network. There is no other, so that equal networks make equal files.
const KIND: &str = "burn_eprop";

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
    let mut store = store.metadata(KIND, kind::<M>());
    let saved = model.save_into(&mut store);
    saved.and_then(|()| store.get_bytes()).map_err(|error| error.to_string())
}

/// The model with its parameters from a file with the [module](self)'s tensors.
///
/// # Errors
///
/// If the file cannot be read, is torn or of another kind of network, lacks a tensor or has one too many, or a tensor is of another
/// shape, no floating-point numbers, or holds NaN or infinity.
pub fn load<M: RecurrentModel>(model: &M, path: impl AsRef<Path>) -> Result<M, InterchangeError> {
    read_file(path.as_ref(), |bytes| from_bytes(model, bytes))
}

/// As [`load`], from a file's content.
///
/// # Errors
///
/// As [`load`].
pub fn from_bytes<M: RecurrentModel>(model: &M, bytes: Vec<u8>) -> Result<M, Misfit> {
    let file = StateDict::parse(bytes)?;
    let expected = kind::<M>();
    match file.metadata.get(KIND).filter(|found| **found != expected) {
        Some(found) => Err(Misfit::Kind { found: found.clone(), expected }),
        None => WeightMap::identity(model).fill(model, &file),
    }
}

/// What a model's file says of itself.
fn kind<M: RecurrentModel>() -> String {
    let cell = std::any::type_name::<M::Cell>();
    let name = cell.split('<').next().and_then(|path| path.rsplit("::").next());
    format!("version 1, {} cells", name.unwrap_or(cell))
}

fn read_file<M>(path: &Path, read: impl FnOnce(Vec<u8>) -> Result<M, Misfit>) -> Result<M, InterchangeError> {
    let bytes = std::fs::read(path).map_err(|reason| InterchangeError::Read { path: path.into(), reason })?;
    read(bytes).map_err(|misfit| InterchangeError::Misfit { path: path.into(), misfit })
}
