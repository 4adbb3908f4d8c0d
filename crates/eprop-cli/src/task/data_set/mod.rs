//! Data sets: recorded sequences and their classes.

mod sequential_images;
mod shd;
mod speech_commands;
mod spoken_digits;
mod timit;

use std::borrow::Cow;
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};
use burn::tensor::Device;
use eprop_tasks::features::{AugmentationConfig, Frames, LogMelConfig, ZScore};
use eprop_tasks::plot::{Lines, Panel, Raster, Series};
use eprop_tasks::{MAX_VALUES, Split};
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

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

    /// What the features are, where recordings can be [changed](AugmentationConfig).
    fn speech(&self) -> Option<&LogMelConfig> {
        None
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
#[derive(Clone)]
struct Sequence {
    frames: SequenceFrames,
    labels: Labels,
}

#[derive(Clone)]
enum SequenceFrames {
    Dense(Frames),
    /// Made each time that they are needed, of something smaller.
    Made {
        count: usize,
        make: Rc<dyn Fn() -> Frames>,
    },
}

impl Sequence {
    fn new(frames: Frames, labels: Labels) -> Self {
        Self { frames: SequenceFrames::Dense(frames), labels }
    }

    fn made(count: usize, labels: Labels, make: impl Fn() -> Frames + 'static) -> Self {
        Self { frames: SequenceFrames::Made { count, make: Rc::new(make) }, labels }
    }

    /// Number of frames.
    fn len(&self) -> usize {
        match &self.frames {
            SequenceFrames::Dense(frames) => frames.len(),
            SequenceFrames::Made { count, .. } => *count,
        }
    }

    /// The same otherwise; what has a class for each frame, and what is made, as it is.
    fn changed(&self, augmentation: &AugmentationConfig, features: &LogMelConfig, rng: &mut StdRng) -> Self {
        let frames = match (&self.frames, &self.labels) {
            (SequenceFrames::Dense(frames), Labels::Whole(_)) => {
                SequenceFrames::Dense(augmentation.apply(frames, features, rng))
            }
            (frames, _) => frames.clone(),
        };
        Self { frames, labels: self.labels.clone() }
    }

    fn recorded(&self) -> Recorded<'_> {
        let frames = match &self.frames {
            SequenceFrames::Dense(frames) => Cow::Borrowed(frames.data.as_slice()),
            SequenceFrames::Made { make, .. } => Cow::Owned(make().data),
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
    /// Looked at again and again while a run goes on.
    validation: Vec<Sequence>,
    statistics: Statistics,
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
        if let Some(augmentation) = &config.augmentation {
            let features = data.speech().context("[augmentation] is for speech")?;
            augmentation.check(features).context("[augmentation]")?;
        }
        let mut training = data.load(Split::Train)?;
        // What is wrong with other data shows now, not after training.
        let test = data.load(Split::Test)?;
        let mut validation = match config.validation {
            Some(_) => data.load(Split::Validation)?,
            None => Vec::new(),
        };
        check_size(config, data.features(), training.iter().chain(&test).chain(&validation))?;
        let frames = training.iter().filter_map(|sequence| match &sequence.frames {
            SequenceFrames::Dense(frames) => Some(frames),
            SequenceFrames::Made { .. } => None,
        });
        let z_score = data.has_z_scores().then(|| ZScore::fit(frames));
        let statistics = Statistics { checksum: checksum(&training), z_score };
        [&mut training, &mut validation].into_iter().for_each(|sequences| statistics.scale(sequences));
        Ok(Self { training, validation, ..Self::new(config, data, statistics, device) })
    }

    /// For evaluation, with the z-scores of the run's training data.
    ///
    /// # Errors
    ///
    /// If there are no data, or the run's statistics are missing or damaged.
    pub fn evaluate(config: &RunConfig, statistics: &Path, device: &Device) -> Result<Self> {
        let data = open(config)?;
        let statistics = Statistics::read(statistics, data.as_ref())?;
        Ok(Self::new(config, data, statistics, device))
    }

    fn new(config: &RunConfig, data: Box<dyn DataSet>, statistics: Statistics, device: &Device) -> Self {
        Self {
            data,
            training: Vec::new(),
            validation: Vec::new(),
            statistics,
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

/// What must be kept of the training data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Statistics {
    /// That the data are the same.
    checksum: String,
    z_score: Option<ZScore>,
}

impl Statistics {
    fn read(path: &Path, data: &dyn DataSet) -> Result<Self> {
        let found: Self = run_folder::read_toml(path)?;
        let features = data.features();
        ensure!(found.z_score.is_some() == data.has_z_scores(), "{} is of other data", path.display());
        if let Some(ZScore { mean, std }) = &found.z_score {
            let fits = mean.len() == features && std.len() == features;
            ensure!(fits, "{} does not have {features} features", path.display());
            let usable = mean.iter().all(|mean| mean.is_finite())
                && std.iter().all(|&std| std.is_finite() && std > 0.0);
            ensure!(usable, "{} holds a mean or deviation out of range", path.display());
        }
        Ok(found)
    }

    fn scale(&self, sequences: &mut [Sequence]) {
        let Some(z_score) = &self.z_score else { return };
        for sequence in sequences {
            if let SequenceFrames::Dense(frames) = &mut sequence.frames {
                z_score.apply(frames);
            }
        }
    }
}

/// Of all frames and classes, as they are read.
fn checksum(sequences: &[Sequence]) -> String {
    let mut hasher = crc32fast::Hasher::new();
    for sequence in sequences {
        let Recorded { frames, labels } = sequence.recorded();
        frames.iter().for_each(|value| hasher.update(&value.to_le_bytes()));
        hasher.update(format!("{labels:?}").as_bytes());
    }
    format!("{:08x}", hasher.finalize())
}

/// Refuses sequences of which a batch does not fit into memory.
fn check_size<'a>(
    config: &RunConfig,
    features: usize,
    sequences: impl Iterator<Item = &'a Sequence>,
) -> Result<()> {
    let steps = sequences.map(Sequence::len).max().unwrap_or(0).saturating_mul(config.steps_per_frame);
    let values = [config.batch, steps, features].into_iter().fold(1, usize::saturating_mul);
    ensure!(
        values <= MAX_VALUES,
        "a batch of {} sequences of up to {steps} steps has {values} inputs, but at most {MAX_VALUES} are possible",
        config.batch
    );
    Ok(())
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
        let (Some(augmentation), Some(features)) = (&self.augmentation, self.data.speech()) else {
            return self.side_by_side(chosen);
        };
        let mut rng = generator(self.seed, Stream::Augmentation, iteration as u64);
        let changed = chosen.map(|sequence| sequence.changed(augmentation, features, &mut rng));
        self.side_by_side(changed.collect::<Vec<_>>().iter())
    }

    fn statistics(&self) -> Option<String> {
        Some(toml::to_string(&self.statistics).expect("numbers"))
    }

    fn batches(&self, split: SplitName) -> Result<Examples<'_>> {
        let split = match split {
            SplitName::Train => Split::Train,
            SplitName::Validation => Split::Validation,
            SplitName::Test => Split::Test,
            SplitName::All => Split::All,
        };
        let sequences = match split {
            Split::Validation if !self.validation.is_empty() => Cow::Borrowed(&self.validation),
            _ => {
                let mut sequences = self.data.load(split)?;
                self.statistics.scale(&mut sequences);
                Cow::Owned(sequences)
            }
        };
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
        let label = if self.statistics.z_score.is_some() { "z-score" } else { "value" };
        let series = vec![Series::sampled("mean of all features", dt_ms, &means)];
        Panel::Lines(Lines::new("Inputs", label, series))
    }
}
