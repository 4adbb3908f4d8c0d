//! burn-train's `Learner` with estimators: the same numbers as the hook, on one device and on two.

use std::path::Path;
use std::sync::Arc;

use burn::data::dataloader::batcher::Batcher;
use burn::data::dataloader::{DataLoader, DataLoaderBuilder};
use burn::data::dataset::InMemDataset;
use burn::grad_clipping::GradientClippingConfig;
use burn::lr_scheduler::exponential::ExponentialLrSchedulerConfig;
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Tensor, TensorData};
use burn::train::metric::store::{Aggregate, Direction, Split};
use burn::train::metric::{AccuracyMetric, Adaptor, LossMetric};
use burn::train::{
    ExecutionStrategy, Learner, LearningResult, MetricEarlyStoppingStrategy, MultiDeviceOptim,
    StoppingCondition, SupervisedTraining, TrainStep,
};
use burn_eprop::bidirectional::Bidirectional;
use burn_eprop::cell::{Alif, AlifConfig, LstmConfig};
use burn_eprop::estimator::{Bptt, Eprop};
use burn_eprop::loss::Reduction;
use burn_eprop::signal::{Adaptive, Symmetric};
use burn_eprop::train::{
    Decisions, FiringRateMetric, GradientNormInput, GradientNormMetric, TrainableModel, through_backward,
};
use burn_eprop::{
    Batch, Cell, GradientEstimator, Loss, Network, NetworkConfig, Objective, OptimizerHook, RecurrentModel,
};
use eprop_tests::cpus::cpus;
use eprop_tests::findings::{assert_close, values};

const STEPS: usize = 12;
const SEQUENCES: usize = 8;
const LR: f64 = 1e-2;

/// Two classes, of sequences whose first or whose second input is the stronger one.
#[derive(Clone)]
struct Sequences;

impl Batcher<usize, Batch> for Sequences {
    fn batch(&self, items: Vec<usize>, device: &Device) -> Batch {
        let size = items.len();
        let value = |item: usize, step: usize, input: usize| {
            0.3 + if item % 2 == input { 1.0 } else { 0.0 } + 0.1 * ((item * 7 + step * 3 + input) % 5) as f32
        };
        let (mut inputs, mut targets) = (Vec::new(), Vec::new());
        for &item in &items {
            for step in 0..STEPS {
                inputs.extend((0..3).map(|input| value(item, step, input)));
                targets.extend((0..2).map(|class| if item % 2 == class { 1.0_f32 } else { 0.0 }));
            }
        }
        let tensor = |values: Vec<f32>, features: usize| {
            Tensor::from_data(TensorData::new(values, [size, STEPS, features]), device)
        };
        let lengths = items.iter().map(|item| STEPS - item % 3).collect();
        Batch::new(tensor(inputs, 3), tensor(targets, 2)).with_lengths(lengths)
    }
}

fn loader(batch: usize) -> Arc<dyn DataLoader<Batch>> {
    let items = InMemDataset::new((0..SEQUENCES).collect());
    DataLoaderBuilder::new(Sequences).batch_size(batch).build(items)
}

fn flex() -> Device {
    Device::flex().autodiff()
}

fn network() -> Network<Alif> {
    let cells = vec![AlifConfig::mixed(8, 4, 0.1).init(&flex())];
    NetworkConfig::new(3, 2).with_seed(5).init(cells, &flex())
}

fn objective() -> Objective {
    Objective::mean(Loss::SoftmaxCrossEntropy)
}

fn eprop() -> Eprop {
    // Its feedback weights change after each update.
    Eprop::new(objective(), Adaptive::new(1e-2).unwrap()).with_outputs(true)
}

fn adam() -> ModuleOptimizer {
    AdamConfig::new().with_grad_clipping(Some(GradientClippingConfig::Norm(1.0))).init()
}

fn schedule() -> ExponentialLrSchedulerConfig {
    ExponentialLrSchedulerConfig::new(LR, 0.99)
}

fn learner<M, E>(model: M, estimator: E) -> Learner<TrainableModel<M, E>>
where
    M: RecurrentModel + 'static,
    E: GradientEstimator<M::Cell> + Clone + std::fmt::Debug + Send + 'static,
{
    Learner::new(TrainableModel::new(model, estimator), adam(), schedule().init().unwrap())
}

fn training<M, E>(folder: &Path, batch: usize, epochs: usize) -> SupervisedTraining<TrainableModel<M, E>>
where
    M: RecurrentModel + 'static,
    E: GradientEstimator<M::Cell> + Clone + std::fmt::Debug + Send + 'static,
{
    SupervisedTraining::new(folder, loader(batch), loader(SEQUENCES))
        .num_epochs(epochs)
        .with_application_logger(None)
        .metric_train_numeric(LossMetric::new())
        .metric_valid_numeric(LossMetric::new())
        .metric_train_numeric(AccuracyMetric::new())
        .metric_valid_numeric(AccuracyMetric::new())
        .metric_train_numeric(FiringRateMetric::new(1.0))
        .metric_valid_numeric(FiringRateMetric::new(1.0))
        .metric_train_numeric(GradientNormMetric::new())
}

fn weights<C: Cell>(network: &Network<C>) -> Vec<f64> {
    let layer = &network.layers[0];
    let matrices = [&layer.w_in, &layer.w_rec, &network.readout.weight, &network.feedback];
    matrices.into_iter().flat_map(|matrix| values(&matrix.val().without_autodiff())).collect()
}

/// The hook's way over the same batches.
fn by_hook(epochs: usize, batch: usize) -> Network<Alif> {
    let mut scheduler = schedule().init().unwrap();
    let (mut network, mut hook) = (network(), OptimizerHook::new(adam(), eprop()));
    for _ in 0..epochs {
        for first in (0..SEQUENCES).step_by(batch) {
            let batch = Sequences.batch((first..first + batch).collect(), &flex());
            let lr = scheduler.step();
            let (updated, report) = hook.step(lr, network, &batch);
            assert!(report.non_finite.is_none());
            network = updated;
        }
    }
    network
}

// ANCHOR: devices
fn launch_on(
    devices: Vec<Device>,
    optim: MultiDeviceOptim,
    objective: Objective,
    batch: usize,
) -> Network<Alif> {
    let folder = tempfile::tempdir().unwrap();
    let strategy = ExecutionStrategy::multi(devices, optim);
    let training = training(folder.path(), batch, 3).with_training_strategy(strategy.into());
    let result = training.launch(learner(network(), Eprop::new(objective, Symmetric).with_outputs(true)));
    assert!(result.error.is_none(), "{:?}", result.error);
    result.model.model
}
// ANCHOR_END: devices

/// A number that a metric's file holds for an epoch.
fn logged(folder: &Path, split: &str, epoch: usize, metric: &str) -> f64 {
    let path = folder.join(split).join(format!("epoch-{epoch}")).join(format!("{metric}.log"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    let line = text.lines().last().expect("an entry");
    let value = line.split(',').next().expect("a value");
    value.parse().unwrap_or_else(|error| panic!("{path:?}: {text}: {error}"))
}

#[test]
fn a_learner_does_what_the_hook_does() {
    let folder = tempfile::tempdir().unwrap();
    let result = training(folder.path(), 4, 5).launch(learner(network(), eprop()));
    assert!(result.error.is_none(), "{:?}", result.error);
    assert_eq!(weights(&result.model.model), weights(&by_hook(5, 4)));
    assert_ne!(weights(&result.model.model), weights(&network()));
}

#[test]
fn metrics_tell_what_was_found() {
    let folder = tempfile::tempdir().unwrap();
    let result = training(folder.path(), SEQUENCES, 30).launch(learner(network(), eprop()));
    let network = result.model.model;
    let batch = Sequences.batch((0..SEQUENCES).collect(), &Device::flex());
    let found = network.evaluate(&batch, &objective());
    let rate = 1000.0 * burn_eprop::estimator::mean_firing_rate(&found.firing_rates);
    assert!(rate > 1.0, "{rate} Hz");
    let of_last = |metric| logged(folder.path(), "valid", 30, metric);
    assert_close("loss", &[of_last("Loss")], &[found.loss], 1e-6);
    assert_close("rate", &[of_last("Firing_Rate")], &[rate], 1e-6);
    assert_eq!(of_last("Accuracy"), 100.0);

    let mut first = OptimizerHook::new(adam(), eprop());
    let (_, report) = first.step(LR, self::network(), &batch.to_device(&flex()));
    let of_first = |metric| logged(folder.path(), "train", 1, metric);
    assert_close("norm", &[of_first("Gradient_Norm")], &[report.gradient_norm], 1e-6);
    assert_close("loss", &[of_first("Loss")], &[report.loss], 1e-6);
}

#[test]
fn a_training_goes_on_from_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let launch = |epochs, checkpoint: Option<usize>| -> LearningResult<_> {
        let training = training(folder.path(), 4, epochs).with_default_checkpointers();
        let training = match checkpoint {
            Some(epoch) => training.checkpoint(epoch),
            None => training,
        };
        training.launch(learner(network(), eprop()))
    };
    launch(2, None);
    let resumed = launch(4, Some(2)).model.model;
    assert_eq!(weights(&resumed), weights(&by_hook(4, 4)));
}

#[test]
fn a_training_stops_early() {
    let folder = tempfile::tempdir().unwrap();
    let stopping = MetricEarlyStoppingStrategy::new(
        &LossMetric::new(),
        Aggregate::Mean,
        Direction::Highest,
        Split::Valid,
        StoppingCondition::NoImprovementSince { n_epochs: 2 },
    );
    let training = training(folder.path(), 4, 50).early_stopping(stopping);
    let result = training.launch(learner(network(), eprop()));
    let learnt = weights(&result.model.model);
    let stopped = (1..10).find(|&epochs| learnt == weights(&by_hook(epochs, 4)));
    assert!(stopped.is_some(), "it went on although the loss only fell");
}

// ANCHOR: sum
/// Two devices that each see half of a batch are one that sees all of it: for a summed loss the gradients add up.
#[test]
fn two_devices_learn_what_one_learns() {
    let objective = Objective { reduction: Reduction::Sum, ..objective() };
    let alone = launch_on(vec![flex()], MultiDeviceOptim::OptimMainDevice, objective, SEQUENCES);
    for other in cpus() {
        let devices = vec![flex(), other.autodiff()];
        let optim = MultiDeviceOptim::OptimMainDevice;
        let both = launch_on(devices, optim, objective, SEQUENCES / 2);
        assert_close("weights", &weights(&both), &weights(&alone), 1e-5);
    }
    assert_ne!(weights(&alone), weights(&network()));
}
// ANCHOR_END: sum

#[test]
fn a_network_in_both_directions_and_bptt_learn_too() {
    let cell = |seed| {
        let cells = vec![LstmConfig::new(6).init()];
        NetworkConfig::new(3, 2).with_seed(seed).init(cells, &flex())
    };
    let model = Bidirectional::new(cell(1), cell(2));
    let batch = Sequences.batch((0..SEQUENCES).collect(), &Device::flex());
    let before = model.evaluate(&batch, &objective()).loss;
    let folder = tempfile::tempdir().unwrap();
    let bptt = Bptt::new(objective()).with_outputs(true);
    let result = training(folder.path(), 4, 10).launch(learner(model, bptt));
    let after = result.model.model.evaluate(&batch, &objective()).loss;
    assert!(after < 0.9 * before, "{before} -> {after}");
}

#[test]
fn a_value_that_is_not_finite_changes_nothing() {
    let batch = Sequences.batch(vec![0, 1], &Device::flex());
    let broken = Batch::new(batch.inputs().clone().mul_scalar(f32::NAN), batch.targets().clone());
    let model = TrainableModel::new(network(), eprop());
    let output = TrainStep::step(&model, broken);
    assert!(output.item.loss.is_nan());
    let mut optimizer = adam();
    let model = model.optimize(&mut optimizer, LR.into(), output.grads);
    assert_eq!(weights(&model.model), weights(&network()));

    struct Broken;
    impl Batcher<usize, Batch> for Broken {
        fn batch(&self, items: Vec<usize>, device: &Device) -> Batch {
            let broken = items.contains(&0);
            let batch = Sequences.batch(items, device);
            let scale = if broken { f32::NAN } else { 1.0 };
            Batch::new(batch.inputs().clone().mul_scalar(scale), batch.targets().clone())
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let items = InMemDataset::new((0..SEQUENCES).collect());
    let broken = DataLoaderBuilder::new(Broken).batch_size(4).build(items);
    let training = SupervisedTraining::new(folder.path(), broken, loader(SEQUENCES))
        .with_application_logger(None)
        .metric_train_numeric(AccuracyMetric::new())
        .metric_train_numeric(FiringRateMetric::new(1.0))
        .metric_train_numeric(GradientNormMetric::new());
    let result = training.launch(learner(network(), eprop()));
    assert!(result.error.is_none(), "{:?}", result.error);
    assert_ne!(weights(&result.model.model), weights(&network()));
    assert!(logged(folder.path(), "train", 1, "Gradient_Norm").is_finite());
}

/// As where several GPUs train one model, and Burn exchanges gradients in the backward pass.
#[test]
fn gradients_go_through_a_backward_pass_unchanged() {
    let batch = Sequences.batch((0..4).collect(), &flex());
    let model = TrainableModel::new(network(), Eprop::new(objective(), Symmetric));
    let found = || TrainStep::step(&model, batch.clone());
    let layer = &model.model.layers[0];
    let ids = [layer.w_in.id, layer.w_rec.id, model.model.readout.weight.id];
    let of = |gradients: &GradientsParams, id| values(&gradients.get::<2>(id).expect("a gradient"));

    let (plain, through) = (found().grads, through_backward(&model, found().grads));
    for id in ids {
        assert!(of(&plain, id).iter().any(|&gradient| gradient != 0.0));
        assert_eq!(of(&through, id), of(&plain, id));
    }
    let nothing = through_backward(&model, GradientsParams::new());
    assert!(ids.iter().flat_map(|&id| of(&nothing, id)).all(|gradient| gradient == 0.0));
    let norm: GradientNormInput = found().item.adapt();
    assert!(norm.norm > 0.0);
}

#[test]
fn decisions_are_of_sequences_or_of_steps() {
    let batch = Sequences.batch((0..SEQUENCES).collect(), &flex());
    let model = TrainableModel::new(network(), eprop());
    let decide = |decisions| {
        let model = model.clone().with_decisions(decisions);
        TrainStep::step(&model, batch.clone()).item.classification()
    };
    let (sequences, steps) = (decide(Decisions::Sequences), decide(Decisions::Steps));
    assert_eq!(sequences.output.dims(), [SEQUENCES, 2]);
    let counting: usize = batch.lengths().iter().sum();
    assert_eq!(steps.output.dims(), [counting, 2]);
    let classes: Vec<i64> = sequences.targets.into_data().iter::<i64>().collect();
    assert_eq!(classes, [0, 1, 0, 1, 0, 1, 0, 1]);
    let sums = values(&sequences.output.exp().sum_dim(1).squeeze_dim::<1>(1));
    assert_close("probabilities", &sums, &[1.0; SEQUENCES], 1e-6);
}
