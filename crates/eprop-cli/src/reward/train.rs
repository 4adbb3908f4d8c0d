//! Learning from rewards, iteration by iteration: an episode in each place of the batch.

use anyhow::{Context, Result, anyhow};
use burn::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::optim::ModuleOptimizer;
use burn::tensor::Device;
use burn_eprop::estimator::mean_firing_rate;
use burn_eprop::gradients::global_norm;
use burn_eprop::reward::ActorCritic;
use burn_eprop::{Cell, Estimate, GradientEstimator, Network};
use eprop_tasks::environments::Arena;
use eprop_tasks::plot::{Lines, Series, learning_curve};
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::config::{RewardSettings, of};
use super::play::{Places, Played, at_random, online, whole};
use crate::cli::{EvalArgs, SplitName};
use crate::config::{RunConfig, TaskName, Update};
use crate::divergence::DIVERGED;
use crate::method::Method;
use crate::model::{self, WithCell, with_cell};
use crate::output;
use crate::random::{Stream, generator};
use crate::run_folder::RunFolder;
use crate::table::Table;
use crate::train::{EVALUATION, Ending, Lesson, MODEL, Run};

/// What is measured in each iteration.
const COLUMNS: [&str; 9] = [
    "iteration",
    "loss",
    "rate_loss",
    "reward",
    "firing_rate_hz",
    "gradient_norm",
    "learning_rate",
    "solved",
    "episode_steps",
];

const LEARNING_CURVE: &str = "learning_curve.svg";

/// Episodes by which a network is judged, rounded up to whole batches.
const TEST_EPISODES: usize = 500;

/// Trains a network by rewards.
///
/// # Errors
///
/// If something cannot be written, or a value becomes NaN or infinite.
pub(crate) fn train(run: Run, config: &RunConfig, device: &Device) -> Result<Ending> {
    in_arena(config, Training { run, config, device })
}

/// Prints how a run's network does in new episodes.
///
/// # Errors
///
/// If the run is missing or damaged, or an option is for other tasks.
pub(crate) fn evaluate(args: &EvalArgs, config: &RunConfig, device: &Device) -> Result<()> {
    anyhow::ensure!(
        args.data.is_none() && args.split == SplitName::Test,
        "--data and --split are not for tasks with rewards, whose episodes are drawn"
    );
    let report = in_arena(config, Evaluation { args, config, device })?;
    match args.json {
        true => output::print(to_json(&report)),
        false => output::print(to_line(&report)),
    }
}

/// Something to do with environments of a kind, given how one is made.
trait InArena {
    type Output;

    fn run<A: Arena>(self, make: fn(&RewardSettings, StdRng) -> Result<A>) -> Result<Self::Output>;
}

fn in_arena<W: InArena>(config: &RunConfig, then: W) -> Result<W::Output> {
    match config.task {
        TaskName::MemoryMaze => then.run(RewardSettings::memory_maze),
        _ => then.run(RewardSettings::delayed_choice),
    }
}

/// The environments of a run, and random numbers for them.
struct Episodes<'a, A> {
    config: &'a RunConfig,
    settings: &'a RewardSettings,
    make: fn(&RewardSettings, StdRng) -> Result<A>,
}

impl<A: Arena> Episodes<'_, A> {
    /// The start of a batch of episodes, and the generator of what is done in them.
    fn start(&self, stream: Stream, number: u64) -> (Places<A>, StdRng) {
        let batch = self.config.batch as u64;
        let arena = |place: u64| {
            let rng = generator(self.config.seed, stream, number * (batch + 1) + place);
            (self.make)(self.settings, rng).expect("settings that were checked")
        };
        let places = Places::new((0..batch).map(arena).collect());
        (places, generator(self.config.seed, stream, number * (batch + 1) + batch))
    }

    /// Inputs for what is observed, and outputs for the policy and the value.
    fn sizes(&self) -> [usize; 2] {
        let (places, _) = self.start(Stream::Test, 0);
        places.sizes()
    }

    fn weights(&self) -> usize {
        model::weights(self.config, self.sizes())
    }

    fn network<C: Cell>(&self, cell: C, device: &Device) -> Result<Network<C>> {
        model::network(self.config, cell, self.sizes(), device)
    }

    /// What the network reaches in new episodes, and what random actions do.
    fn test<C: Cell>(&self, network: &Network<C>) -> [Played; 2] {
        let batches = TEST_EPISODES.div_ceil(self.config.batch) as u64;
        let mut sums = [Played::default(); 2];
        for number in 1..=batches {
            let (places, mut rng) = self.start(Stream::Test, number);
            sums[0].add(&whole(places, self.settings, network, &mut rng).1, 1.0 / batches as f64);
            let (places, mut rng) = self.start(Stream::Test, number);
            sums[1].add(&at_random(places, &mut rng), 1.0 / batches as f64);
        }
        sums
    }
}

fn to_json([learned, random]: &[Played; 2]) -> Value {
    json!({
        "reward": learned.reward,
        "solved": learned.solved,
        "episode_steps": learned.steps,
        "random_reward": random.reward,
        "random_solved": random.solved,
    })
}

fn to_line([learned, random]: &[Played; 2]) -> String {
    format!(
        "reward {:.3}, {:.1} % solved in {:.1} steps; at random reward {:.3}, {:.1} % solved",
        learned.reward,
        100.0 * learned.solved,
        learned.steps,
        random.reward,
        100.0 * random.solved
    )
}

struct Evaluation<'a> {
    args: &'a EvalArgs,
    config: &'a RunConfig,
    device: &'a Device,
}

impl InArena for Evaluation<'_> {
    type Output = [Played; 2];

    fn run<A: Arena>(self, make: fn(&RewardSettings, StdRng) -> Result<A>) -> Result<[Played; 2]> {
        let episodes = Episodes { config: self.config, settings: of(self.config)?, make };
        let folder = RunFolder::open(&self.args.run);
        with_cell(self.config, self.device, Test { episodes, folder, device: self.device })
    }
}

struct Test<'a, A> {
    episodes: Episodes<'a, A>,
    folder: RunFolder,
    device: &'a Device,
}

impl<A: Arena> WithCell for Test<'_, A> {
    type Output = [Played; 2];

    fn run<C: Cell>(self, cell: C) -> Result<[Played; 2]> {
        let record = self.folder.file(MODEL);
        model::check_file(self.episodes.weights(), &record)?;
        let network = model::load(self.episodes.network(cell, self.device)?, &record)?;
        Ok(self.episodes.test(&network))
    }
}

struct Training<'a> {
    run: Run<'a>,
    config: &'a RunConfig,
    device: &'a Device,
}

impl InArena for Training<'_> {
    type Output = Ending;

    fn run<A: Arena>(self, make: fn(&RewardSettings, StdRng) -> Result<A>) -> Result<Ending> {
        let Self { run, config, device } = self;
        let episodes = Episodes { config, settings: of(config)?, make };
        let device = device.clone().autodiff();
        with_cell(config, &device, Playing { run, episodes, device: &device })
    }
}

struct Playing<'a, A> {
    run: Run<'a>,
    episodes: Episodes<'a, A>,
    device: &'a Device,
}

impl<A: Arena> WithCell for Playing<'_, A> {
    type Output = Ending;

    fn run<C: Cell>(self, cell: C) -> Result<Ending> {
        let Self { run, episodes, device } = self;
        run.check_weights(episodes.weights())?;
        let Episodes { config, settings, .. } = episodes;
        let (network, optimizer) = run.restore(episodes.network(cell, device)?, config.optimizer())?;
        let signal = config.signal.create(config.signal_decay)?;
        let learner = match config.update {
            Update::Window => Learner::Online(ActorCritic::boxed(settings.actor_critic(), signal)),
            Update::Sequence => {
                let learning = config.synthetic.learning();
                Learner::Whole(Method::new(
                    config.method,
                    signal,
                    learning,
                    Some(config.chunk),
                    config.objective(),
                ))
            }
        };
        let scheduler = config.scheduler(&network)?;
        let lesson = Rewards { folder: run.folder, episodes, learner, optimizer };
        run.go(network, scheduler, lesson)
    }
}

enum Learner {
    /// While episodes go on.
    Online(ActorCritic),
    /// After they have ended.
    Whole(Method),
}

struct Rewards<'a, A> {
    folder: &'a RunFolder,
    episodes: Episodes<'a, A>,
    learner: Learner,
    optimizer: ModuleOptimizer,
}

impl<C: Cell, A: Arena> Lesson<Network<C>> for Rewards<'_, A> {
    fn columns(&self) -> Vec<String> {
        COLUMNS.map(str::to_owned).to_vec()
    }

    fn learn(
        &mut self,
        iteration: usize,
        learning_rate: ModuleLearningRate,
        network: Network<C>,
        _metrics: &Table,
    ) -> (Network<C>, Result<Vec<f64>>) {
        let Episodes { config, settings, .. } = self.episodes;
        let (places, mut rng) = self.episodes.start(Stream::Training, iteration as u64);
        let lr = learning_rate.base();
        let mut found = Updates::default();
        let (network, played) = match &mut self.learner {
            Learner::Online(agent) => {
                let update = |network, estimate| {
                    let network = found.apply(&mut self.optimizer, learning_rate.clone(), network, estimate);
                    (agent.after_update(network), found.failed.is_none())
                };
                online(places, agent, (settings, settings.update_every), network, &mut rng, update)
            }
            Learner::Whole(method) => {
                let (batch, played) = whole(places, settings, &network, &mut rng);
                let estimate = method.estimate(&network, &batch);
                let network = found.apply(&mut self.optimizer, learning_rate, network, estimate);
                (GradientEstimator::<C>::after_update(method, network), played)
            }
        };
        let Updates { loss, rate, norm, count, failed } = found;
        let rate_hz = 1000.0 / config.network.dt_ms * rate / count as f64;
        let Played { reward, solved, steps } = played;
        let row = vec![iteration as f64, loss, 0.0, reward, rate_hz, norm, lr, solved, steps];
        (network, failed.map_or(Ok(row), Err))
    }

    fn optimizer(&self) -> &ModuleOptimizer {
        &self.optimizer
    }

    fn conclude(&self, network: &Network<C>, metrics: &Table) -> Result<Vec<String>> {
        let report = self.episodes.test(network);
        let json = serde_json::to_string_pretty(&to_json(&report)).expect("numbers");
        self.folder.write(EVALUATION, json.as_bytes())?;
        draw(metrics, &report[1], self.folder).context("the plots")?;
        let plot = self.folder.file(LEARNING_CURVE);
        Ok(vec![format!("test: {}", to_line(&report)), format!("plot: {}", plot.display())])
    }
}

/// What came of the updates of an iteration.
#[derive(Default)]
struct Updates {
    loss: f64,
    /// Sum of the mean rates, in spikes per step.
    rate: f64,
    /// The largest.
    norm: f64,
    count: usize,
    failed: Option<anyhow::Error>,
}

impl Updates {
    /// Updates the network, if all is finite.
    fn apply<C: Cell>(
        &mut self,
        optimizer: &mut ModuleOptimizer,
        learning_rate: ModuleLearningRate,
        network: Network<C>,
        estimate: Estimate,
    ) -> Network<C> {
        let norm = global_norm(&network, &estimate.gradients).map_err(|error| anyhow!("{error}: {DIVERGED}"));
        let norm = norm.and_then(|norm| {
            anyhow::ensure!(estimate.loss.is_finite(), "the loss is {}: {DIVERGED}", estimate.loss);
            Ok(norm)
        });
        self.loss += estimate.loss;
        self.rate += mean_firing_rate(&estimate.firing_rates);
        self.count += 1;
        match norm {
            Ok(norm) => {
                self.norm = self.norm.max(norm);
                optimizer.step(learning_rate, network, estimate.gradients)
            }
            Err(error) => {
                self.failed = Some(error);
                network
            }
        }
    }
}

/// The reward over training, and what random actions bring.
fn draw(metrics: &Table, random: &Played, folder: &RunFolder) -> Result<()> {
    let x = metrics.column("iteration").unwrap_or_default();
    let lines = |title: &str, column: &str, random: f64| {
        let y = metrics.column(column).unwrap_or_default();
        let level = vec![random; x.len()];
        let series = vec![Series::new("learned", &x, &y), Series::new("at random", &x, &level).dashed()];
        Lines::new(title, title, series)
    };
    let reward = lines("reward", "reward", random.reward);
    let solved = lines("share solved", "solved", random.solved);
    Ok(learning_curve(folder.file(LEARNING_CURVE), "Episodes", "iteration", reward, Some(solved))?)
}
