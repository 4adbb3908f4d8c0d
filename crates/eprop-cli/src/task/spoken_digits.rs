//! Spoken digits: a class for each recording, told at every frame.

use std::borrow::Cow;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use burn::tensor::Device;
use eprop_tasks::features::ZScore;
use eprop_tasks::plot::{Lines, Panel, Series};
use eprop_tasks::spoken_digits::{Split, SpokenDigits, SpokenDigitsConfig, Utterance};

use super::recorded::{Labels, Recorded, Shape, batch_of_pass};
use super::{Example, Examples, Shown, Task};
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
    seed: u64,
    device: Device,
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
            seed: config.seed,
            device: device.clone(),
        }
    }

    /// Recordings side by side.
    fn side_by_side<'a>(&self, utterances: impl Iterator<Item = &'a Utterance>) -> Example {
        let recorded = |utterance: &'a Utterance| Recorded {
            frames: (&utterance.frames.data).into(),
            labels: Cow::Owned(Labels::Whole(utterance.digit.into())),
        };
        let shape = Shape {
            features: self.inputs(),
            classes: DIGITS,
            steps_per_frame: self.settings.steps_per_frame,
        };
        shape.side_by_side(&utterances.map(recorded).collect::<Vec<_>>(), &self.device)
    }
}

/// The folder of the recordings, and how they are split and read.
fn settings(config: &RunConfig) -> Result<(&Path, &SpokenDigitsConfig)> {
    let Some(folder) = config.data.as_deref() else {
        bail!("spoken-digits needs --data, a folder of recordings named {{digit}}_{{speaker}}_{{index}}.wav");
    };
    let settings = config.spoken_digits.as_ref().context("the settings lack [spoken_digits]")?;
    settings.features.validate().context("[spoken_digits.features]")?;
    let in_range = (1..=1000).contains(&settings.steps_per_frame);
    ensure!(in_range, "spoken_digits.steps_per_frame is {}, but must be 1 to 1000", settings.steps_per_frame);
    Ok((folder, settings))
}

impl Task for SpokenDigitsTask {
    fn title(&self) -> &'static str {
        "A spoken digit"
    }

    fn inputs(&self) -> usize {
        self.settings.features.feature_count()
    }

    fn outputs(&self) -> usize {
        DIGITS
    }

    fn example(&self, iteration: usize) -> Example {
        let chosen = batch_of_pass(self.training.len(), self.batch, self.seed, iteration);
        self.side_by_side(chosen.into_iter().map(|index| &self.training[index]))
    }

    fn statistics(&self) -> Option<String> {
        Some(toml::to_string(&self.z_score).expect("numbers"))
    }

    fn batches(&self, split: SplitName) -> Result<Examples<'_>> {
        let split = match split {
            SplitName::Train => Split::Train,
            SplitName::Validation => Split::Validation,
            SplitName::Test => Split::Test,
            SplitName::All => Split::All,
        };
        let mut utterances = self.recordings.load(split, &self.settings)?;
        utterances.iter_mut().for_each(|utterance| self.z_score.apply(&mut utterance.frames));
        let starts = (0..utterances.len()).step_by(self.batch);
        Ok(Box::new(starts.map(move |start| {
            let end = (start + self.batch).min(utterances.len());
            self.side_by_side(utterances[start..end].iter())
        })))
    }

    fn classes(&self) -> Vec<String> {
        (0..DIGITS).map(|digit| digit.to_string()).collect()
    }

    /// The mean of the bands tells where in the recording something is said.
    fn input_panel(&self, shown: &Shown) -> Panel {
        let mean = |row: &[f32]| row.iter().sum::<f32>() / row.len() as f32;
        let means: Vec<f32> = shown.inputs.rows().map(mean).collect();
        let series = vec![Series::sampled("mean of all features", shown.dt_ms, &means)];
        Panel::Lines(Lines::new("Inputs", "z-score", series))
    }
}
