//! e-prop under burn-train's `Learner`: its dashboard, metrics, checkpoints, early stopping and learning-rate schedule, as they are.
//!
//! A spiking network learns which of two groups of inputs fired first. `--quick` stops after an epoch. Where the output is not a
//! terminal, the dashboard gives way to lines.

use burn::data::dataloader::DataLoaderBuilder;
use burn::data::dataset::InMemDataset;
use burn::lr_scheduler::cosine::CosineAnnealingLrSchedulerConfig;
use burn::lr_scheduler::module_lr_scheduler::ModuleLrSchedulerConfig;
use burn::optim::{AdamConfig, ModuleOptimizer};
use burn::tensor::Device;
use burn::train::metric::store::{Aggregate, Direction, Split};
use burn::train::metric::{AccuracyMetric, LearningRateMetric, LossMetric};
use burn::train::{Learner, MetricEarlyStoppingStrategy, StoppingCondition, SupervisedTraining};
use burn_eprop::cell::AlifConfig;
use burn_eprop::estimator::Eprop;
use burn_eprop::loss::RateRegularization;
use burn_eprop::signal::Random;
use burn_eprop::train::{FiringRateMetric, GradientNormMetric, TrainableModel};
use burn_eprop::{Loss, NetworkConfig, Objective};

use recall::{INPUTS, Recall};

mod recall;

const BATCH: usize = 32;

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let epochs = if quick { 1 } else { 10 };
    let device = Device::flex().autodiff();
    // ANCHOR: model
    let cell = AlifConfig::mixed(80, 40, 0.03).with_tau_adaptation_ms(300.0.into()).init(&device);
    let network = NetworkConfig::new(INPUTS, 2).with_seed(1).init(vec![cell], &device);
    let objective =
        Objective::mean(Loss::SoftmaxCrossEntropy).with_rate(RateRegularization::new(10.0, 20.0, 1.0));
    // The one line of e-prop; `Bptt::new(objective)` in its place is the exact baseline.
    let model = TrainableModel::new(network, Eprop::new(objective, Random).with_outputs(true));
    // ANCHOR_END: model

    let loader = |seeds: std::ops::Range<u64>| {
        DataLoaderBuilder::new(Recall).batch_size(BATCH).build(InMemDataset::new(seeds.collect()))
    };
    let optimizer: ModuleOptimizer = AdamConfig::new().init();
    let updates = epochs * 320 / BATCH;
    let schedule = CosineAnnealingLrSchedulerConfig::new(1e-2, updates).into();
    let schedule = ModuleLrSchedulerConfig::new(schedule).init().expect("a rate between 0 and 1");
    let stopping = MetricEarlyStoppingStrategy::new(
        &LossMetric::new(),
        Aggregate::Mean,
        Direction::Lowest,
        Split::Valid,
        StoppingCondition::NoImprovementSince { n_epochs: 3 },
    );
    // ANCHOR: training
    let result = SupervisedTraining::new("runs/learner", loader(0..320), loader(1000..1128))
        .metrics((LossMetric::new(), AccuracyMetric::new(), FiringRateMetric::new(1.0)))
        .metric_train_numeric(GradientNormMetric::new())
        .metric_train_numeric(LearningRateMetric::new())
        .with_default_checkpointers()
        .early_stopping(stopping)
        .num_epochs(epochs)
        .summary()
        .launch(Learner::new(model, optimizer, schedule));
    let _network = result.model.model; // The trained network itself.
    // ANCHOR_END: training
}
