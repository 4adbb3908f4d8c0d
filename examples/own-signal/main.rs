//! Learning signals of one's own, each a type with a `signal`: how little may a neuron hear of the error?
//!
//! With symmetric feedback it hears each output's error, weighed as it acts on that output; with random feedback, by fixed weights. Here
//! it hears their signs alone, or a single output's error. 100 spiking neurons learn to draw three curves. Takes a quarter of a minute;
//! the error is about 0.04 with symmetric feedback, 0.08 with signs, and 0.17 with the two others. `--quick` stops after a few updates.

use burn::optim::AdamConfig;
use burn::tensor::{Device, Tensor, TensorData};
use burn_eprop::cell::{InputNormalization, LifConfig};
use burn_eprop::estimator::{Eprop, evaluate};
use burn_eprop::loss::RateRegularization;
use burn_eprop::readout::LeakyReadoutConfig;
use burn_eprop::signal::{LearningSignal, Random, SignalContext, Symmetric};
use burn_eprop::{Batch, Loss, NetworkConfig, Objective, OptimizerHook};
use eprop_tasks::pattern_generation::{PatternGenerationConfig, nmse};

// ANCHOR: signs
/// L_j = Σ_k B_jk sign(err_k): one bit of each output's error for all neurons.
#[derive(Debug, Clone)]
struct Signs;

impl LearningSignal for Signs {
    fn signal(&mut self, context: &SignalContext) -> Tensor<3> {
        let signs = SignalContext { error: context.error.clone().sign(), ..context.clone() };
        signs.broadcast(context.feedback.clone())
    }
}
// ANCHOR_END: signs

// ANCHOR: one-synapse
/// L_j = B_jk err_k of the one output k for which |B_jk| is largest: a single feedback synapse for each neuron.
#[derive(Debug, Clone)]
struct OneSynapse;

impl LearningSignal for OneSynapse {
    fn signal(&mut self, context: &SignalContext) -> Tensor<3> {
        let strength = context.feedback.clone().abs();
        let weaker = strength.clone().lower(strength.max_dim(1));
        context.broadcast(context.feedback.clone().mask_fill(weaker, 0.0))
    }
}
// ANCHOR_END: one-synapse

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let (updates, seeds) = if quick { (3, 1..=1) } else { (500, 1..=3) };
    let signals: [(&str, Box<dyn LearningSignal>); 4] = [
        ("symmetric", Box::new(Symmetric)),
        ("random", Box::new(Random)),
        ("signs", Box::new(Signs)),
        ("one synapse", Box::new(OneSynapse)),
    ];
    println!("normalised mean squared error after {updates} updates, by seed");
    for (name, signal) in signals {
        let errors = seeds.clone().map(|seed| format!("{:>8.4}", learn(signal.clone(), updates, seed)));
        println!("{name:<12}{}", errors.collect::<String>());
    }
}

// ANCHOR: learn
/// Trains a network to draw the curves, and says how far it is from them.
fn learn(signal: Box<dyn LearningSignal>, updates: usize, seed: u64) -> f64 {
    let device = Device::flex().autodiff();
    let pattern = PatternGenerationConfig::default().generate(seed).expect("the task's own settings");
    let tensor = |values: &[f32], features| {
        Tensor::from_data(TensorData::new(values.to_vec(), [1, pattern.steps, features]), &device)
    };
    let targets = tensor(&pattern.targets, pattern.output_count);
    let batch = Batch::new(tensor(&pattern.inputs, pattern.input_count), targets);

    let cell = LifConfig::new(100).with_tau_membrane_ms(30.0.into()).with_threshold(0.03);
    let cell = cell.with_input_normalization(InputNormalization::OneMinusDecay).init(&device);
    let readout = LeakyReadoutConfig::new().with_tau_ms(Some(30.0)).with_normalized(true);
    let config = NetworkConfig::new(pattern.input_count, pattern.output_count);
    let mut network = config.with_readout(Some(readout)).with_seed(seed).init(vec![cell], &device);
    let objective = Objective::sum(Loss::MeanSquaredError).with_rate(RateRegularization::new(3e5, 10.0, 1.0));
    let mut hook = OptimizerHook::new(AdamConfig::new().init(), Eprop::boxed(objective, signal));
    for _ in 0..updates {
        let (updated, report) = hook.step(3e-3, network, &batch);
        network = updated;
        assert_eq!(report.non_finite, None);
    }
    let outputs = evaluate(&network, &batch, &objective).outputs.into_data();
    nmse(outputs.as_slice().expect("f32"), &pattern.targets, pattern.output_count)
}
// ANCHOR_END: learn
