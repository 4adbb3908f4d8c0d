//! From another program's names and layouts to a network's parameters.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use burn::module::Module;
use burn::store::{ModuleSnapshot, bridge};
use burn::tensor::TensorData;
use burn_pack::Tensor as PackTensor;

use super::error::{InterchangeError, Misfit};
use super::read_file;
use super::state_dict::StateDict;
use crate::cell::Cell;
use crate::error::NonFinite;
use crate::model::RecurrentModel;

/// From which tensors of another program's state dict each parameter of a network comes.
///
/// Nothing is left to chance: every parameter is [mapped](Self::with) or [kept](Self::keep), and every tensor of the file is mapped or
/// [ignored](Self::ignore). The parameters' names are those of the [module](super)'s table.
///
/// An LSTM and a linear layer of PyTorch, which orders gates as i, f, g, o like [`Lstm`](crate::cell::Lstm), into a network without
/// a filter in its readout:
///
/// ```no_run
/// use burn::tensor::Device;
/// use burn_eprop::NetworkConfig;
/// use burn_eprop::cell::LstmConfig;
/// use burn_eprop::interchange::{Source, WeightMap};
/// use burn_eprop::readout::LeakyReadoutConfig;
///
/// let readout = LeakyReadoutConfig::new().with_tau_ms(None);
/// let config = NetworkConfig::new(4, 2).with_readout(Some(readout));
/// let network = config.init(vec![LstmConfig::new(6).init()], &Device::flex());
/// let network = WeightMap::new()
///     .with("layers.0.w_in", Source::new("lstm.weight_ih_l0").transposed())
///     .with("layers.0.w_rec", Source::new("lstm.weight_hh_l0").transposed())
///     .with("layers.0.bias", Source::new("lstm.bias_ih_l0").plus("lstm.bias_hh_l0"))
///     .with("readout.weight", Source::new("linear.weight").transposed())
///     .with("readout.bias", Source::new("linear.bias"))
///     .keep("feedback")
///     .load(&network, "lstm.safetensors")?;
/// # Ok::<_, burn_eprop::interchange::InterchangeError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct WeightMap {
    /// By parameter; `None` for those that are kept.
    sources: BTreeMap<String, Option<Source>>,
    ignored: BTreeSet<String>,
}

/// Tensors of a state dict, and how they become a parameter.
///
/// Without more a tensor is taken as it is: [pre, post] or `[post]`. PyTorch stores weights as [post, pre], see
/// [`transposed`](Self::transposed).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    tensor: String,
    plus: Vec<String>,
    transposed: bool,
    blocks: Vec<usize>,
    padding: usize,
}

impl WeightMap {
    /// A map of nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Each parameter from the tensor of the same name. This takes a file that [`load`](super::load) refuses for its constants, for a network that is meant to
    /// have others.
    pub fn by_name<M: RecurrentModel>(model: &M) -> Self {
        let parameters = model.collect(None, None, false).into_iter();
        let sources = parameters.map(|parameter| (parameter.name.clone(), Some(Source::new(parameter.name))));
        Self { sources: sources.collect(), ignored: BTreeSet::new() }
    }

    /// Takes a parameter from a source.
    pub fn with(mut self, parameter: impl Into<String>, source: Source) -> Self {
        self.sources.insert(parameter.into(), Some(source));
        self
    }

    /// Leaves a parameter as it is in the network.
    pub fn keep(mut self, parameter: impl Into<String>) -> Self {
        self.sources.insert(parameter.into(), None);
        self
    }

    /// Has no use for a tensor of the file, which must be there.
    pub fn ignore(mut self, tensor: impl Into<String>) -> Self {
        self.ignored.insert(tensor.into());
        self
    }

    /// The model with its parameters from a state dict in a safetensors file. Parameter ids, devices, floating-point types and what
    /// requires a gradient are the model's.
    ///
    /// # Errors
    ///
    /// As [`load`](super::load); also if the map leaves out a parameter or a tensor or has one that the network has not, or if a
    /// neuron would project onto itself where the cell [does not allow it](Cell::AUTAPSES).
    pub fn load<M: RecurrentModel>(&self, model: &M, path: impl AsRef<Path>) -> Result<M, InterchangeError> {
        read_file(path.as_ref(), |bytes| self.from_bytes(model, bytes))
    }

    /// As [`load`](Self::load), from a file's content.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn from_bytes<M: RecurrentModel>(&self, model: &M, bytes: Vec<u8>) -> Result<M, Misfit> {
        let loaded = self.fill(model, &StateDict::parse(bytes)?)?;
        if !M::Cell::AUTAPSES {
            self.check_autapses(&loaded)?;
        }
        Ok(loaded)
    }

    pub(super) fn fill<M: Module>(&self, model: &M, file: &StateDict) -> Result<M, Misfit> {
        let parameters = model.collect(None, None, false);
        let has = |name: &String| parameters.iter().any(|parameter| parameter.name == *name);
        if let Some(name) = self.sources.keys().find(|name| !has(name)) {
            return Err(misfit(name, "the network has no such parameter"));
        }
        let mut tensors = Vec::with_capacity(parameters.len());
        for parameter in &parameters {
            match self.sources.get(&parameter.name) {
                None => return Err(misfit(&parameter.name, "it is neither mapped nor kept")),
                Some(None) => {}
                Some(Some(source)) => tensors.push(source.read(file, parameter)?),
            }
        }
        let used: BTreeSet<_> = self.sources.values().flatten().flat_map(Source::tensors).collect();
        if let Some(name) = file.names().find(|name| !used.contains(name) && !self.ignored.contains(*name)) {
            return Err(Misfit::Unexpected(name.clone()));
        }
        if let Some(name) = self.ignored.iter().find(|name| !file.names().any(|known| known == *name)) {
            return Err(Misfit::Missing(name.clone()));
        }
        let mut loaded = model.clone();
        let applied = loaded.apply(tensors, None, None, false);
        assert!(applied.errors.is_empty(), "checked before: {applied}");
        Ok(loaded)
    }

    /// What a cell without autapses would leave out of the recurrent weights must not be there.
    fn check_autapses<M: Module>(&self, loaded: &M) -> Result<(), Misfit> {
        let mapped = |name: &String| self.sources.get(name).is_some_and(Option::is_some);
        for parameter in loaded.collect(None, None, false) {
            if !parameter.name.ends_with("w_rec") || !mapped(&parameter.name) {
                continue;
            }
            let (neurons, targets) = (parameter.shape[0], parameter.shape[1]);
            let data = bridge::to_data(&parameter).map_err(|error| Misfit::Torn(error.to_string()))?;
            let autapse = |(place, value): (usize, f64)| {
                let (neuron, target) = (place / targets, place % targets);
                target % neurons == neuron && value != 0.0
            };
            if data.iter::<f64>().enumerate().any(autapse) {
                return Err(misfit(
                    &parameter.name,
                    "a neuron would project onto itself, which the cell has not",
                ));
            }
        }
        Ok(())
    }
}

impl Source {
    /// A tensor as it is.
    pub fn new(tensor: impl Into<String>) -> Self {
        Self { tensor: tensor.into(), plus: vec![], transposed: false, blocks: vec![], padding: 0 }
    }

    /// Swaps the dimensions of the tensors, from [post, pre] to [pre, post].
    pub fn transposed(self) -> Self {
        Self { transposed: true, ..self }
    }

    /// Adds another tensor of the same shape, as for the two biases of PyTorch's recurrent layers.
    pub fn plus(mut self, tensor: impl Into<String>) -> Self {
        self.plus.push(tensor.into());
        self
    }

    /// Reorders blocks of postsynaptic currents: the network's block `k` is the tensor's block `blocks[k]`. A program that orders gates
    /// as i, o, f, g has the network's i, f, g, o in its blocks 0, 2, 3, 1.
    ///
    /// # Panics
    ///
    /// Unless each of the blocks stands once in the list.
    #[track_caller]
    pub fn with_blocks(self, blocks: &[usize]) -> Self {
        let whole = (0..blocks.len()).all(|block| blocks.contains(&block));
        assert!(whole, "blocks {blocks:?} are not each of {} once", blocks.len());
        Self { blocks: blocks.to_vec(), ..self }
    }

    /// Puts so many presynaptic rows of 0 before the tensor's. For a readout that sees the last layer alone, since a network's sees all:
    /// as many rows as there are neurons in the layers below.
    pub fn padded(self, rows: usize) -> Self {
        Self { padding: rows, ..self }
    }

    fn tensors(&self) -> impl Iterator<Item = &String> {
        [&self.tensor].into_iter().chain(&self.plus)
    }

    /// The parameter's values, in its type.
    fn read(&self, file: &StateDict, parameter: &PackTensor) -> Result<PackTensor, Misfit> {
        let (name, shape) = (&parameter.name, &parameter.shape);
        let stored = self.stored_shape(name, shape)?;
        let mut values = file.read(&self.tensor, &stored, name)?;
        for tensor in &self.plus {
            let more = file.read(tensor, &stored, name)?;
            values.iter_mut().zip(more).for_each(|(value, more)| *value += more);
        }
        let values = self.arranged(values, &stored, shape);
        let data = TensorData::new(values, shape.clone()).convert_dtype(parameter.dtype);
        if !data.iter::<f64>().all(f64::is_finite) {
            return Err(NonFinite { what: format!("parameter `{name}` as {:?}", parameter.dtype) }.into());
        }
        // Without an id the parameter keeps its own.
        Ok(bridge::from_data(data, name.clone(), None))
    }

    /// The shape that the tensors must have for a parameter of this shape.
    fn stored_shape(&self, name: &str, shape: &[usize]) -> Result<Vec<usize>, Misfit> {
        let (mut stored, post) = (shape.to_vec(), shape[shape.len() - 1]);
        if self.padding > 0 && shape.len() == 1 {
            return Err(misfit(name, "a vector has no presynaptic rows"));
        }
        if !self.blocks.is_empty() && !post.is_multiple_of(self.blocks.len()) {
            return Err(misfit(name, "the blocks are not of one size"));
        }
        let rows = stored[0].checked_sub(self.padding);
        stored[0] = rows.ok_or_else(|| misfit(name, "there are more rows of 0 than it has rows"))?;
        if self.transposed {
            stored.reverse();
        }
        Ok(stored)
    }

    /// Values of the stored shape in the order of the parameter.
    fn arranged(&self, mut values: Vec<f64>, stored: &[usize], shape: &[usize]) -> Vec<f64> {
        if self.transposed {
            let columns = stored[stored.len() - 1];
            let column = |column| values.iter().skip(column).step_by(columns).copied();
            values = (0..columns).flat_map(column).collect();
        }
        if !self.blocks.is_empty() {
            let post = shape[shape.len() - 1];
            let width = post / self.blocks.len();
            let reordered = |row: &[f64]| {
                self.blocks.iter().map(|block| row[block * width..][..width].to_vec()).collect::<Vec<_>>()
            };
            values = values.chunks(post).flat_map(reordered).flatten().collect();
        }
        let padding = shape.iter().product::<usize>() - values.len();
        [vec![0.0; padding], values].concat()
    }
}

fn misfit(parameter: &str, reason: &'static str) -> Misfit {
    Misfit::Map { parameter: parameter.into(), reason }
}
