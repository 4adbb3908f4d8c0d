//! The command line.

use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::align::AlignArgs;
use crate::bench::BenchArgs;
use crate::compare::Contestant;
use crate::config::{SyntheticName, TaskName, Update};
use crate::device::DeviceName;
use crate::export::ExportArgs;
use crate::method::{CellName, MethodName, SignalName};
use crate::one_shot::config::{FamilyName, OneShotTask, Teacher};

const EXAMPLES: &str = "\
Examples:
  eprop                                        train pattern generation by e-prop
  eprop train --method bptt                    the same by back-propagation through time
  eprop train spoken-digits --data FOLDER      a spiking network on recordings
  eprop train spoken-digits --data FOLDER --cell lstm --method bptt
  eprop train copy-repeat --method eprop3 --window 4 --synthetic linear
  eprop train character-model --data BOOK.txt
  eprop train arm-reaching                     one-shot learning by a learned error module
  eprop train --resume runs/arm-reaching-learned-1
  eprop compare copy-repeat --methods eprop3:bp-lambda,truncated-bptt-sg,bptt --seeds 1,2,3
  eprop compare arm-reaching --signals learned,symmetric,random --seeds 1,2,3
  eprop align pattern-generation --signal random
  eprop eval runs/spoken-digits-alif-eprop-1 --json
  eprop export runs/spoken-digits-alif-eprop-1 --format safetensors
  eprop gradcheck tests/fixtures/alif_seed1.safetensors
  eprop bench --cell alif --method bptt --steps 1000";

/// Train recurrent and spiking networks by e-prop.
#[derive(Debug, Parser)]
#[command(name = "eprop", version, after_help = EXAMPLES)]
pub struct Cli {
    /// Interrupts a run when standard input ends, as it does where the process has died that began the run
    #[arg(long, hide = true)]
    pub until_stdin_ends: bool,
    /// What to do; without it, pattern generation is trained
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train a network on a task
    Train(TrainArgs),
    /// Train several methods or learning signals with several seeds, and compare them
    Compare(CompareArgs),
    /// Train a network, and compare its gradients with those of BPTT as it learns
    Align(AlignArgs),
    /// Report the metrics of a trained network
    Eval(EvalArgs),
    /// Write the weights of a trained network for other programs
    Export(ExportArgs),
    /// Compare gradients with those that another program stored
    Gradcheck(GradcheckArgs),
    /// Measure time and memory of a training step
    Bench(BenchArgs),
}

/// A task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskChoice {
    /// One that is learned from many sequences.
    Sequence(TaskName),
    /// A family of tasks, each learned from one presentation.
    OneShot(OneShotTask),
}

impl ValueEnum for TaskChoice {
    fn value_variants<'a>() -> &'a [Self] {
        &[
            Self::OneShot(OneShotTask::ArmReaching),
            Self::Sequence(TaskName::CharacterModel),
            Self::Sequence(TaskName::CopyRepeat),
            Self::Sequence(TaskName::DelayedChoice),
            Self::Sequence(TaskName::EvidenceAccumulation),
            Self::Sequence(TaskName::MemoryMaze),
            Self::Sequence(TaskName::PatternGeneration),
            Self::Sequence(TaskName::SequentialImages),
            Self::Sequence(TaskName::Shd),
            Self::OneShot(OneShotTask::SineRegression),
            Self::Sequence(TaskName::SpeechCommands),
            Self::Sequence(TaskName::SpokenDigits),
            Self::Sequence(TaskName::StoreRecall),
            Self::Sequence(TaskName::Timit),
        ]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        match self {
            Self::Sequence(task) => task.to_possible_value(),
            Self::OneShot(task) => task.to_possible_value(),
        }
    }
}

/// Names of learning signals: those of e-prop, and of one-shot tasks.
fn signals() -> PossibleValuesParser {
    let of_eprop = SignalName::value_variants().iter().filter_map(ValueEnum::to_possible_value);
    let of_one_shot = Teacher::value_variants().iter().filter_map(ValueEnum::to_possible_value);
    let mut names: Vec<PossibleValue> = of_eprop.collect();
    for value in of_one_shot {
        if names.iter().all(|name| name.get_name() != value.get_name()) {
            names.push(value);
        }
    }
    PossibleValuesParser::new(names)
}

/// Options of `eprop train`. What is not given follows from the task.
#[derive(Debug, Default, Clone, Args)]
pub struct TrainArgs {
    /// The task
    #[arg(value_enum)]
    pub task: Option<TaskChoice>,
    /// Settings of arm-reaching, from which a settings file may differ
    #[arg(long, value_enum)]
    pub family: Option<FamilyName>,
    /// Algorithm that finds the gradients
    #[arg(long, value_enum)]
    pub method: Option<MethodName>,
    /// Learning signal of e-prop; in one-shot tasks what tells the learner how it did, at first the error module
    #[arg(long, value_parser = signals())]
    pub signal: Option<String>,
    /// Cell of the recurrent layer
    #[arg(long, value_enum)]
    pub cell: Option<CellName>,
    /// Device: flex (a CPU), or, where it was built in, ndarray (a CPU) or a GPU by wgpu, vulkan, metal, cuda or rocm
    #[arg(long)]
    pub device: Option<DeviceName>,
    /// Seed of weights, data and order
    #[arg(long, value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))] // TOML ends there
    pub seed: Option<u64>,
    /// Number of batches to learn from
    #[arg(long, value_parser = positive)]
    pub iterations: Option<usize>,
    /// Number of sequences in a batch
    #[arg(long, value_parser = positive)]
    pub batch: Option<usize>,
    /// e-prop's chunk, or the window of e-prop 3 and truncated BPTT, in steps
    #[arg(long, visible_alias = "window", value_parser = positive)]
    pub chunk: Option<usize>,
    /// What stands for the gradient behind a window, for eprop3 and truncated-bptt-sg
    #[arg(long, value_enum)]
    pub synthetic: Option<SyntheticName>,
    /// When weights change
    #[arg(long, value_enum)]
    pub update: Option<Update>,
    /// Learning rate
    #[arg(long)]
    pub lr: Option<f64>,
    /// Folder of the run (default: a new one under runs/)
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Folder of the data, or file of the text
    #[arg(long, value_name = "PATH")]
    pub data: Option<PathBuf>,
    /// Settings in the form of a run's config.toml; flags go before them
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Go on with a run from its last checkpoint
    #[arg(long, value_name = "RUN", exclusive = true)]
    pub resume: Option<PathBuf>,
}

/// Options of `eprop compare`. What is not given follows from task and method.
#[derive(Debug, Clone, Args)]
pub struct CompareArgs {
    /// The task
    #[arg(value_enum)]
    pub task: TaskChoice,
    /// Methods; for eprop3 and truncated-bptt-sg with the synthetic gradient behind a colon, as in eprop3:bp-lambda
    #[arg(long, value_delimiter = ',')]
    pub methods: Vec<Contestant>,
    /// Learning signals of e-prop; in one-shot tasks what e-prop 1 sees may stand behind a colon, as in
    /// random:observed-position
    #[arg(long, value_delimiter = ',')]
    pub signals: Vec<String>,
    /// Settings of arm-reaching, from which a settings file may differ
    #[arg(long, value_enum)]
    pub family: Option<FamilyName>,
    /// Speakers of the spoken digits, of whom each is held out by all methods
    #[arg(long, value_delimiter = ',')]
    pub speakers: Vec<String>,
    /// Seeds of weights, data and order
    #[arg(long, value_delimiter = ',', default_value = "1,2,3,4,5", value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    pub seeds: Vec<u64>,
    /// Cells of the recurrent layer, of which each is trained by all methods
    #[arg(long, visible_alias = "cell", value_enum, value_delimiter = ',')]
    pub cells: Vec<CellName>,
    /// Device: flex (a CPU), or, where it was built in, ndarray (a CPU) or a GPU by wgpu, vulkan, metal, cuda or rocm
    #[arg(long)]
    pub device: Option<DeviceName>,
    /// Number of batches to learn from
    #[arg(long, value_parser = positive)]
    pub iterations: Option<usize>,
    /// Number of sequences in a batch
    #[arg(long, value_parser = positive)]
    pub batch: Option<usize>,
    /// e-prop's chunk, or the window of e-prop 3 and truncated BPTT, in steps
    #[arg(long, visible_alias = "window", value_parser = positive)]
    pub chunk: Option<usize>,
    /// Folder of the data, or file of the text
    #[arg(long, value_name = "PATH")]
    pub data: Option<PathBuf>,
    /// Settings in the form of a run's config.toml; flags go before them
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder of all runs and of the comparison (default: runs/compare-TASK). What it already holds is not done again
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// How many runs go on at a time (default: one for each core)
    #[arg(long, value_parser = positive)]
    pub jobs: Option<usize>,
}

/// A part of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SplitName {
    /// What the network was trained on.
    Train,
    /// What settings are chosen by.
    Validation,
    /// What it was not.
    Test,
    /// Every recording.
    All,
}

/// Options of `eprop eval`.
#[derive(Debug, Args)]
pub struct EvalArgs {
    /// Folder of the run
    pub run: PathBuf,
    /// Folder of the data, or file of the text (default: the run's)
    #[arg(long, value_name = "PATH")]
    pub data: Option<PathBuf>,
    /// Part of the data
    #[arg(long, value_enum, default_value = "test")]
    pub split: SplitName,
    /// Device: flex (a CPU), or, where it was built in, ndarray (a CPU) or a GPU by wgpu, vulkan, metal, cuda or rocm (default: the run's)
    #[arg(long)]
    pub device: Option<DeviceName>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Floating-point types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DtypeName {
    /// 64 bits.
    F64,
    /// 32 bits.
    F32,
}

/// Options of `eprop gradcheck`.
#[derive(Debug, Args)]
pub struct GradcheckArgs {
    /// The fixture; its description is the .json file beside it
    pub fixture: PathBuf,
    /// Device: flex (a CPU), or, where it was built in, ndarray (a CPU) or a GPU by wgpu, vulkan, metal, cuda or rocm
    #[arg(long, default_value = "flex")]
    pub device: DeviceName,
    /// Chunk of the eligibility engine, in steps
    #[arg(long, default_value_t = 50, value_parser = positive)]
    pub chunk: usize,
    /// Floating-point type
    #[arg(long, value_enum, default_value = "f64")]
    pub dtype: DtypeName,
    /// Largest relative error that passes
    #[arg(long, default_value_t = 1e-9, value_parser = tolerance)]
    pub tolerance: f64,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

pub(crate) fn positive(text: &str) -> Result<usize, String> {
    match text.parse::<i64>() {
        Ok(number) if number > 0 => usize::try_from(number).map_err(|error| error.to_string()),
        Ok(_) => Err("must be at least 1".into()),
        Err(_) => Err("is not a whole number".into()),
    }
}

fn tolerance(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(tolerance) if tolerance >= 0.0 => Ok(tolerance),
        Ok(_) => Err("must be at least 0".into()),
        Err(_) => Err("is not a number".into()),
    }
}
