//! e-prop 2 by its definition: explicit traces of every synapse at every step, in one graph of Burn's autodiff, with nothing
//! of the library but the cells, their linearisation and the definition of the traces.

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use burn_eprop::cell::{CellState, Transition};
use burn_eprop::eligibility::stepwise_traces;
use burn_eprop::network::RecurrentLayer;
use burn_eprop::{Cell, Network};

use crate::case::tensor;
use crate::tasks::Tasks;

/// Loss and gradients through explicit traces, for a signal of this name (`learned`, `symmetric`, `random`) and firing-rate
/// regularisation of these strengths, of the learner by the batch and of the error module by the trial.
pub fn estimate<C: Cell>(
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
pub fn others<C: Cell>([neurons, targets]: [usize; 2], like: &Tensor<2>) -> Tensor<2> {
    let zero = |place: usize| !C::AUTAPSES && place / targets == place % targets % neurons;
    let values = (0..neurons * targets).map(|place| if zero(place) { 0.0 } else { 1.0 });
    let options = (&like.clone().without_autodiff().device(), like.dtype()).into();
    tensor(values.collect(), [neurons, targets], &options)
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
