//! Spoken digits: a class for each recording, told at every frame.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor, TensorData};
use burn_eprop::Batch;
use eprop_tasks::features::ZScore;
use eprop_tasks::spoken_digits::{Split, SpokenDigits, SpokenDigitsConfig, Utterance};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use super::{Example, Examples, Task, values};
use crate::cli::SplitName;
use crate::config::RunConfig;
use crate::run_folder;

const DIGITS: usize = 10;

/// The recordings of a run's split.
#[derive(Debug)]
pub struct SpokenDigitsTask {
    recordings: SpokenDigits,
    settings: SpokenDigitsConfig,
    training: Vec<Utterance>,
    z_score: ZScore,
    batch: usize,
    device: Device,
    rng: StdRng,
    /// Recordings of this pass that are still to come.
    order: Vec<usize>,
}

impl SpokenDigitsTask {
    /// Reads the training recordings; the z-scores follow from them.
    ///
    /// # Errors
    ///
    /// If the folder or a recording is missing or damaged, or there is nothing to train on.
    pub fn train(config: &RunConfig, device: &Device) -> Result<Self> {
        let (folder, settings) = settings(config)?;
        let recordings = SpokenDigits::open(folder)?;
        let mut training = recordings.load(Split::Train, settings)?;
        // What is wrong with the test recordings shows now, not after training.
        recordings.load(Split::Test, settings)?;
        let z_score = ZScore::fit(training.iter().map(|utterance| &utterance.frames));
        training.iter_mut().for_each(|utterance| z_score.apply(&mut utterance.frames));
        Ok(Self::new(config, recordings, training, z_score, device))
    }

    /// For evaluation, with the z-scores of the run's training recordings.
    ///
    /// # Errors
    ///
    /// If the folder holds no recordings, or the run's statistics are missing or damaged.
    pub fn evaluate(config: &RunConfig, statistics: &Path, device: &Device) -> Result<Self> {
        let (folder, settings) = settings(config)?;
        let z_score: ZScore = run_folder::read_toml(statistics)?;
        let features = settings.features.feature_count();
        let fits = z_score.mean.len() == features && z_score.std.len() == features;
        ensure!(fits, "{} does not have {features} features", statistics.display());
        let usable = z_score.mean.iter().all(|mean| mean.is_finite())
            && z_score.std.iter().all(|&std| std.is_finite() && std > 0.0);
        ensure!(usable, "{} holds a mean or deviation out of range", statistics.display());
        Ok(Self::new(config, SpokenDigits::open(folder)?, Vec::new(), z_score, device))
    }

    fn new(
        config: &RunConfig,
        recordings: SpokenDigits,
        training: Vec<Utterance>,
        z_score: ZScore,
        device: &Device,
    ) -> Self {
        Self {
            recordings,
            settings: config.spoken_digits.clone().expect("read above"),
            training,
            z_score,
            batch: config.batch,
            device: device.clone(),
            rng: StdRng::seed_from_u64(config.seed),
            order: Vec::new(),
        }
    }

    /// Recordings side by side, padded with zeros to the longest.
    fn example(&self, utterances: &[&Utterance]) -> Example {
        let lengths: Vec<usize> = utterances.iter().map(|utterance| utterance.frames.len()).collect();
        let steps = lengths.iter().max().copied().unwrap_or(0);
        let features = self.inputs();
        let mut inputs = Vec::with_capacity(utterances.len() * steps * features);
        let mut targets = Vec::with_capacity(utterances.len() * steps * DIGITS);
        for utterance in utterances {
            inputs.extend_from_slice(&utterance.frames.data);
            inputs.resize(inputs.len() + (steps - utterance.frames.len()) * features, 0.0);
            let digit = usize::from(utterance.digit);
            let one_hot: [f32; DIGITS] = std::array::from_fn(|class| f32::from(class == digit));
            targets.extend(std::iter::repeat_n(one_hot, steps).flatten());
        }
        let tensor = |values: Vec<f32>, features: usize| {
            Tensor::from_data(TensorData::new(values, [utterances.len(), steps, features]), &self.device)
        };
        Example {
            batch: Batch::new(tensor(inputs, features), tensor(targets, DIGITS)).with_lengths(lengths),
            classes: utterances.iter().map(|utterance| usize::from(utterance.digit)).collect(),
        }
    }

    /// The class with the largest mean softmax over a recording's frames, for each recording.
    fn decide(outputs: &Tensor<3>, example: &Example) -> Vec<usize> {
        let valid = example.batch.weights().unsqueeze_dim(2);
        let share = softmax(outputs.clone(), 2) * valid;
        let sums = values(&share.sum_dim(1));
        sums.chunks(DIGITS)
            .map(|sums| (0..DIGITS).max_by(|&a, &b| sums[a].total_cmp(&sums[b])).expect("ten digits"))
            .collect()
    }
}

/// The folder of the recordings, and how they are split and read.
fn settings(config: &RunConfig) -> Result<(&Path, &SpokenDigitsConfig)> {
    let Some(folder) = config.data.as_deref() else {
        bail!("spoken-digits needs --data, a folder of recordings named {{digit}}_{{speaker}}_{{index}}.wav");
    };
    let settings = config.spoken_digits.as_ref().context("the settings lack [spoken_digits]")?;
    settings.features.validate().context("[spoken_digits.features]")?;
    Ok((folder, settings))
}

impl Task for SpokenDigitsTask {
    fn inputs(&self) -> usize {
        self.settings.features.feature_count()
    }

    fn outputs(&self) -> usize {
        DIGITS
    }

    /// Each pass goes through all training recordings in a new order.
    fn next(&mut self) -> Example {
        let mut chosen = Vec::with_capacity(self.batch);
        while chosen.len() < self.batch {
            if self.order.is_empty() {
                self.order = (0..self.training.len()).collect();
                self.order.shuffle(&mut self.rng);
            }
            chosen.extend(self.order.pop());
        }
        let utterances: Vec<&Utterance> = chosen.iter().map(|&index| &self.training[index]).collect();
        self.example(&utterances)
    }

    fn statistics(&self) -> Option<String> {
        Some(toml::to_string(&self.z_score).expect("numbers"))
    }

    fn batches(&self, split: SplitName) -> Result<Examples<'_>> {
        let split = match split {
            SplitName::Train => Split::Train,
            SplitName::Test => Split::Test,
            SplitName::All => Split::All,
        };
        let mut utterances = self.recordings.load(split, &self.settings)?;
        utterances.iter_mut().for_each(|utterance| self.z_score.apply(&mut utterance.frames));
        let starts = (0..utterances.len()).step_by(self.batch);
        Ok(Box::new(starts.map(move |start| {
            let end = (start + self.batch).min(utterances.len());
            self.example(&utterances[start..end].iter().collect::<Vec<_>>())
        })))
    }

    fn score_name(&self) -> &'static str {
        "accuracy"
    }

    fn score(&self, outputs: &Tensor<3>, example: &Example) -> f64 {
        let decisions = Self::decide(outputs, example);
        let correct = decisions.iter().zip(&example.classes).filter(|(decision, class)| decision == class);
        correct.count() as f64 / decisions.len() as f64
    }

    fn decisions(&self, outputs: &Tensor<3>, example: &Example) -> Option<(Vec<String>, Vec<usize>)> {
        let names = (0..DIGITS).map(|digit| digit.to_string()).collect();
        Some((names, Self::decide(outputs, example)))
    }
}
