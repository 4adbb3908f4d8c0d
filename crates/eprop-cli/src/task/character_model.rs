//! Characters of a text: each foretells the next.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor};
use burn_eprop::Batch;
use eprop_tasks::MAX_VALUES;
use eprop_tasks::plot::{Lines, Panel, Series};
use eprop_tasks::text::{self, Alphabet};
use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::{Example, Examples, Shown, Task, tensor, values};
use crate::cli::SplitName;
use crate::config::RunConfig;
use crate::random::{Stream, generator};
use crate::run_folder;

/// Settings of the task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CharacterModelConfig {
    /// Steps of an excerpt.
    pub steps: usize,
    /// Most characters that have an input and an output of their own.
    pub characters: usize,
}

impl Default for CharacterModelConfig {
    fn default() -> Self {
        Self { steps: 64, characters: 96 }
    }
}

/// What must be kept of the text.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Statistics {
    characters: String,
    /// That the text is the same.
    checksum: String,
}

/// Excerpts of a text.
#[derive(Debug)]
pub struct CharacterModelTask {
    settings: CharacterModelConfig,
    alphabet: Alphabet,
    checksum: String,
    training: Vec<u16>,
    test: Vec<u16>,
    batch: usize,
    seed: u64,
    device: Device,
}

impl CharacterModelTask {
    /// Reads the text: a file, or the Markdown files of the folder from which the program is called.
    ///
    /// # Errors
    ///
    /// If it cannot be read or is too short, or the settings are out of range.
    pub fn train(config: &RunConfig, device: &Device) -> Result<Self> {
        Self::new(config, device, |training, most| Ok(Alphabet::of(training, most)))
    }

    /// With the characters of a run that has been.
    ///
    /// # Errors
    ///
    /// As [`train`](Self::train); also if the run's characters are missing or damaged, or the text is another one.
    pub fn evaluate(config: &RunConfig, statistics: &Path, device: &Device) -> Result<Self> {
        let Statistics { characters, checksum } = run_folder::read_toml(statistics)?;
        let task = Self::new(config, device, |_, _| Ok(Alphabet::from_characters(characters.chars())))?;
        ensure!(task.checksum == checksum, "the text is not the one that the network was trained on");
        Ok(task)
    }

    fn new(
        config: &RunConfig,
        device: &Device,
        alphabet: impl FnOnce(&str, usize) -> Result<Alphabet>,
    ) -> Result<Self> {
        let settings = config.character_model.clone().context("the settings lack [character_model]")?;
        let CharacterModelConfig { steps, characters } = settings;
        ensure!((1..=100_000).contains(&steps), "character_model.steps is {steps}, but must be 1 to 100000");
        let in_range = (1..=1000).contains(&characters);
        ensure!(in_range, "character_model.characters is {characters}, but must be 1 to 1000");
        let text = match &config.data {
            Some(path) => text::read(path)?,
            None => text::read_markdown(Path::new(".")).context("without --data, Markdown files are read")?,
        };
        let source =
            || config.data.as_ref().map_or("the Markdown files".into(), |path| path.display().to_string());
        let (training, test) = text::split(&text, steps + 1).with_context(source)?;
        let alphabet = alphabet(training, characters)?;
        let values = config.batch.saturating_mul(steps).saturating_mul(alphabet.size());
        ensure!(
            values <= MAX_VALUES,
            "a batch of {} excerpts of {steps} steps has {values} inputs, but at most {MAX_VALUES} are possible",
            config.batch
        );
        Ok(Self {
            training: alphabet.encode(training),
            test: alphabet.encode(test),
            checksum: format!("{:08x}", crc32fast::hash(text.as_bytes())),
            alphabet,
            settings,
            batch: config.batch,
            seed: config.seed,
            device: device.clone(),
        })
    }

    /// Excerpts side by side, from these characters on.
    fn excerpts(&self, text: &[u16], starts: &[usize]) -> Example {
        let (steps, size) = (self.settings.steps, self.alphabet.size());
        let one_hot = |offset: usize| {
            let mut values = vec![0.0_f32; starts.len() * steps * size];
            let excerpts = starts.iter().flat_map(|start| &text[start + offset..][..steps]);
            values
                .chunks_exact_mut(size)
                .zip(excerpts)
                .for_each(|(row, &index)| row[usize::from(index)] = 1.0);
            tensor(values, [starts.len(), steps, size], &self.device)
        };
        Example { batch: Batch::new(one_hot(0), one_hot(1)), questions: Vec::new() }
    }
}

impl Task for CharacterModelTask {
    fn title(&self) -> &'static str {
        "Characters"
    }

    fn inputs(&self) -> usize {
        self.alphabet.size()
    }

    fn outputs(&self) -> usize {
        self.alphabet.size()
    }

    /// Excerpts from random places.
    fn example(&self, iteration: usize) -> Example {
        let last = self.training.len() - self.settings.steps - 1;
        let mut rng = generator(self.seed, Stream::Training, iteration as u64);
        let starts: Vec<_> = (0..self.batch).map(|_| rng.random_range(0..=last)).collect();
        self.excerpts(&self.training, &starts)
    }

    fn statistics(&self) -> Option<String> {
        let characters = self.alphabet.characters().iter().collect();
        Some(toml::to_string(&Statistics { characters, checksum: self.checksum.clone() }).expect("strings"))
    }

    /// Excerpts one after the other.
    fn batches(&self, split: SplitName) -> Result<Examples<'_>> {
        let texts = match split {
            SplitName::Train => vec![&self.training],
            SplitName::Validation => bail!("a text has no validation split"),
            SplitName::Test => vec![&self.test],
            SplitName::All => vec![&self.training, &self.test],
        };
        let steps = self.settings.steps;
        Ok(Box::new(texts.into_iter().flat_map(move |text| {
            let starts: Vec<_> = (0..text.len() - steps).step_by(steps).collect();
            let batches: Vec<_> = starts.chunks(self.batch).map(<[usize]>::to_vec).collect();
            batches.into_iter().map(|starts| self.excerpts(text, &starts))
        })))
    }

    fn score_name(&self) -> &'static str {
        "bits"
    }

    /// The cross-entropy in bits, the mean over characters.
    fn score(&self, outputs: &Tensor<3>, example: &Example) -> f64 {
        let logarithms = log_softmax(outputs.clone(), 2) * example.batch.targets().clone();
        let sum: f64 = values(&logarithms.sum_dim(2)).into_iter().map(f64::from).sum();
        let characters = example.batch.size() * example.batch.steps();
        -sum / (std::f64::consts::LN_2 * characters as f64)
    }

    fn output_panels(&self, shown: &Shown) -> Vec<Panel> {
        let surprise = |(row, target): (&[f32], &[f32])| {
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let logarithm = row.iter().map(|y| (y - largest).exp()).sum::<f32>().ln() + largest;
            let next = target.iter().position(|&target| target == 1.0).unwrap_or(0);
            (logarithm - row[next]) / std::f32::consts::LN_2
        };
        let bits: Vec<f32> = shown.outputs.rows().zip(shown.targets.rows()).map(surprise).collect();
        let series = vec![Series::sampled("of the next character", shown.dt_ms, &bits)];
        vec![Panel::Lines(Lines::new("Surprise", "bits", series))]
    }
}
