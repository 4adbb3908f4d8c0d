//! e-prop 2: the update against e-prop, the gradient of the outer loss against explicit traces and finite differences.

use burn::module::{Module, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorCreationOptions};
use burn_eprop::cell::LifConfig;
use burn_eprop::estimator::{Eprop, OnlineEstimator};
use burn_eprop::loss::{RateAveraging, RateRegularization};
use burn_eprop::meta::{Adaptation, MetaLearner};
use burn_eprop::network::{LayerWeights, RecurrentLayer, Weights};
use burn_eprop::readout::LeakyReadoutConfig;
use burn_eprop::signal::{Learned, LearningSignal, Random, SignalContext, Symmetric};
use burn_eprop::surrogate::PseudoDerivative;
use burn_eprop::{Batch, Cell, GradientEstimator, NetworkConfig};
use eprop_tests::case::{Build, Case, SHAPES, float64};
use eprop_tests::cells::{lif, lstm, two_compartment};
use eprop_tests::findings::{assert_close, values};
use eprop_tests::tasks::{RATE, Tasks, gradient};
use eprop_tests::{explicit, for_every_cell};

for_every_cell!(equals_explicit_traces: lif, lif_per_neuron, alif, alif_per_neuron, lstm);
for_every_cell!(update_equals_eprop);

/// The oracle: explicit traces of every synapse at every step, in one graph of Burn's autodiff, with nothing of the library
/// but the cells, their linearisation and the definition of the traces.
fn equals_explicit_traces<C: Cell>(build: Build<C>) {
    let options = float64(&Device::flex());
    let rate = |strength, averaging| RateRegularization { strength, target_per_step: 0.1, averaging };
    let plain = PseudoDerivative {
        height: 0.5,
        divide_by_threshold: false,
        zero_in_refractoriness: false,
        ..PseudoDerivative::default()
    };
    let signals: [(&str, Option<Box<dyn LearningSignal>>); 3] =
        [("learned", None), ("symmetric", Some(Box::new(Symmetric))), ("random", Some(Box::new(Random)))];
    for (neurons, refractory_steps) in [(vec![6], 0), (vec![5, 4], 3)] {
        for (name, signal) in &signals {
            let case = Case { neurons: neurons.clone(), refractory_steps, steps: 14, ..Case::new(3) };
            let traced = Case { pseudo_derivative: plain.clone(), ..case.clone() };
            let cells: Vec<_> = neurons.iter().map(|&neurons| build(&traced, neurons, &options)).collect();
            let tasks = Tasks::new(case, build, &options);
            let mut rule = tasks.one_shot().with_trace_cells(cells.clone());
            rule = rule
                .with_rates(Some(rate(3.0, RateAveraging::Batch)), Some(rate(2.0, RateAveraging::PerTrial)));
            if let Some(signal) = signal {
                rule = rule.with_signal(signal.clone());
            }
            let expected = explicit::estimate(&tasks, &cells, name, [3.0, 2.0], 0.1);
            for kernels in [true, false] {
                let found = tasks.estimate(&rule.clone().with_kernels(kernels));
                compare(&tasks, &format!("{name}, {neurons:?}, kernels {kernels}"), found, &expected);
            }
        }
    }
}

fn compare<C: Cell>(
    tasks: &Tasks<C>,
    what: &str,
    found: (f64, GradientsParams),
    expected: &(f64, GradientsParams),
) {
    assert_close(&format!("{what}, loss"), &[found.0], &[expected.0], 1e-12);
    for (name, id) in tasks.parameters() {
        let [found, expected] = [&found.1, &expected.1].map(|gradients| gradient(gradients, &name, id));
        match (found, expected) {
            (Some(found), Some(expected)) if expected.iter().any(|&value| value != 0.0) => {
                assert_close(&format!("{what}, {name}"), &found, &expected, 1e-10);
            }
            (found, expected) => {
                // The module's, where it gives no signal.
                let zero =
                    |values: Option<Vec<f64>>| values.is_none_or(|values| values.iter().all(|&x| x == 0.0));
                assert!(zero(found) && zero(expected), "{what}, {name}");
                assert!(!what.starts_with("learned"), "{what}: no gradient of {name}");
            }
        }
    }
}

/// One update is a step of gradient descent with what `Eprop` finds for each task by itself, in chunks and in a stream.
fn update_equals_eprop<C: Cell + 'static>(build: Build<C>) {
    let options = float64(&Device::flex());
    let plain = PseudoDerivative {
        height: 0.5,
        divide_by_threshold: false,
        zero_in_refractoriness: false,
        ..PseudoDerivative::default()
    };
    let mut case = Case { neurons: vec![6, 5], refractory_steps: 3, unequal_lengths: true, ..Case::new(5) };
    for (pseudo_derivative, normalized_readout) in [(plain, false), (PseudoDerivative::default(), true)] {
        case = Case { pseudo_derivative, normalized_readout, ..case };
        let tasks = Tasks::new(case.clone(), build, &options);
        let learned: Box<dyn LearningSignal> = Box::new(Learned::new(&tasks.meta.module));
        let signals: [(_, Box<dyn LearningSignal>); 3] =
            [("learned", learned), ("symmetric", Box::new(Symmetric)), ("random", Box::new(Random))];
        for (name, signal) in signals {
            let rule = if name == "learned" {
                tasks.one_shot()
            } else {
                tasks.one_shot().with_signal(signal.clone())
            };
            let eprop = Eprop::boxed(case.objective, signal).with_chunk(5);
            for kernels in [true, false] {
                let adaptation = rule.clone().with_kernels(kernels).adapt(&tasks.meta, &tasks.training);
                check_update(&tasks, &format!("{name}, kernels {kernels}"), &adaptation, eprop.clone());
            }
        }
    }
}

fn check_update<C: Cell>(tasks: &Tasks<C>, what: &str, adaptation: &Adaptation, mut eprop: Eprop) {
    for task in 0..tasks.case.batch {
        let one = alone(tasks, task);
        let whole = eprop.estimate(&tasks.meta.learner, &one).gradients;
        let mut state = OnlineEstimator::<C>::start(&mut eprop, &tasks.meta.learner, 1);
        let pieces = [0..7, 7..9, 9..tasks.case.steps].map(|piece| one.piece(piece));
        let pieces = pieces.map(|piece| eprop.feed(&tasks.meta.learner, &mut state, &piece).gradients);
        for (index, layer) in tasks.meta.learner.layers.iter().enumerate() {
            for (name, id, before, updated) in updates::<C>(layer, &adaptation.weights[index], task) {
                let gradient = |gradients| gradient(gradients, name, id).expect("a gradient");
                let at_once = gradient(&whole);
                let add =
                    |sum: Vec<f64>, piece: Vec<f64>| sum.iter().zip(piece).map(|(a, b)| a + b).collect();
                let streamed = pieces.iter().map(gradient).reduce(add).expect("a piece");
                let learns = at_once.iter().any(|&value| value != 0.0);
                // The first of unequal sequences has no step.
                assert_eq!(learns, task > 0, "{what}, task {task}, {name}");
                for (how, gradient) in [("at once", at_once), ("streamed", streamed)] {
                    let expected: Vec<_> = before.iter().zip(gradient).map(|(w, g)| w - RATE * g).collect();
                    let what = format!("{what}, task {task}, layer {index}, {name}, {how}");
                    assert_close(&what, &updated, &expected, 1e-12);
                }
            }
        }
    }
}

/// Names and ids of a layer's parameters, and their values before and after a task's update.
fn updates<C: Cell>(
    layer: &RecurrentLayer<C>,
    weights: &LayerWeights,
    task: usize,
) -> Vec<(&'static str, ParamId, Vec<f64>, Vec<f64>)> {
    let of_task = |weights: &Weights| {
        let Weights::OfSequence(weights) = weights else { panic!("shared weights after an update") };
        values(&weights.clone().narrow(0, task, 1))
    };
    let w_rec = layer.w_rec.val();
    let before = w_rec.clone() * explicit::others::<C>(w_rec.dims(), &w_rec);
    let (w_in, bias) = (&layer.w_in, layer.bias.as_ref().expect("a bias"));
    let updated_bias = weights.bias.as_ref().expect("a bias").clone().narrow(0, task, 1);
    vec![
        ("w_in", w_in.id, values(&w_in.val()), of_task(&weights.w_in)),
        ("w_rec", layer.w_rec.id, values(&before), of_task(&weights.w_rec)),
        ("bias", bias.id, values(&bias.val()), values(&updated_bias)),
    ]
}

/// A task by itself.
fn alone<C: Cell>(tasks: &Tasks<C>, index: usize) -> Batch {
    let of = |tensor: &Tensor<3>| tensor.clone().narrow(0, index, 1);
    let batch = Batch::new(of(tasks.training.inputs()), of(tasks.training.targets()));
    batch
        .with_teaching(of(tasks.training.teaching().expect("teaching")))
        .with_lengths(vec![tasks.training.lengths()[index]])
}

/// An LSTM that is taught by an LSTM is smooth, and so is the loss after an update of it.
#[test]
fn equals_finite_differences() {
    let options = float64(&Device::flex());
    let case = Case { steps: 8, batch: 2, neurons: vec![3, 2], unequal_lengths: true, ..Case::new(2) };
    let signals: [Option<Box<dyn LearningSignal>>; 3] =
        [None, Some(Box::new(Symmetric)), Some(Box::new(Random))];
    for signal in signals {
        let mut tasks = Tasks::new(case.clone(), lstm, &options);
        let mut rule = tasks.one_shot().with_rates(
            Some(RateRegularization { strength: 2.0, target_per_step: 0.3, averaging: RateAveraging::Batch }),
            Some(RateRegularization {
                strength: 2.0,
                target_per_step: 0.3,
                averaging: RateAveraging::PerTrial,
            }),
        );
        let learned = signal.is_none();
        if let Some(signal) = signal {
            rule = rule.with_signal(signal);
        }
        let (_, gradients) = tasks.estimate(&rule);
        let meta = tasks.meta.clone();
        for (name, id) in
            tasks.parameters().into_iter().filter(|(name, _)| learned || !name.starts_with("module"))
        {
            let gradient = gradient(&gradients, &name, id).expect("a gradient");
            let entries: Vec<_> = (0..gradient.len()).step_by(1 + gradient.len() / 4).collect();
            let differences = entries.iter().map(|&entry| {
                let mut loss = |by: f64| {
                    tasks.meta = meta.clone().map(&mut Moved { id, entry, by });
                    tasks.estimate(&rule).0
                };
                (loss(1e-5) - loss(-1e-5)) / 2e-5
            });
            let differences: Vec<f64> = differences.collect();
            let found: Vec<_> = entries.iter().map(|&entry| gradient[entry]).collect();
            assert_close(&name, &found, &differences, 1e-6);
        }
    }
}

/// Moves one entry of one parameter.
struct Moved {
    id: ParamId,
    entry: usize,
    by: f64,
}

impl burn::module::ModuleMapper for Moved {
    fn map_float<const D: usize>(
        &mut self,
        param: burn::module::Param<Tensor<D>>,
    ) -> burn::module::Param<Tensor<D>> {
        if param.id != self.id {
            return param;
        }
        param.map(|tensor| {
            let shape = tensor.dims();
            let options: TensorCreationOptions = (&tensor.device(), tensor.dtype()).into();
            let mut moved = values(&tensor);
            moved[self.entry] += self.by;
            eprop_tests::case::tensor(moved, shape, &options)
        })
    }
}

/// What happens to one task of a batch is nothing to the others, and gradients of the tasks add up.
#[test]
fn tasks_do_not_leak_into_each_other() {
    let options = float64(&Device::flex());
    let tasks = Tasks::new(Case { neurons: vec![6, 5], ..Case::new(1) }, lif, &options);
    let rule = tasks.one_shot();
    let mut disturbed =
        Tasks { training: tasks.training.clone(), ..Tasks::new(tasks.case.clone(), lif, &options) };
    let others = |tensor: &Tensor<3>| {
        let [batch, ..] = tensor.dims();
        Tensor::cat(
            vec![
                tensor.clone().narrow(0, 0, 1),
                tensor.clone().narrow(0, 1, batch - 1).neg().mul_scalar(1.7),
            ],
            0,
        )
    };
    disturbed.training = Batch::new(others(tasks.training.inputs()), others(tasks.training.targets()))
        .with_teaching(others(tasks.training.teaching().expect("teaching")));
    let [before, after] = [&tasks.training, &disturbed.training].map(|batch| rule.adapt(&tasks.meta, batch));
    let first = |tensor: &Tensor<3>| values(&tensor.clone().narrow(0, 0, 1));
    let (Weights::OfSequence(mine), Weights::OfSequence(theirs)) =
        (&before.weights[1].w_rec, &after.weights[1].w_rec)
    else {
        panic!("shared weights after an update")
    };
    assert_eq!(first(mine), first(theirs));
    assert_ne!(values(mine), values(theirs));
    assert_eq!(first(&before.signal), first(&after.signal));

    let (_, together) = tasks.estimate(&rule);
    let each: Vec<_> = (0..tasks.case.batch)
        .map(|task| {
            let target = tasks.test_targets.clone().narrow(0, task, 1);
            let found = rule.estimate(
                &tasks.meta,
                &alone(&tasks, task),
                tasks.test_inputs.clone().narrow(0, task, 1),
                |outputs| (outputs - target.clone()).powf_scalar(2.0).mean().mul_scalar(0.5),
            );
            found.gradients
        })
        .collect();
    for (name, id) in tasks.parameters() {
        let sum = each
            .iter()
            .map(|gradients| gradient(gradients, &name, id).expect("a gradient"))
            .reduce(|sum, other| sum.iter().zip(other).map(|(sum, other)| sum + other).collect());
        let mean: Vec<_> = sum.expect("a task").iter().map(|sum| sum / tasks.case.batch as f64).collect();
        assert_close(&name, &gradient(&together, &name, id).expect("a gradient"), &mean, 1e-12);
    }
}

/// The weights after an update run a test trial, and one that has learned nothing runs it as before.
#[test]
fn a_test_trial_runs_with_the_updated_weights() {
    let options = float64(&Device::flex());
    let tasks = Tasks::new(Case::new(4), lif, &options);
    let adaptation = tasks.one_shot().adapt(&tasks.meta, &tasks.training);
    let [outputs, neurons] = adaptation.test(&tasks.meta.learner, tasks.test_inputs.clone());
    let loss = tasks.loss(outputs.clone()).into_scalar::<f64>();
    let estimate = tasks.estimate(&tasks.one_shot());
    assert_close("loss", &[loss], &[estimate.0], 1e-12);
    assert_eq!(neurons.dims(), [3, 27, 6]);

    let silent = tasks.one_shot().with_signal(Box::new(Silent)).adapt(&tasks.meta, &tasks.training);
    let [unchanged, _] = silent.test(&tasks.meta.learner, tasks.test_inputs.clone());
    let expected = tasks.meta.learner.forward(tasks.test_inputs.clone());
    assert_close("outputs", &values(&unchanged), &values(&expected), 1e-12);
    assert!(values(&unchanged) != values(&outputs));
}

/// Trials of one step, and of one task.
#[test]
fn a_trial_may_have_one_step() {
    let options = float64(&Device::flex());
    for batch in [1, 2] {
        let case = Case { steps: 1, batch, ..Case::new(0) };
        let tasks = Tasks::new(case.clone(), lif, &options);
        let rule = tasks.one_shot();
        let found = [true, false].map(|kernels| tasks.estimate(&rule.clone().with_kernels(kernels)).0);
        assert_close("loss of LIF neurons", &found[..1], &found[1..], 1e-12);
        let tasks = Tasks::new(case, lstm, &options);
        let (loss, gradients) = tasks.estimate(&tasks.one_shot());
        assert!(
            loss.is_finite() && gradient(&gradients, "w_in", tasks.meta.learner.layers[0].w_in.id).is_some()
        );
    }
}

/// Weights of all sequences beside weights of each its own are the same for each.
#[test]
fn shared_weights_can_stand_beside_those_of_a_sequence() {
    let options = float64(&Device::flex());
    let tasks = Tasks::new(Case::new(4), lif, &options);
    let adaptation = tasks.one_shot().adapt(&tasks.meta, &tasks.training);
    let mut weights = adaptation.clone();
    weights.weights[0].w_in = Weights::Shared(tasks.meta.learner.layers[0].w_in.val());
    let mut repeated = adaptation;
    let w_in = tasks.meta.learner.layers[0].w_in.val().unsqueeze::<3>().repeat_dim(0, tasks.case.batch);
    repeated.weights[0].w_in = Weights::OfSequence(w_in);
    let [found, expected] = [weights, repeated]
        .map(|weights| values(&weights.test(&tasks.meta.learner, tasks.test_inputs.clone())[0]));
    assert_eq!(found, expected);
}

/// The second derivative of a spike is that of its pseudo-derivative.
#[test]
fn pseudo_derivatives_have_derivatives() {
    let device = Device::flex();
    let places: Vec<f64> = (0..40).map(|index| -1.93 + 0.1 * f64::from(index)).collect();
    let at = |shift: f64| {
        let shifted: Vec<f64> = places.iter().map(|u| u + shift).collect();
        eprop_tests::case::tensor(shifted, [places.len()], &float64(&device))
    };
    for shape in SHAPES {
        let psi = PseudoDerivative { shape, height: 0.7, ..PseudoDerivative::default() };
        let u: Tensor<1> = at(0.0).autodiff().require_grad();
        let gradients = psi.evaluate(u.clone(), 0.4).sum().backward();
        let found = values(&u.grad(&gradients).expect("a gradient"));
        let [above, below] = [1e-6, -1e-6].map(|shift| values(&psi.evaluate(at(shift), 0.4)));
        let expected: Vec<_> = above.iter().zip(below).map(|(above, below)| (above - below) / 2e-6).collect();
        assert_close(&format!("{shape:?}"), &found, &expected, 1e-8);
    }
}

/// A learning signal that says nothing.
#[derive(Debug, Clone)]
struct Silent;

impl LearningSignal for Silent {
    fn signal(&mut self, context: &SignalContext) -> Tensor<3> {
        context.neurons.zeros_like()
    }
}

#[test]
#[should_panic(expected = "not in closed form")]
fn a_cell_without_a_closed_form_is_refused() {
    let options = float64(&Device::flex());
    let tasks = Tasks::new(Case::new(0), two_compartment, &options);
    tasks.estimate(&tasks.one_shot());
}

#[test]
#[should_panic(expected = "needs a batch with teaching")]
fn a_batch_without_teaching_is_refused() {
    let options = float64(&Device::flex());
    let tasks = Tasks::new(Case::new(0), lif, &options);
    let bare = Batch::new(tasks.training.inputs().clone(), tasks.training.targets().clone());
    tasks.one_shot().adapt(&tasks.meta, &bare);
}

#[test]
#[should_panic(expected = "with 5 outputs for a learner with 6 neurons")]
fn a_module_of_another_size_is_refused() {
    let device = Device::flex();
    let network = |inputs, outputs, neurons| {
        let readout = LeakyReadoutConfig::new();
        NetworkConfig::new(inputs, outputs)
            .with_readout(Some(readout))
            .init(vec![LifConfig::new(neurons).init(&device)], &device)
    };
    MetaLearner::new(network(4, 2, 6), network(13, 5, 5), RATE);
}
