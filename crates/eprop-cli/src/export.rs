//! `eprop export`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use burn::store::burn_pack::Reader;
use burn::tensor::Bytes;
use burn_eprop::interchange;
use clap::{Args, ValueEnum};

use crate::config::{RunConfig, read_table};
use crate::device::DeviceName;
use crate::method::Model;
use crate::model::{self, WithModel};
use crate::run_folder::RunFolder;
use crate::train::{CONFIG, MODEL};
use crate::{one_shot, output, regular_file};

/// Name in a run's folder of what is exported.
const EXPORTED: &str = "model.safetensors";

/// Whether a file is one that an export was writing: Burn appends process and number, as in `model.safetensors.123-0.tmp`.
pub(crate) fn is_unfinished(name: &OsStr) -> bool {
    let name =
        name.to_str().and_then(|name| name.strip_prefix(EXPORTED)?.strip_prefix('.')?.strip_suffix(".tmp"));
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|digit| digit.is_ascii_digit());
    name.and_then(|name| name.split_once('-'))
        .is_some_and(|(process, number)| is_number(process) && is_number(number))
}

/// Formats of files of weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FormatName {
    /// Named tensors in one file, which Python reads as well.
    Safetensors,
}

/// Options of `eprop export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Folder of the run
    pub run: PathBuf,
    /// Format of the file
    #[arg(long, value_enum, default_value = "safetensors")]
    pub format: FormatName,
    /// File to write, which must not be there yet (default: model.safetensors in the run's folder)
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Writes the weights of a run's network for other programs. It needs none of the run's data.
///
/// # Errors
///
/// If the run is missing, damaged or of a one-shot task, or the file is there already or cannot be written.
pub fn run(args: &ExportArgs) -> Result<()> {
    let FormatName::Safetensors = args.format;
    let folder = RunFolder::open(&args.run);
    let settings = folder.file(CONFIG);
    if one_shot::config::task_of(&read_table(&settings)?).is_some() {
        bail!("{}: what one-shot tasks train is not exported", folder.path().display());
    }
    let config = RunConfig::read(&settings)?;
    let out = args.out.clone().unwrap_or_else(|| folder.file(EXPORTED));
    // A link that leads nowhere is there, too.
    let is_there = out.symlink_metadata().is_ok();
    ensure!(!is_there, "{} is there already; choose another --out", out.display());
    let trained = folder.file(MODEL);
    let record = regular_file::read(&trained)?;
    let sizes = sizes(record).with_context(|| trained.display().to_string())?;
    model::check_file(model::weights(&config, sizes), &trained)?;
    let device = DeviceName::Flex.open_with(config.threads)?;
    model::with_model(&config, sizes, &device, Export { trained: &trained, out: &out })?;
    output::print(out.display())
}

struct Export<'a> {
    trained: &'a Path,
    out: &'a Path,
}

impl WithModel for Export<'_> {
    type Output = ();

    fn run<M: Model>(self, model: M) -> Result<()> {
        Ok(interchange::save(&model::load(model, self.trained)?, self.out)?)
    }
}

/// Inputs and outputs of the network, or of the networks in both directions, in a record.
fn sizes(bytes: Vec<u8>) -> Result<[usize; 2]> {
    let record = Reader::from_bytes(Bytes::from_bytes_vec(bytes)).context("not a whole network")?;
    let tensors = record.into_tensors().context("not a whole network")?;
    let size = |name: &str, dimension: usize| {
        let tensor = tensors.iter().find(|tensor| tensor.name.ends_with(name));
        tensor.and_then(|tensor| tensor.shape.get(dimension).copied())
    };
    let sizes = size("layers.0.w_in", 0).zip(size("readout.weight", 1));
    sizes.map(<[usize; 2]>::from).context("it does not fit its settings")
}
