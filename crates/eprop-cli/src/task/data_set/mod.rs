//! Data sets: recorded sequences and their classes.

mod sequential_images;
mod shd;
mod speech_commands;
mod spoken_digits;
mod timit;

use std::borrow::Cow;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use burn::tensor::Device;
use eprop_tasks::Split;
use eprop_tasks::features::{AugmentationConfig, Frames, ZScore};
use eprop_tasks::plot::{Lines, Panel, Raster, Series};
use eprop_tasks::shd::SpikeUtterance;
use rand::rngs::StdRng;

use super::recorded::{Labels, Recorded, Shape, batch_of_pass};
use super::{Example, Examples, Shown, Task};
use crate::cli::SplitName;
use crate::config::{RunConfig, TaskName};
use crate::random::{Stream, generator};
use crate::run_folder;

/// A data set, as a run's settings read it.
trait DataSet {
    /// What a sequence is, as the heading of a figure says it.
    fn title(&self) -> &'static str;

    /// Features of a frame.
    fn features(&self) -> usize;

    /// How many of the features stand beside each other in order of frequency; the others are their slopes.
    fn bands(&self) -> usize {
        self.features()
    }

    /// Names of the classes, a network's outputs.
    fn classes(&self) -> Vec<String>;

    /// The sequences of a part of the data.
    fn load(&self, split: Split) -> Result<Vec<Sequence>>;

    /// Whether features are shifted and scaled to a mean of 0 and a deviation of 1 in the training data. Otherwise they are shown as they
    /// are, from 0 to 1 or as spikes.
    fn has_z_scores(&self) -> bool {
        true
    }

    /// Names of what is told apart in the end, and which of them a class is; by default, the classes.
    fn judged(&self) -> (Vec<String>, fn(usize) -> usize) {
        (self.classes(), |class| class)
    }
}

/// A sequence of frames and its classes.
struct Sequence {
    frames: SequenceFrames,
    labels: Labels,
}

#[derive(Clone)]
enum SequenceFrames {
    Dense(Frames),
    /// Few of the values are not 0: they are spread out as they are needed.
    Spikes(SpikeUtterance),
}

impl Sequence {
    fn new(frames: Frames, labels: Labels) -> Self {
        Self { frames: SequenceFrames::Dense(frames), labels }
    }

    /// The same otherwise; spikes and sequences with a class for each frame as they are.
    fn changed(&self, augmentation: &AugmentationConfig, bands: usize, rng: &mut StdRng) -> Self {
        let frames = match (&self.frames, &self.labels) {
            (SequenceFrames::Dense(frames), Labels::Whole(_)) => {
                SequenceFrames::Dense(augmentation.apply(frames, bands, rng))
            }
            (frames, _) => frames.clone(),
        };
        Self { frames, labels: self.labels.clone() }
    }

    fn recorded(&self) -> Recorded<'_> {
        let frames = match &self.frames {
            SequenceFrames::Dense(frames) => Cow::Borrowed(frames.data.as_slice()),
            SequenceFrames::Spikes(spikes) => Cow::Owned(spikes.dense().data),
        };
        Recorded { frames, labels: Cow::Borrowed(&self.labels) }
    }
}

/// The data set of a run.
fn open(config: &RunConfig) -> Result<Box<dyn DataSet>> {
    let Some(folder) = config.data.as_deref() else {
        bail!("the task needs --data, {}", what_it_needs(config.task));
    };
    Ok(match config.task {
        TaskName::SequentialImages => sequential_images::open(config, folder)?,
        TaskName::Shd => shd::open(config, folder)?,
        TaskName::SpeechCommands => speech_commands::open(config, folder)?,
        TaskName::Timit => timit::open(config, folder)?,
        _ => spoken_digits::open(config, folder)?,
    })
}

fn what_it_needs(task: TaskName) -> &'static str {
    match task {
        TaskName::SequentialImages => "a folder with the four files of MNIST or of a data set in its format",
        TaskName::Shd => "a folder with shd_train.h5 and shd_test.h5",
        TaskName::SpeechCommands => "a folder with a sub-folder of recordings for each word",
        TaskName::Timit => "the folder of TIMIT (LDC93S1), in which TRAIN and TEST are",
        _ => "a folder of recordings named {digit}_{speaker}_{index}.wav",
    }
}

/// A task on a data set.
pub struct RecordedTask {
    data: Box<dyn DataSet>,
    training: Vec<Sequence>,
    z_score: Option<ZScore>,
    augmentation: Option<AugmentationConfig>,
    steps_per_frame: usize,
    batch: usize,
    seed: u64,
    device: Device,
}

impl RecordedTask {
    /// Reads the training data; z-scores follow from them.
    ///
    /// # Errors
    ///
    /// If data are missing or damaged, or there is nothing to train or to test on.
    pub fn train(config: &RunConfig, device: &Device) -> Result<Self> {
        let data = open(config)?;
        let mut training = data.load(Split::Train)?;
        // What is wrong with other data shows now, not after training.
        data.load(Split::Test)?;
        if config.validation.is_some() {
            data.load(Split::Validation)?;
        }
        let frames = training.iter().filter_map(|sequence| match &sequence.frames {
            SequenceFrames::Dense(frames) => Some(frames),
            SequenceFrames::Spikes(_) => None,
        });
        let z_score = data.has_z_scores().then(|| ZScore::fit(frames));
        scale(&mut training, z_score.as_ref());
        Ok(Self::new(config, data, training, z_score, device))
    }

    /// For evaluation, with the z-scores of the run's training data.
    ///
    /// # Errors
    ///
    /// If there are no data, or the run's statistics are missing or damaged.
    pub fn evaluate(config: &RunConfig, statistics: &Path, device: &Device) -> Result<Self> {
        let data = open(config)?;
        let read = || read_z_score(statistics, data.features());
        let z_score = data.has_z_scores().then(read).transpose()?;
        Ok(Self::new(config, data, Vec::new(), z_score, device))
    }

    fn new(
        config: &RunConfig,
        data: Box<dyn DataSet>,
        training: Vec<Sequence>,
        z_score: Option<ZScore>,
        device: &Device,
    ) -> Self {
        Self {
            data,
            training,
            z_score,
            augmentation: config.augmentation.clone(),
            steps_per_frame: config.steps_per_frame,
            batch: config.batch,
            seed: config.seed,
            device: device.clone(),
        }
    }

    fn side_by_side<'a>(&self, sequences: impl Iterator<Item = &'a Sequence>) -> Example {
        let shape = Shape {
            features: self.data.features(),
            classes: self.data.classes().len(),
            steps_per_frame: self.steps_per_frame,
        };
        shape.side_by_side(&sequences.map(Sequence::recorded).collect::<Vec<_>>(), &self.device)
    }
}

fn scale(sequences: &mut [Sequence], z_score: Option<&ZScore>) {
    let Some(z_score) = z_score else { return };
    for sequence in sequences {
        if let SequenceFrames::Dense(frames) = &mut sequence.frames {
            z_score.apply(frames);
        }
    }
}

fn read_z_score(path: &Path, features: usize) -> Result<ZScore> {
    let z_score: ZScore = run_folder::read_toml(path)?;
    let fits = z_score.mean.len() == features && z_score.std.len() == features;
    ensure!(fits, "{} does not have {features} features", path.display());
    let usable = z_score.mean.iter().all(|mean| mean.is_finite())
        && z_score.std.iter().all(|&std| std.is_finite() && std > 0.0);
    ensure!(usable, "{} holds a mean or deviation out of range", path.display());
    Ok(z_score)
}

/// The settings of a task's own table.
fn own<'a, T>(settings: &'a Option<T>, table: &str) -> Result<&'a T> {
    settings.as_ref().with_context(|| format!("the settings lack [{table}]"))
}

impl Task for RecordedTask {
    fn title(&self) -> &'static str {
        self.data.title()
    }

    fn inputs(&self) -> usize {
        self.data.features()
    }

    fn outputs(&self) -> usize {
        self.data.classes().len()
    }

    fn example(&self, iteration: usize) -> Example {
        let chosen = batch_of_pass(self.training.len(), self.batch, self.seed, iteration);
        let chosen = chosen.into_iter().map(|index| &self.training[index]);
        let Some(augmentation) = &self.augmentation else {
            return self.side_by_side(chosen);
        };
        let mut rng = generator(self.seed, Stream::Augmentation, iteration as u64);
        let changed = chosen.map(|sequence| sequence.changed(augmentation, self.data.bands(), &mut rng));
        self.side_by_side(changed.collect::<Vec<_>>().iter())
    }

    fn statistics(&self) -> Option<String> {
        self.z_score.as_ref().map(|z_score| toml::to_string(z_score).expect("numbers"))
    }

    fn batches(&self, split: SplitName) -> Result<Examples<'_>> {
        let split = match split {
            SplitName::Train => Split::Train,
            SplitName::Validation => Split::Validation,
            SplitName::Test => Split::Test,
            SplitName::All => Split::All,
        };
        let mut sequences = self.data.load(split)?;
        scale(&mut sequences, self.z_score.as_ref());
        let starts = (0..sequences.len()).step_by(self.batch);
        Ok(Box::new(starts.map(move |start| {
            let end = (start + self.batch).min(sequences.len());
            self.side_by_side(sequences[start..end].iter())
        })))
    }

    fn classes(&self) -> Vec<String> {
        self.data.classes()
    }

    fn judged(&self) -> (Vec<String>, fn(usize) -> usize) {
        self.data.judged()
    }

    /// The mean of all features tells where something is said; spikes and pixels are shown themselves.
    fn input_panel(&self, shown: &Shown) -> Panel {
        let (inputs, dt_ms) = (&shown.inputs, shown.dt_ms);
        if inputs.values.iter().all(|&value| value == 0.0 || value >= 1.0) {
            return Panel::Raster(Raster::from_steps(
                "Inputs",
                "input",
                dt_ms,
                &inputs.values,
                inputs.count as u32,
            ));
        }
        let mean = |row: &[f32]| row.iter().sum::<f32>() / row.len() as f32;
        let means: Vec<f32> = inputs.rows().map(mean).collect();
        let label = if self.z_score.is_some() { "z-score" } else { "value" };
        let series = vec![Series::sampled("mean of all features", dt_ms, &means)];
        Panel::Lines(Lines::new("Inputs", label, series))
    }
}
