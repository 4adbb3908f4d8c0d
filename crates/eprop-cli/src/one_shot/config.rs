//! Settings of a one-shot run, as its config.toml holds them.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use eprop_tasks::arm_reaching::ArmReachingConfig;
use eprop_tasks::sine_regression::SineRegressionConfig;
use serde::{Deserialize, Serialize};
use toml::Table;

use super::model;
use crate::cli::{TaskChoice, TrainArgs};
use crate::config::{choice, describe, merge, read_table};
use crate::device::DeviceName;
use crate::method::CellName;
use crate::threads;

/// Largest number of neurons and of tasks in a batch.
const MAX_SIZE: usize = 1 << 14;

/// A family of tasks, each to be learned from one presentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OneShotTask {
    /// A two-joint arm is to follow a path that was seen once; needs no data.
    ArmReaching,
    /// A sine of an amplitude and phase that were seen once; needs no data.
    SineRegression,
}

/// Settings of the arm task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FamilyName {
    /// Paths of 2 sines in 125 steps, 100 + 80 neurons: minutes on two cores.
    Reduced,
    /// The same with paths of 5 sines, the authors'.
    FiveSines,
    /// The reduced one, in which only a noisy target can be seen, and no velocity.
    Noisy,
    /// The authors' own: 500 steps, 400 + 300 neurons, batches of 100, 20,000 iterations.
    Full,
}

/// The one-shot task that flags or a settings file ask for; `None` for another task.
///
/// # Errors
///
/// If the file cannot be read.
pub fn asked_for(args: &TrainArgs) -> Result<Option<OneShotTask>> {
    match (args.task, &args.config) {
        (Some(TaskChoice::OneShot(task)), _) => Ok(Some(task)),
        (Some(TaskChoice::Sequence(_)), _) | (None, None) => Ok(None),
        (None, Some(path)) => Ok(task_of(&read_table(path)?)),
    }
}

/// The one-shot task of some settings.
pub(crate) fn task_of(settings: &Table) -> Option<OneShotTask> {
    settings.get("task").cloned().and_then(|task| task.try_into().ok())
}

/// What tells the learner how it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Teacher {
    /// The error module, which learns in the outer loop.
    Learned,
    /// An error module that stays as it was drawn: a control.
    Frozen,
    /// An error module that learns, but sees the target of another task: a control.
    Shuffled,
    /// e-prop 1: the error of the outputs, by the readout's weights.
    Symmetric,
    /// e-prop 1: the error of the outputs, by fixed random weights.
    Random,
    /// Nothing: a control without an update.
    None,
}

impl Teacher {
    /// Whether it is an error module.
    pub fn is_module(self) -> bool {
        matches!(self, Self::Learned | Self::Frozen | Self::Shuffled)
    }
}

/// What an error-driven learning signal sees of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sight {
    /// The outputs that would be right, without noise.
    Outputs,
    /// The joints' velocities as an observer who knows the arm can tell them from what the error module sees.
    ObservedVelocity,
    /// The hand's position as it can be told from what the error module sees; the error is that of the position.
    ObservedPosition,
}

/// All settings of a one-shot run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OneShotConfig {
    /// The family of tasks.
    pub task: OneShotTask,
    /// What tells the learner how it did.
    pub signal: Teacher,
    /// The cell of learner and error module.
    pub cell: CellName,
    /// Where.
    pub device: DeviceName,
    /// Threads that share the work on a CPU. Another number adds up gradients in another order.
    #[serde(default = "threads::default_number")]
    pub threads: usize,
    /// Seed of weights and tasks.
    pub seed: u64,
    /// Number of batches in the outer loop.
    pub iterations: usize,
    /// Tasks in a batch.
    pub batch: usize,
    /// Learning rate of the outer loop (Adam), at first.
    pub lr: f64,
    /// Where it ends, along a cosine.
    pub final_lr: f64,
    /// Gradients are scaled down to this norm, all together.
    pub clip_norm: Option<f64>,
    /// A checkpoint is written at least this often, in seconds.
    pub checkpoint_seconds: f64,
    /// The update after one presentation.
    pub update: UpdateSettings,
    /// The learner.
    pub learner: PopulationSettings,
    /// The error module.
    pub module: PopulationSettings,
    /// Constants of all neurons.
    pub neurons: NeuronSettings,
    /// Weight of the velocity's error beside that of the position, in the outer loss of the arm.
    pub velocity_weight: f64,
    /// Weight of the rate regularisers: of Σ (f − f*)² over neurons, in kHz.
    pub rate_weight: f64,
    /// The task's own settings.
    pub arm_reaching: Option<ArmReachingConfig>,
    /// The task's own settings.
    pub sine_regression: Option<SineRegressionConfig>,
}

/// The update after one presentation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpdateSettings {
    /// η, at first.
    pub lr: f64,
    /// The learning rate of ln η, as a multiple of the outer loop's; 0 for an η that stays.
    pub outer_lr_factor: f64,
    /// What e-prop 1 sees of the target.
    pub sees: Sight,
}

/// Sizes of a network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PopulationSettings {
    /// Number of neurons.
    pub neurons: usize,
    /// Standard deviation of the readout's weights, times the root of the number of neurons.
    pub readout_gain: f64,
    /// f*, what the mean of each neuron's rate is held at.
    pub rate_hz: f64,
}

/// Constants of neurons.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NeuronSettings {
    /// Time constant of membrane and readout.
    pub tau_ms: f64,
    /// Time constant of the adaptation.
    pub tau_adaptation_ms: f64,
    /// Strength of the adaptation, of every second half of the neurons.
    pub adaptation_strength: f64,
    /// Threshold.
    pub threshold: f64,
    /// n_ref, in steps.
    pub refractory_steps: usize,
}

impl OneShotConfig {
    /// The settings that flags and a settings file ask for.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or has an unknown or misshapen setting, a value is out of range, or a flag is for other tasks.
    pub fn resolve(task: OneShotTask, args: &TrainArgs) -> Result<Self> {
        let source = args.config.as_deref();
        let mut asked = source.map(read_table).transpose()?.unwrap_or_default();
        merge(&mut asked, flags(task, args)?);
        let cell = choice(&asked, "cell", source)?.unwrap_or(CellName::Lif);
        let signal = choice(&asked, "signal", source)?.unwrap_or(Teacher::Learned);
        let defaults = match (task, args.family) {
            (OneShotTask::ArmReaching, family) => arm_reaching(family.unwrap_or(FamilyName::Reduced)),
            (OneShotTask::SineRegression, None) => sine_regression(),
            (OneShotTask::SineRegression, Some(_)) => bail!("--family is for arm-reaching"),
        };
        let mut table = Table::try_from(Self { cell, signal, ..defaults }).context("default settings")?;
        merge(&mut table, asked);
        let config: Self = table.try_into().with_context(|| describe(source))?;
        config.validate().with_context(|| describe(source))?;
        Ok(config)
    }

    /// The same, where error-driven signals see something else.
    ///
    /// # Errors
    ///
    /// If that is not for the task.
    pub fn seeing(self, sees: Sight) -> Result<Self> {
        ensure!(
            !self.signal.is_module(),
            "an error module sees the code of the target, whatever update.sees is"
        );
        let config = Self { update: UpdateSettings { sees, ..self.update.clone() }, ..self };
        config.validate()?;
        Ok(config)
    }

    /// Reads a run's config.toml.
    ///
    /// # Errors
    ///
    /// If it is missing, damaged or out of range.
    pub fn read(path: &Path) -> Result<Self> {
        let config: Self = read_table(path)?
            .try_into()
            .with_context(|| format!("{} is not a one-shot run's settings", path.display()))?;
        config.validate().with_context(|| path.display().to_string())?;
        Ok(config)
    }

    /// The settings as TOML.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("settings are plain values")
    }

    fn validate(&self) -> Result<()> {
        ensure!(self.iterations > 0, "iterations is 0, but must be at least 1");
        threads::validate(self.threads)?;
        let sizes = [
            ("batch", self.batch),
            ("learner.neurons", self.learner.neurons),
            ("module.neurons", self.module.neurons),
        ];
        for (name, size) in sizes {
            ensure!((1..=MAX_SIZE).contains(&size), "{name} is {size}, but must be 1 to {MAX_SIZE}");
        }
        ensure!(
            self.signal != Teacher::Shuffled || self.batch > 1,
            "batch is 1, but shuffled targets are those of another task: it must be at least 2"
        );
        ensure!(
            self.lr > 0.0 && self.lr <= 1.0,
            "lr is {}, but must be greater than 0 and at most 1",
            self.lr
        );
        let valid = self.final_lr >= 0.0 && self.final_lr < self.lr;
        ensure!(valid, "final_lr is {}, but must be at least 0 and less than lr, {}", self.final_lr, self.lr);
        let positive = [("clip_norm", self.clip_norm.unwrap_or(1.0)), ("update.lr", self.update.lr)];
        for (name, value) in positive {
            let valid = value.is_finite() && value > 0.0;
            ensure!(valid, "{name} is {value}, but must be finite and greater than 0");
        }
        let not_negative = [
            ("checkpoint_seconds", self.checkpoint_seconds),
            ("update.outer_lr_factor", self.update.outer_lr_factor),
            ("velocity_weight", self.velocity_weight),
            ("rate_weight", self.rate_weight),
        ];
        for (name, value) in not_negative {
            let valid = value.is_finite() && value >= 0.0;
            ensure!(valid, "{name} is {value}, but must be finite and at least 0");
        }
        let of_rates = self.lr * self.update.outer_lr_factor;
        ensure!(of_rates <= 1.0, "lr times update.outer_lr_factor is {of_rates}, but must be at most 1");
        for (name, population) in [("learner", &self.learner), ("module", &self.module)] {
            let gain = population.readout_gain;
            ensure!(gain.is_finite(), "{name}.readout_gain is {gain}, but must be finite");
        }
        match (self.task, &self.arm_reaching, &self.sine_regression) {
            (OneShotTask::ArmReaching, Some(arm), None) => arm.validate(),
            (OneShotTask::SineRegression, None, Some(sine)) => {
                ensure!(self.update.sees == Sight::Outputs, "update.sees is for arm-reaching");
                sine.validate()
            }
            (OneShotTask::ArmReaching, ..) => {
                bail!("arm-reaching has the settings [arm_reaching], and no others")
            }
            (OneShotTask::SineRegression, ..) => {
                bail!("sine-regression has the settings [sine_regression], and no others")
            }
        }
        .context("the task's settings")?;
        model::validate(self)
    }

    /// Duration of a step.
    pub fn dt_ms(&self) -> f64 {
        let arm = self.arm_reaching.as_ref().map(|arm| arm.dt_ms);
        let sine = self.sine_regression.as_ref().map(|sine| sine.dt_ms);
        arm.or(sine).expect("valid settings are those of one task")
    }
}

/// The arm task. An iteration of the reduced one has less than a hundredth of the synaptic operations of the full one.
fn arm_reaching(family: FamilyName) -> OneShotConfig {
    let reduced = OneShotConfig {
        task: OneShotTask::ArmReaching,
        signal: Teacher::Learned,
        cell: CellName::Lif,
        device: DeviceName::Flex,
        threads: threads::default_number(),
        seed: 1,
        iterations: 6000,
        batch: 24,
        lr: 4e-3,
        final_lr: 4e-4,
        clip_norm: Some(1.0),
        checkpoint_seconds: 60.0,
        update: UpdateSettings { lr: 5e-3, outer_lr_factor: 5.0, sees: Sight::Outputs },
        learner: PopulationSettings { neurons: 100, readout_gain: 5.0, rate_hz: 20.0 },
        module: PopulationSettings { neurons: 80, readout_gain: 1.0, rate_hz: 10.0 },
        neurons: NeuronSettings {
            tau_ms: 20.0,
            tau_adaptation_ms: 200.0,
            adaptation_strength: 0.07,
            threshold: 0.4,
            refractory_steps: 3,
        },
        velocity_weight: 0.1,
        rate_weight: 100.0,
        arm_reaching: Some(ArmReachingConfig::reduced()),
        sine_regression: None,
    };
    match family {
        FamilyName::Reduced => reduced,
        FamilyName::FiveSines => OneShotConfig {
            arm_reaching: Some(ArmReachingConfig {
                sines: 5,
                period_min: ArmReachingConfig::default().period_min,
                ..ArmReachingConfig::reduced()
            }),
            ..reduced
        },
        FamilyName::Noisy => OneShotConfig {
            update: UpdateSettings { sees: Sight::ObservedVelocity, ..reduced.update.clone() },
            arm_reaching: Some(ArmReachingConfig { position_noise: 0.3, ..ArmReachingConfig::reduced() }),
            ..reduced
        },
        FamilyName::Full => OneShotConfig {
            iterations: 20_000,
            batch: 100,
            lr: 1e-3,
            final_lr: 0.0,
            clip_norm: None,
            update: UpdateSettings { lr: 1e-4, outer_lr_factor: 0.0, sees: Sight::Outputs },
            learner: PopulationSettings { neurons: 400, readout_gain: 0.05, rate_hz: 20.0 },
            module: PopulationSettings { neurons: 300, readout_gain: 1.0, rate_hz: 10.0 },
            neurons: NeuronSettings { refractory_steps: 5, ..reduced.neurons.clone() },
            arm_reaching: Some(ArmReachingConfig::default()),
            ..reduced
        },
    }
}

/// Sines, with fewer neurons.
fn sine_regression() -> OneShotConfig {
    let arm = arm_reaching(FamilyName::Reduced);
    OneShotConfig {
        task: OneShotTask::SineRegression,
        iterations: 3000,
        learner: PopulationSettings { neurons: 60, readout_gain: 1.0, ..arm.learner.clone() },
        module: PopulationSettings { neurons: 60, ..arm.module.clone() },
        arm_reaching: None,
        sine_regression: Some(SineRegressionConfig::default()),
        ..arm
    }
}

/// The flags that were given, as settings.
fn flags(task: OneShotTask, args: &TrainArgs) -> Result<Table> {
    #[derive(Serialize)]
    struct Flags<'a> {
        task: OneShotTask,
        signal: Option<&'a str>,
        cell: Option<CellName>,
        device: Option<DeviceName>,
        threads: Option<usize>,
        seed: Option<u64>,
        iterations: Option<usize>,
        batch: Option<usize>,
        lr: Option<f64>,
    }
    let foreign = [
        ("--method", args.method.is_some()),
        ("--chunk", args.chunk.is_some()),
        ("--synthetic", args.synthetic.is_some()),
        ("--update", args.update.is_some()),
        ("--data", args.data.is_some()),
    ];
    if let Some((flag, _)) = foreign.into_iter().find(|(_, given)| *given) {
        bail!("{flag} is not for one-shot tasks");
    }
    let flags = Flags {
        task,
        signal: args.signal.as_deref(),
        cell: args.cell,
        device: args.device,
        threads: args.threads,
        seed: args.seed,
        iterations: args.iterations,
        batch: args.batch,
        lr: args.lr,
    };
    Table::try_from(flags).context("a flag is out of range")
}
