//! e-prop 2: the update against e-prop, the gradient of the outer loss against explicit traces and finite differences.

use burn::module::{Module, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorCreationOptions};
use burn_eprop::cell::{CellState, LifConfig, Transition};
use burn_eprop::eligibility::stepwise_traces;
use burn_eprop::estimator::{Eprop, OnlineEstimator};
use burn_eprop::loss::{RateAveraging, RateRegularization};
use burn_eprop::meta::{Adaptation, MetaLearner};
use burn_eprop::network::{RecurrentLayer, Weights};
use burn_eprop::readout::LeakyReadoutConfig;
use burn_eprop::signal::{Learned, LearningSignal, Random, SignalContext, Symmetric};
use burn_eprop::surrogate::PseudoDerivative;
use burn_eprop::{Batch, Cell, GradientEstimator, Network, NetworkConfig};
use eprop_tests::case::{Build, Case, float64};
use eprop_tests::cells::{lif, lstm, two_compartment};
use eprop_tests::findings::{assert_close, values};
use eprop_tests::for_every_cell;
use eprop_tests::tasks::{RATE, Tasks, gradient};

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
            let expected = explicit(&tasks, &cells, name, [3.0, 2.0], 0.1);
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

/// Loss and gradients through explicit traces, for a signal of this name.
fn explicit<C: Cell>(
    tasks: &Tasks<C>,
    cells: &[C],
    signal: &str,
    strengths: [f64; 2],
    target: f64,
) -> (f64, GradientsParams) {
    let meta = tasks.meta.clone().train();
    let learner = &meta.learner;
    let batch = tasks.case.batch;
    let inputs = by_step(tasks.training.inputs());
    let initial: Vec<_> = learner.layers.iter().map(|layer| Synapses::of(layer, batch)).collect();
    let first = simulate(learner, &initial, &inputs);

    let targets = by_step(tasks.training.targets());
    let errors: Vec<_> = first.outputs.iter().zip(targets).map(|(y, target)| y.clone() - target).collect();
    let mut module_rate = None;
    let signals: Vec<Tensor<2>> = match signal {
        "symmetric" => errors
            .iter()
            .map(|error| error.clone().matmul(learner.readout.weight.val().transpose()))
            .collect(),
        "random" => {
            errors.iter().map(|error| error.clone().matmul(learner.feedback.val().transpose())).collect()
        }
        _ => {
            let teaching = by_step(tasks.training.teaching().expect("teaching"));
            let seen = teaching.into_iter().zip(first.neurons()).zip(&inputs);
            let seen: Vec<_> = seen
                .map(|((teaching, neurons), input)| Tensor::cat(vec![teaching, neurons, input.clone()], 1))
                .collect();
            let weights: Vec<_> = meta.module.layers.iter().map(|layer| Synapses::of(layer, batch)).collect();
            let module = simulate(&meta.module, &weights, &seen);
            let trials = module.spikes(0).mul_scalar(1.0 / seen.len() as f64);
            let excess = trials.sub_scalar(target);
            module_rate = Some((excess.clone() * excess).sum().mul_scalar(0.5 * strengths[1] / batch as f64));
            module.outputs
        }
    };
    let rates = meta.log_rates.val().exp();
    let mut start = 0;
    let mut updated = Vec::new();
    for (index, (layer, cell)) in learner.layers.iter().zip(cells).enumerate() {
        let size = layer.cell.neurons();
        let mine: Vec<_> = signals.iter().map(|signal| signal.clone().narrow(1, start, size)).collect();
        start += size;
        let linearization = cell.valid().train().linearize(&first.layers[index].transition);
        let traces = stepwise_traces(&linearization, first.layers[index].pre.clone());
        let filter = (signal != "learned").then(|| (learner.readout.decay(), learner.readout.factor()));
        let gradient =
            Tensor::cat(traces.into_iter().map(|trace| contract(&mine, trace, filter)).collect(), 2);
        updated.push(initial[index].descend::<C>(gradient, &rates));
    }
    let second = simulate(learner, &updated, &by_step(&tasks.test_inputs));

    let mut total = tasks.loss(Tensor::stack::<3>(second.outputs.clone(), 1));
    let loss = total.clone();
    let steps = (batch * (first.outputs.len() + second.outputs.len())) as f64;
    for index in 0..learner.layers.len() {
        let count = first.spikes(index) + second.spikes(index);
        let excess = count.sum_dim(0).mul_scalar(1.0 / steps).sub_scalar(target);
        total = total + (excess.clone() * excess).sum().mul_scalar(0.5 * strengths[0]);
    }
    if let Some(rate) = module_rate {
        total = total + rate;
    }
    assert!(loss.into_scalar::<f64>() > 0.0);
    let value = total.clone().into_scalar::<f64>();
    (value, GradientsParams::from_grads(total.backward(), &meta))
}

/// Weights of a layer for each sequence.
struct Synapses {
    w_in: Tensor<3>,
    w_rec: Tensor<3>,
    bias: Option<Tensor<2>>,
}

impl Synapses {
    fn of<C: Cell>(layer: &RecurrentLayer<C>, batch: usize) -> Self {
        let each = |weights: Tensor<2>| weights.unsqueeze::<3>().repeat_dim(0, batch);
        Self {
            w_in: each(layer.w_in.val()),
            w_rec: each(layer.w_rec.val() * others::<C>(layer.w_rec.dims(), &layer.w_rec.val())),
            bias: layer.bias.as_ref().map(|bias| bias.val().unsqueeze::<2>().repeat_dim(0, batch)),
        }
    }

    fn descend<C: Cell>(&self, gradient: Tensor<3>, rates: &Tensor<1>) -> Self {
        let [_, inputs, _] = self.w_in.dims();
        let [_, neurons, targets] = self.w_rec.dims();
        let rate = |group: usize| rates.clone().narrow(0, group, 1).reshape([1, 1, 1]);
        let change = |group: usize, start: usize, length: usize| {
            gradient.clone().narrow(1, start, length) * rate(group)
        };
        let recurrent = change(1, inputs, neurons);
        let others = others::<C>([neurons, targets], &recurrent.clone().narrow(0, 0, 1).squeeze_dim(0));
        Self {
            w_in: self.w_in.clone() - change(0, 0, inputs),
            w_rec: self.w_rec.clone() - recurrent * others.unsqueeze(),
            bias: self.bias.clone().map(|bias| bias - change(2, inputs + neurons, 1).squeeze_dim(1)),
        }
    }
}

/// 0 from a neuron to itself, where there are no autapses, and 1 elsewhere.
fn others<C: Cell>([neurons, targets]: [usize; 2], like: &Tensor<2>) -> Tensor<2> {
    let zero = |place: usize| !C::AUTAPSES && place / targets == place % targets % neurons;
    let values = (0..neurons * targets).map(|place| if zero(place) { 0.0 } else { 1.0 });
    let options = (&like.clone().without_autodiff().device(), like.dtype()).into();
    eprop_tests::case::tensor(values.collect(), [neurons, targets], &options)
}

/// A trial, step by step.
struct Trial {
    layers: Vec<LayerTrial>,
    /// y, each [batch, outputs].
    outputs: Vec<Tensor<2>>,
}

struct LayerTrial {
    /// z, each [batch, neurons].
    outputs: Vec<Tensor<2>>,
    transition: Transition,
    /// [steps, batch, pre]
    pre: Tensor<3>,
}

impl Trial {
    /// z of all layers.
    fn neurons(&self) -> Vec<Tensor<2>> {
        let at = |step: usize| self.layers.iter().map(|layer| layer.outputs[step].clone()).collect();
        (0..self.layers[0].outputs.len()).map(|step| Tensor::cat(at(step), 1)).collect()
    }

    /// Σ_t z of a layer.
    fn spikes(&self, layer: usize) -> Tensor<2> {
        self.layers[layer].outputs.iter().cloned().reduce(|sum, z| sum + z).expect("a step")
    }
}

fn simulate<C: Cell>(network: &Network<C>, weights: &[Synapses], inputs: &[Tensor<2>]) -> Trial {
    let batch = inputs[0].dims()[0];
    let mut below = inputs.to_vec();
    let mut layers = Vec::new();
    for (layer, weights) in network.layers.iter().zip(weights) {
        let options = network.options();
        let mut states: Vec<CellState> = vec![layer.cell.initial_state(batch, &options)];
        let (mut all_currents, mut pre) = (Vec::new(), Vec::new());
        for input in &below {
            let before = states.last().expect("the first");
            let product = |rows: &Tensor<2>, weights: &Tensor<3>| {
                rows.clone().unsqueeze_dim::<3>(1).matmul(weights.clone()).squeeze_dim::<2>(1)
            };
            let mut total = product(input, &weights.w_in) + product(&before.output, &weights.w_rec);
            let mut seen = vec![input.clone(), before.output.clone()];
            if let Some(bias) = &weights.bias {
                total = total + bias.clone();
                seen.push(input.clone().without_autodiff().narrow(1, 0, 1).ones_like());
            }
            let currents = total.chunk(C::CURRENTS, 1);
            states.push(layer.cell.step(before, &currents));
            all_currents.push(currents);
            pre.push(Tensor::cat(seen, 1));
        }
        below = states[1..].iter().map(|state| state.output.clone()).collect();
        let transition = Transition::between(&states, &all_currents);
        layers.push(LayerTrial { outputs: below.clone(), transition, pre: Tensor::stack(pre, 0) });
    }
    let mut trial = Trial { layers, outputs: Vec::new() };
    let readout = &network.readout;
    for neurons in trial.neurons() {
        let mut y = neurons.matmul(readout.weight.val()).mul_scalar(readout.factor());
        if let Some(bias) = &readout.bias {
            y = y + bias.val().unsqueeze();
        }
        if let Some(last) = trial.outputs.last() {
            y = y + last.clone().mul_scalar(readout.decay());
        }
        trial.outputs.push(y);
    }
    trial
}

/// Σ_t L_j^t e_ji^t, [batch, pre, post], for e [steps, batch, post, pre], which the readout's κ and factor filter where they are given.
fn contract(signal: &[Tensor<2>], trace: Tensor<4>, filter: Option<(f64, f64)>) -> Tensor<3> {
    let mut sum: Option<Tensor<3>> = None;
    let mut filtered: Option<Tensor<3>> = None;
    for (step, signal) in signal.iter().enumerate() {
        let mut e = trace.clone().narrow(0, step, 1).squeeze_dim::<3>(0);
        if let Some((decay, factor)) = filter {
            e = e.mul_scalar(factor);
            if let Some(last) = filtered.take() {
                e = e + last.mul_scalar(decay);
            }
            filtered = Some(e.clone());
        }
        let part = e * signal.clone().unsqueeze_dim(2);
        sum = Some(match sum {
            Some(sum) => sum + part,
            None => part,
        });
    }
    sum.expect("a step").swap_dims(1, 2)
}

fn by_step(tensor: &Tensor<3>) -> Vec<Tensor<2>> {
    (0..tensor.dims()[1]).map(|step| tensor.clone().narrow(1, step, 1).squeeze_dim(1)).collect()
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
    for task in 1..tasks.case.batch {
        let one = alone(tasks, task);
        let whole = eprop.estimate(&tasks.meta.learner, &one).gradients;
        let mut state = OnlineEstimator::<C>::start(&mut eprop, &tasks.meta.learner, 1);
        let pieces = [0..7, 7..9, 9..tasks.case.steps].map(|piece| one.piece(piece));
        let pieces = pieces.map(|piece| eprop.feed(&tasks.meta.learner, &mut state, &piece).gradients);
        for (index, layer) in tasks.meta.learner.layers.iter().enumerate() {
            let weights = &adaptation.weights[index];
            for (name, param, updated) in
                [("w_in", &layer.w_in, &weights.w_in), ("w_rec", &layer.w_rec, &weights.w_rec)]
            {
                let Weights::OfSequence(updated) = updated else { panic!("shared weights after an update") };
                let updated = updated.clone().narrow(0, task, 1).squeeze_dim::<2>(0);
                let gradient = whole.get::<2>(param.id).expect("a gradient");
                let streamed = pieces.iter().map(|piece| piece.get::<2>(param.id).expect("a gradient"));
                let streamed = streamed.reduce(|sum, piece| sum + piece).expect("a piece");
                let off = others::<C>(param.dims(), &param.val());
                let before = if name == "w_rec" { param.val() * off } else { param.val() };
                assert!(
                    gradient.clone().abs().max().into_scalar::<f64>() > 0.0,
                    "{what}: no gradient of {name}"
                );
                for (how, gradient) in [("at once", gradient), ("streamed", streamed)] {
                    let expected = before.clone() - gradient.mul_scalar(RATE);
                    let what = format!("{what}, task {task}, layer {index}, {name}, {how}");
                    assert_close(&what, &values(&updated), &values(&expected), 1e-12);
                }
            }
        }
    }
}

/// A task by ittasks.
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
            .with_readout(readout)
            .init(vec![LifConfig::new(neurons).init(&device)], &device)
    };
    MetaLearner::new(network(4, 2, 6), network(13, 5, 5), RATE);
}
