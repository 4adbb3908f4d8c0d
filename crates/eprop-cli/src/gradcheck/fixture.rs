//! Fixtures: gradients that another program computed, with everything that went into them.
//!
//! A fixture is a safetensors file and a JSON file of the same name beside it. The book's chapter on
//! checking gradients describes both.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

use crate::regular_file;

/// Most bytes of a tensor's name, which is printed.
const MAX_NAME: usize = 200;

/// A fixture, read and checked for shapes.
#[derive(Debug)]
pub struct Fixture {
    /// What the JSON file says.
    pub description: Description,
    path: PathBuf,
    tensors: BTreeMap<String, Array>,
}

/// Values of a tensor, row-major.
#[derive(Debug, Clone)]
pub struct Array {
    /// Size of each dimension.
    pub shape: Vec<usize>,
    /// The values in float64.
    pub values: Vec<f64>,
}

/// The JSON file's content, as far as it is used.
#[derive(Debug, Deserialize)]
pub struct Description {
    /// Which cell.
    pub model: Model,
    /// Sizes and constants.
    pub config: Config,
    /// How the network was trained, where losses of several iterations are given.
    pub training: Option<Training>,
    /// The task's loss of each iteration.
    pub losses_nest_f64: Option<Vec<f64>>,
    /// The number of spikes in each iteration.
    pub spikes: Option<Vec<u64>>,
}

/// The cells of fixtures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Model {
    /// Leaky integrate-and-fire.
    Lif,
    /// LIF with adaptive threshold.
    Alif,
    /// Long short-term memory.
    Lstm,
}

/// Losses of fixtures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossName {
    /// ½ Σ (y − y*)².
    MseSum,
    /// The same divided by batch times the sum of the mask.
    MseMean,
    /// Softmax cross-entropy.
    CeSum,
    /// The same divided by batch times the sum of the mask.
    CeMean,
}

/// Sizes and constants of a fixture.
#[derive(Debug, Deserialize)]
#[allow(missing_docs)] // The names are the file format's.
pub struct Config {
    pub n_in: usize,
    pub n_rec: usize,
    pub n_out: usize,
    #[serde(rename = "T")]
    pub steps: usize,
    #[serde(rename = "B")]
    pub batch: usize,
    pub kappa: f64,
    pub g_out: f64,
    pub loss: LossName,
    #[serde(default)]
    pub c_reg: f64,
    #[serde(default)]
    pub f_target: f64,
    pub alpha: Option<f64>,
    pub rho: Option<f64>,
    pub v_th: Option<f64>,
    pub gamma: Option<f64>,
    pub n_ref: Option<usize>,
    pub g_in: Option<f64>,
}

/// Plain gradient descent on one batch.
#[derive(Debug, Deserialize)]
pub struct Training {
    /// The step's length.
    pub learning_rate: f64,
    /// Number of iterations.
    pub iterations: usize,
}

impl Fixture {
    /// Reads `path` and the JSON file beside it.
    ///
    /// # Errors
    ///
    /// If a file is missing or corrupt, or a required tensor is missing or has another shape than the
    /// description says; the message names file and tensor.
    pub fn read(path: &Path) -> Result<Self> {
        let beside = path.with_extension("json");
        let description: Description = serde_json::from_str(&regular_file::read_text(&beside)?)
            .with_context(|| format!("{} does not describe a fixture", beside.display()))?;
        let bytes = regular_file::read(path)?;
        let file = SafeTensors::deserialize(&bytes)
            .with_context(|| format!("{} is not a whole safetensors file", path.display()))?;
        let mut tensors = BTreeMap::new();
        for (name, view) in file.tensors() {
            let usable = name.len() <= MAX_NAME && !name.contains(char::is_control);
            ensure!(usable, "{} has a tensor of an unusable name, `{name}`", path.display());
            let values = decode(view.dtype(), view.data())
                .with_context(|| format!("tensor `{name}` of {}", path.display()))?;
            let finite = values.iter().all(|value| value.is_finite());
            ensure!(finite, "tensor `{name}` of {} holds NaN or infinity", path.display());
            tensors.insert(name, Array { shape: view.shape().to_vec(), values });
        }
        let fixture = Self { description, path: path.into(), tensors };
        fixture.check_sizes()?;
        Ok(fixture)
    }

    /// Sizes that the tensors confirm cost no more memory than the file does.
    fn check_sizes(&self) -> Result<()> {
        let Config { n_in, n_rec, n_out, steps, batch, .. } = self.description.config;
        let sizes = [("n_in", n_in), ("n_rec", n_rec), ("n_out", n_out), ("T", steps), ("B", batch)];
        for (name, size) in sizes {
            let path = self.path.display();
            ensure!(
                size > 0,
                "the description of {path} says `config.{name}` = 0, but it must be at least 1"
            );
        }
        self.tensor("in_x", &[steps, batch, n_in])?;
        self.tensor("param_W_out", &[n_rec, n_out])?;
        Ok(())
    }

    /// A tensor that must be there, of this shape.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<&Array> {
        let array =
            self.get(name).ok_or_else(|| anyhow!("{} has no tensor `{name}`", self.path.display()))?;
        if array.shape != shape {
            bail!("tensor `{name}` of {} is {:?}, expected {shape:?}", self.path.display(), array.shape);
        }
        Ok(array)
    }

    /// A tensor, if it is there.
    pub fn get(&self, name: &str) -> Option<&Array> {
        self.tensors.get(name)
    }

    /// The names of all gradients, without `grad_`.
    pub fn gradients(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().filter_map(|name| name.strip_prefix("grad_"))
    }

    /// The names of all stored results of a simulation.
    pub fn results(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str).filter(|name| *name == "loss" || name.starts_with("out_"))
    }

    /// A constant that the model needs.
    pub fn constant<T>(&self, name: &str, value: Option<T>) -> Result<T> {
        value.ok_or_else(|| anyhow!("the description of {} lacks `config.{name}`", self.path.display()))
    }

    /// The safetensors file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn decode(dtype: Dtype, data: &[u8]) -> Result<Vec<f64>> {
    fn numbers<const N: usize>(data: &[u8], read: impl Fn([u8; N]) -> f64) -> Vec<f64> {
        let (words, _) = data.as_chunks::<N>();
        words.iter().map(|&word| read(word)).collect()
    }
    Ok(match dtype {
        Dtype::F64 => numbers(data, f64::from_le_bytes),
        Dtype::F32 => numbers(data, |word| f64::from(f32::from_le_bytes(word))),
        Dtype::I64 => numbers(data, |word| i64::from_le_bytes(word) as f64),
        Dtype::I32 => numbers(data, |word| f64::from(i32::from_le_bytes(word))),
        other => bail!("type {other:?} is not one of F64, F32, I64, I32"),
    })
}
