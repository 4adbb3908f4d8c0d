//! Settings of a run, as its config.toml holds them.

mod asked;
mod network;
mod optimizer;
mod synthetic;

pub(crate) use asked::{choice, describe, merge};
pub use network::{NetworkSettings, RateSettings, VoltageSettings};
pub use optimizer::{OptimizerName, Schedule};
pub use synthetic::{SyntheticName, SyntheticSettings};

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use burn_eprop::Loss;
use burn_eprop::loss::{Objective, RateAveraging, RateRegularization, VoltageRegularization};
use clap::ValueEnum;
use eprop_tasks::copy_repeat::CopyRepeatConfig;
use eprop_tasks::evidence_accumulation::EvidenceAccumulationConfig;
use eprop_tasks::features::AugmentationConfig;
use eprop_tasks::pattern_generation::PatternGenerationConfig;
use eprop_tasks::sequential_images::SequentialImagesConfig;
use eprop_tasks::shd::ShdConfig;
use eprop_tasks::speech_commands::SpeechCommandsConfig;
use eprop_tasks::spoken_digits::SpokenDigitsConfig;
use eprop_tasks::store_recall::StoreRecallConfig;
use eprop_tasks::timit::TimitConfig;
use serde::{Deserialize, Serialize};
use toml::Table;

use crate::align::AlignmentSettings;
use crate::cli::TrainArgs;
use crate::device::DeviceName;
use crate::method::{CellName, MethodName, SignalName};
use crate::model;
use crate::presets;
use crate::regular_file::read_text;
use crate::reward::RewardSettings;
use crate::task::CharacterModelConfig;
use crate::threads;
use crate::validation::ValidationSettings;
use asked::{flags, refuse_what_is_ignored};

/// Largest number of neurons and of sequences in a batch: beyond it no machine has the memory.
const MAX_SIZE: usize = 1 << 16;

/// A task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskName {
    /// The next character of a text; --data is a text file (default: the Markdown files below this folder).
    CharacterModel,
    /// Sequences of random bits, to be repeated; needs no data.
    CopyRepeat,
    /// A cue, a delay, a choice that is rewarded; needs no data.
    DelayedChoice,
    /// Cues on two sides, to be counted and remembered; needs no data.
    EvidenceAccumulation,
    /// A maze in which what was seen at its start tells where to go, with rewards; needs no data.
    MemoryMaze,
    /// Sums of sines from frozen noise; needs no data.
    PatternGeneration,
    /// Images row by row or pixel by pixel, in files like MNIST's; needs --data.
    SequentialImages,
    /// The Spiking Heidelberg Digits; needs --data.
    Shd,
    /// Recordings of words in Google's Speech Commands; needs --data.
    SpeechCommands,
    /// Recordings of spoken digits; needs --data.
    SpokenDigits,
    /// A bit, to be held until it is asked for; needs no data.
    StoreRecall,
    /// The phone of each frame of TIMIT's sentences; needs --data.
    Timit,
}

impl TaskName {
    /// Whether there are rewards in place of targets.
    pub fn has_rewards(self) -> bool {
        matches!(self, Self::DelayedChoice | Self::MemoryMaze)
    }

    /// Whether its sequences are recorded.
    pub fn has_recordings(self) -> bool {
        use TaskName::{SequentialImages, Shd, SpeechCommands, SpokenDigits, Timit};
        matches!(self, SequentialImages | Shd | SpeechCommands | SpokenDigits | Timit)
    }

    /// Whether there are data that are not drawn.
    pub fn has_data(self) -> bool {
        self.has_recordings() || self == Self::CharacterModel
    }
}

/// When weights change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Update {
    /// After each batch of whole sequences.
    #[default]
    Sequence,
    /// After each window, while sequences go on.
    Window,
}

/// All settings of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// What is learnt.
    pub task: TaskName,
    /// Which algorithm finds the gradients.
    pub method: MethodName,
    /// The learning signal of e-prop.
    pub signal: SignalName,
    /// Fraction of W_out and B that the adaptive signal takes off after each update.
    pub signal_decay: f64,
    /// The cell.
    pub cell: CellName,
    /// Where.
    pub device: DeviceName,
    /// Threads that share the work on a CPU. Another number adds up gradients in another order.
    #[serde(default = "threads::default_number")]
    pub threads: usize,
    /// Seed of weights, data and order.
    pub seed: u64,
    /// Number of batches to learn from.
    pub iterations: usize,
    /// Sequences in a batch.
    pub batch: usize,
    /// e-prop's chunk, or the window of e-prop 3 and of truncated BPTT, in steps.
    pub chunk: usize,
    /// Steps for which a network is shown each frame of recorded data.
    #[serde(default = "one")]
    pub steps_per_frame: usize,
    /// How recordings are changed each time that they are learnt from.
    pub augmentation: Option<AugmentationConfig>,
    /// When weights change.
    #[serde(default)]
    pub update: Update,
    /// Learning rate, at first.
    pub lr: f64,
    /// The optimizer.
    pub optimizer: OptimizerName,
    /// The learning rate's course.
    pub schedule: Schedule,
    /// Gradients of a parameter are scaled down to this norm.
    pub clip_norm: Option<f64>,
    /// A checkpoint is written at least this often, in seconds.
    #[serde(default = "default_checkpoint_seconds")]
    pub checkpoint_seconds: f64,
    /// Folder of the recordings, or file of the text.
    pub data: Option<PathBuf>,
    /// Scores on data that are not learnt from, while the run goes on.
    pub validation: Option<ValidationSettings>,
    /// Comparisons of gradients with those of BPTT.
    pub alignment: Option<AlignmentSettings>,
    /// The network.
    pub network: NetworkSettings,
    /// Firing-rate regularisation.
    pub rate: Option<RateSettings>,
    /// Voltage regularisation.
    pub voltage: Option<VoltageSettings>,
    /// The gradient behind windows.
    #[serde(default)]
    pub synthetic: SyntheticSettings,
    /// What tasks with rewards have.
    pub reward: Option<RewardSettings>,
    /// The task's own settings.
    pub character_model: Option<CharacterModelConfig>,
    /// The task's own settings.
    pub copy_repeat: Option<CopyRepeatConfig>,
    /// The task's own settings.
    pub evidence_accumulation: Option<EvidenceAccumulationConfig>,
    /// The task's own settings.
    pub pattern_generation: Option<PatternGenerationConfig>,
    /// The task's own settings.
    pub sequential_images: Option<SequentialImagesConfig>,
    /// The task's own settings.
    pub shd: Option<ShdConfig>,
    /// The task's own settings.
    pub speech_commands: Option<SpeechCommandsConfig>,
    /// The task's own settings.
    pub spoken_digits: Option<SpokenDigitsConfig>,
    /// The task's own settings.
    pub store_recall: Option<StoreRecallConfig>,
    /// The task's own settings.
    pub timit: Option<TimitConfig>,
}

fn one() -> usize {
    1
}

fn default_checkpoint_seconds() -> f64 {
    60.0
}

impl RunConfig {
    /// The settings that flags and a settings file ask for; what they leave open follows from task, cell and
    /// method.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or has an unknown or misshapen setting, or a value is out of range.
    pub fn resolve(args: &TrainArgs) -> Result<Self> {
        let mut asked = args.config.as_deref().map(read_table).transpose()?.unwrap_or_default();
        merge(&mut asked, flags(args)?);
        let source = args.config.as_deref();
        let task = choice(&asked, "task", source)?.unwrap_or(TaskName::PatternGeneration);
        refuse_what_is_ignored(&asked, task).with_context(|| describe(source))?;
        let default_cell = match task {
            TaskName::CharacterModel | TaskName::CopyRepeat | TaskName::MemoryMaze => CellName::Lstm,
            TaskName::PatternGeneration => CellName::Lif,
            _ => CellName::Alif,
        };
        let cell = choice(&asked, "cell", source)?.unwrap_or(default_cell);
        let default_method = match task {
            TaskName::CharacterModel | TaskName::CopyRepeat => MethodName::Eprop3,
            _ => MethodName::Eprop,
        };
        let method = choice(&asked, "method", source)?.unwrap_or(default_method);
        let mut table = Table::try_from(presets::of(task, cell, method)).context("default settings")?;
        merge(&mut table, asked);
        let config: Self = table.try_into().with_context(|| describe(source))?;
        config.validate().with_context(|| describe(source))?;
        Ok(config)
    }

    /// Reads a run's config.toml.
    pub fn read(path: &Path) -> Result<Self> {
        let config: Self = toml::from_str(&read_text(path)?)
            .with_context(|| format!("{} is not a run's settings", path.display()))?;
        config.validate().with_context(|| path.display().to_string())?;
        Ok(config)
    }

    /// The settings as TOML.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("settings are plain values")
    }

    /// What the run minimises.
    pub fn objective(&self) -> Objective {
        let objective = match self.task {
            TaskName::PatternGeneration => Objective::sum(Loss::MeanSquaredError),
            TaskName::CopyRepeat => Objective::mean(Loss::SigmoidCrossEntropy),
            TaskName::DelayedChoice | TaskName::MemoryMaze => Objective::sum(Loss::ActorCritic),
            _ => Objective::mean(Loss::SoftmaxCrossEntropy),
        };
        let dt_ms = self.network.dt_ms;
        let rate = self.rate.map(|RateSettings { strength, target_hz, tau_ms }| {
            let rate = RateRegularization::new(strength, target_hz, dt_ms);
            match tau_ms {
                Some(tau_ms) => rate.with_averaging(RateAveraging::Running { tau_steps: tau_ms / dt_ms }),
                None => rate,
            }
        });
        let voltage = self.voltage.map(|VoltageSettings { strength }| VoltageRegularization { strength });
        Objective { rate, voltage, ..objective }
    }

    fn validate(&self) -> Result<()> {
        ensure!(self.iterations > 0, "iterations is 0, but must be at least 1");
        let in_range = (1..=MAX_SIZE).contains(&self.batch);
        ensure!(in_range, "batch is {}, but must be 1 to {MAX_SIZE}", self.batch);
        threads::validate(self.threads)?;
        ensure!(self.chunk > 0, "chunk is 0, but must be at least 1");
        ensure!(
            self.lr.is_finite() && self.lr > 0.0,
            "lr is {}, but must be finite and greater than 0",
            self.lr
        );
        ensure!(
            self.schedule != Schedule::Cosine || self.lr <= 1.0,
            "lr is {}, but must be at most 1 with the cosine schedule",
            self.lr
        );
        if let Some(norm) = self.clip_norm {
            ensure!(
                norm.is_finite() && norm > 0.0,
                "clip_norm is {norm}, but must be finite and greater than 0"
            );
        }
        let in_range = (1..=1000).contains(&self.steps_per_frame);
        ensure!(in_range, "steps_per_frame is {}, but must be 1 to 1000", self.steps_per_frame);
        let seconds = self.checkpoint_seconds;
        let valid = seconds.is_finite() && seconds >= 0.0;
        ensure!(valid, "checkpoint_seconds is {seconds}, but must be finite and at least 0");
        self.validation.map_or(Ok(()), |settings| settings.validate())?;
        self.synthetic.validate(self.method, self.schedule)?;
        if self.task.has_rewards() {
            let settings = self.reward.as_ref().context("the settings lack [reward]")?;
            settings.validate(self)?;
        }
        SignalName::Adaptive.create(self.signal_decay).context("signal_decay")?;
        self.network.validate()?;
        model::validate(self).context("[network]")?;
        self.validate_combinations()?;
        self.validate_rate()?;
        Ok(self.objective().validate()?)
    }

    /// Checks that settings go together.
    fn validate_combinations(&self) -> Result<()> {
        if let Some(augmentation) = &self.augmentation {
            let heard = matches!(self.task, TaskName::SpeechCommands | TaskName::SpokenDigits);
            ensure!(heard, "[augmentation] is for spoken-digits and speech-commands");
            augmentation.validate().context("[augmentation]")?;
        }
        ensure!(
            self.steps_per_frame == 1 || self.task.has_recordings(),
            "steps_per_frame is {}, but must be 1 in a task without recorded frames",
            self.steps_per_frame
        );
        ensure!(
            self.update == Update::Sequence || self.method.has_windows() || self.task.has_rewards(),
            "update is window, but only eprop3, truncated-bptt and truncated-bptt-sg have windows"
        );
        self.alignment.map_or(Ok(()), |settings| settings.validate(self))?;
        if self.voltage.is_some() {
            let has_potential = self.cell != CellName::Lstm;
            ensure!(has_potential, "[voltage] is for spiking cells; lstm has no membrane potential");
            ensure!(
                matches!(self.method, MethodName::Eprop | MethodName::Bptt) && !self.task.has_rewards(),
                "[voltage] is for eprop and bptt, in tasks without rewards"
            );
        }
        if self.network.bidirectional {
            ensure!(
                !self.task.has_rewards() && self.task != TaskName::CharacterModel,
                "network.bidirectional is set, but in this task what comes later is not to be seen"
            );
            ensure!(
                self.update == Update::Sequence,
                "update is window, but network.bidirectional is set (as it is for timit): a network in both directions \
                 learns from whole sequences; set it to false"
            );
        }
        Ok(())
    }

    fn validate_rate(&self) -> Result<()> {
        if let Some(tau_ms) = self.rate.and_then(|rate| rate.tau_ms) {
            let valid = tau_ms.is_finite() && tau_ms > 0.0;
            ensure!(valid, "rate.tau_ms is {tau_ms}, but must be finite and greater than 0");
        }
        if let Some(RateSettings { target_hz, .. }) = self.rate {
            let limit = 1000.0 / self.network.dt_ms;
            let in_range = (0.0..=limit).contains(&target_hz);
            ensure!(in_range, "rate.target_hz is {target_hz}, but must be 0 to {limit} Hz, one spike a step");
        }
        Ok(())
    }
}

/// Reads a file of settings.
///
/// # Errors
///
/// If it cannot be read or is not TOML.
pub fn read_table(path: &Path) -> Result<Table> {
    read_text(path)?.parse().with_context(|| format!("{} is not TOML", path.display()))
}
