//! e-prop 1: eligibility traces, run forward, times a learning signal.

use std::ops::Range;

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

use super::rate::SpikeCounter;
use super::record::{ChunkRecord, LayerRecord};
use super::{
    Estimate, GradientEstimator, OnlineEstimator, Schedule, check_batch, loss_divisor, voltage_excess,
};
use crate::batch::{Batch, BatchChunk};
use crate::carried::{Archive, Carried};
use crate::cell::Cell;
use crate::eligibility::{Chunk, EligibilityTraces, Presynaptic, SummedTraces, Synapses};
use crate::kernel;
use crate::loss::{Objective, RateAveraging};
use crate::network::{LayerChunk, Network, NetworkChunk, NetworkState, Purpose, RecurrentLayer};
use crate::readout::ReadoutTraces;
use crate::signal::{LearningSignal, SignalContext, decay_weights, register_feedback};

/// e-prop 1 (Bellec et al. 2019, arXiv:1901.09049): dE/dW_ji ≈ Σ_t L_j^t ē_ji^t. With a
/// [learned signal](crate::signal::Learned), which multiplies the unfiltered e, it is the update of e-prop 2.
///
/// Everything runs on the device without autodiff, so that memory does not grow with the length of the
/// sequence. The gradients of the readout are exact.
///
/// On a CPU, the first call has the process's allocator, if it is glibc's, keep freed blocks of up to 31 MiB for the next
/// chunk; its arenas may then hold on to up to twice as much each.
#[derive(Debug, Clone)]
pub struct Eprop {
    signal: Box<dyn LearningSignal>,
    settings: Settings,
}

#[derive(Debug, Clone, Copy)]
struct Settings {
    objective: Objective,
    chunk: Option<usize>,
    outputs: bool,
}

/// What has come of some sequences of a batch.
struct Found<C: Cell> {
    network: Network<C>,
    sums: Sums,
    state: EpropState,
    /// Where sequences were gone through in several parts, the states after the others.
    others: Vec<EpropState>,
}

/// What e-prop carries from piece to piece of a sequence.
#[derive(Debug, Clone)]
pub struct EpropState {
    network: NetworkState,
    signal: Box<dyn LearningSignal>,
    traces: Vec<EligibilityTraces>,
    /// By layer, where voltages are regularised.
    voltage_traces: Vec<EligibilityTraces>,
    readout: ReadoutTraces,
    spikes: SpikeCounter,
    /// The regulariser's gradient that earlier pieces have reported, by layer.
    rate_gradients: Vec<Option<Tensor<2>>>,
    time: usize,
}

/// Sums over the chunks of a piece.
struct Sums {
    layers: Vec<Option<Tensor<2>>>,
    /// What pulls voltages, by layer, and half the sum of their squared excesses.
    voltages: Vec<Option<Tensor<2>>>,
    voltage_loss: Option<Tensor<1>>,
    readout_weight: Option<Tensor<2>>,
    readout_bias: Option<Tensor<1>>,
    loss: Option<Tensor<1>>,
    outputs: Vec<Tensor<3>>,
}

impl Eprop {
    /// e-prop with the given learning signal.
    ///
    /// # Panics
    ///
    /// If the objective is not [valid](Objective::validate).
    pub fn new(objective: Objective, signal: impl LearningSignal + 'static) -> Self {
        Self::boxed(objective, Box::new(signal))
    }

    /// As [`new`](Self::new), for a signal chosen at run time.
    ///
    /// # Panics
    ///
    /// If the objective is not [valid](Objective::validate).
    pub fn boxed(objective: Objective, signal: Box<dyn LearningSignal>) -> Self {
        let settings = Settings { objective: objective.checked(), chunk: None, outputs: false };
        Self { signal, settings }
    }

    /// The number of steps that are simulated before the traces are touched, in place of one that follows from sizes (of
    /// at most 512). It changes speed and memory, not the gradient.
    ///
    /// # Panics
    ///
    /// If `steps` is 0.
    pub fn with_chunk(self, steps: usize) -> Self {
        assert!(steps > 0, "a chunk has at least one step");
        Self { settings: Settings { chunk: Some(steps), ..self.settings }, ..self }
    }

    /// Whether estimates hold the outputs of all steps, which takes memory in proportion to them.
    pub fn with_outputs(self, outputs: bool) -> Self {
        Self { settings: Settings { outputs, ..self.settings }, ..self }
    }

    /// As [`estimate`](GradientEstimator::estimate); `observer` sees each chunk, of all sequences together.
    pub fn estimate_observed<C: Cell>(
        &mut self,
        network: &Network<C>,
        batch: &Batch,
        observer: &mut dyn FnMut(ChunkRecord),
    ) -> Estimate {
        let mut state = self.start(network, batch.size());
        check(network, &state, batch);
        let (settings, network) = (self.settings, network.valid());
        let sums = settings.run(&network, &mut state, batch, false, Some(observer));
        settings.finish(&network, &mut state, sums)
    }
}

impl Settings {
    /// Goes through sequences, chunk by chunk, with a network outside of autodiff. Without `keep`, traces end with them.
    fn run<C: Cell>(
        self,
        network: &Network<C>,
        state: &mut EpropState,
        batch: &Batch,
        keep: bool,
        mut observer: Option<&mut dyn FnMut(ChunkRecord)>,
    ) -> Sums {
        let divisor = loss_divisor(&self.objective, batch);
        let dtype = network.readout.weight.dtype();
        let steps = batch.steps();
        let mut sums = Sums::new(network.layers.len());
        state.spikes.add_steps(&batch.lengths());
        let suited = || Schedule::suited_to(network, batch.size(), steps, 1).chunk;
        let length = self.chunk.unwrap_or_else(suited);
        for start in (0..steps).step_by(length) {
            let end = (start + length).min(steps);
            let chunk = batch.chunk(start..end, divisor, dtype);
            let purposes = [observer.is_some(), self.objective.voltage.is_some()];
            let keep = keep || end < steps;
            let record = self.advance(network, state, chunk, &mut sums, keep, purposes);
            if let (Some(observer), Some(record)) = (observer.as_mut(), record) {
                observer(record);
            }
        }
        if sums.outputs.len() > 1 {
            sums.outputs = vec![Tensor::cat(sums.outputs, 0)];
        }
        sums
    }

    /// Simulates a chunk, and learns from it. It may be to be `observed`, and voltages may be to be `held`.
    fn advance<C: Cell>(
        self,
        network: &Network<C>,
        state: &mut EpropState,
        chunk: BatchChunk,
        sums: &mut Sums,
        keep: bool,
        [observed, held]: [bool; 2],
    ) -> Option<ChunkRecord> {
        let purpose = if observed || held { Purpose::Record } else { Purpose::Traces };
        let NetworkChunk { layers, neurons, outputs } =
            network.advance(&mut state.network, chunk.inputs.clone(), purpose);
        let (error, value) = self.error(&chunk, &outputs);
        add(&mut sums.loss, value);
        let time = state.time..state.time + outputs.dims()[0];
        state.time = time.end;
        let signal = (!state.signal.follows_error() || error.is_some()).then(|| {
            let error = error.clone().unwrap_or_else(|| outputs.zeros_like());
            let context = SignalContext::new(network, &chunk, [&outputs, &error, &neurons], time.clone());
            let signal = context.signal(state.signal.as_mut());
            let factor = network.readout.factor();
            let speaks_of_outputs = state.signal.speaks_of_outputs();
            let signal = if factor == 1.0 || !speaks_of_outputs { signal } else { signal.mul_scalar(factor) };
            match &chunk.valid {
                Some(valid) => signal * valid.clone(),
                None => signal,
            }
        });

        if let Some(gradient) = state.readout.advance(&network.readout, error.clone(), neurons) {
            add(&mut sums.readout_weight, gradient.weight);
            add(&mut sums.readout_bias, gradient.bias);
        }
        let mut first = 0;
        let mut records = Vec::new();
        for (index, layer) in layers.into_iter().enumerate() {
            let LayerChunk { outputs, pre, linearization, transition } = layer;
            let linearization = linearization.expect("asked for");
            let size = outputs.dims()[2];
            let signal = signal.clone().map(|signal| signal.narrow(2, first, size));
            first += size;
            state.spikes.add_spikes(index, &outputs, chunk.valid.as_ref());
            let rate = self.objective.rate.as_ref();
            let slope =
                rate.and_then(|rate| state.spikes.running_slope(rate, index, &outputs, chunk.valid.as_ref()));
            let engine_chunk = Chunk {
                linearization: &linearization,
                pre: pre.clone(),
                signal: signal.clone(),
                summed_by: slope.or_else(|| chunk.valid.clone()),
            };
            add(&mut sums.layers[index], state.traces[index].advance(engine_chunk, keep));
            if let Some(traces) = state.voltage_traces.get_mut(index) {
                let transition = transition.as_ref().expect("asked for");
                let (cell, batch) = (&network.layers[index].cell, outputs.dims()[1]);
                let (loss, excess) = voltage_excess(cell, transition, batch, chunk.valid.as_ref());
                add(&mut sums.voltage_loss, loss);
                let engine_chunk = Chunk {
                    linearization: &linearization.of_first_hidden(),
                    pre: pre.clone(),
                    signal: Some(excess),
                    summed_by: None,
                };
                add(&mut sums.voltages[index], traces.advance(engine_chunk, keep));
            }
            if let Some(transition) = transition.filter(|_| observed) {
                let pre = Presynaptic::join(&pre);
                let signal = signal.unwrap_or_else(|| outputs.zeros_like());
                records.push(LayerRecord { outputs, pre, signal, transition, linearization });
            }
        }
        if self.outputs {
            sums.outputs.push(outputs.clone());
        }
        let error = error.unwrap_or_else(|| outputs.zeros_like());
        observed.then_some(ChunkRecord { time, layers: records, outputs, error })
    }

    /// err [steps, batch, outputs] and the loss of a chunk; no error where no step of it counts.
    fn error(self, chunk: &BatchChunk, outputs: &Tensor<3>) -> (Option<Tensor<3>>, Tensor<1>) {
        let weight = &chunk.weight;
        if weight.clone().abs().max().into_scalar::<f64>() == 0.0 {
            return (None, Tensor::zeros([1], (&weight.device(), weight.dtype())));
        }
        let loss = self.objective.loss;
        let judged = chunk.judged(outputs);
        (Some(loss.error(judged.clone())), loss.value(judged))
    }

    /// The gradients of a piece, with the regulariser's.
    fn finish<C: Cell>(self, network: &Network<C>, state: &mut EpropState, sums: Sums) -> Estimate {
        let mut gradients = GradientsParams::new();
        let voltage =
            self.objective.voltage.map_or(0.0, |voltage| voltage.strength) / state.spikes.sequences();
        let parts = network.layers.iter().zip(sums.layers).zip(sums.voltages);
        for (index, ((layer, gradient), of_voltages)) in parts.enumerate() {
            let mut gradient = gradient.expect("a batch has at least one step");
            if let Some(of_voltages) = of_voltages {
                gradient = gradient + of_voltages.mul_scalar(voltage);
            }
            if let Some(rate) = self.rate_gradient(state, index) {
                gradient = gradient + rate;
            }
            layer.register(gradient, &mut gradients);
        }
        let readout_weight = sums.readout_weight.unwrap_or_else(|| network.readout.weight.val().zeros_like());
        register_feedback(state.signal.as_ref(), network, &readout_weight, &mut gradients);
        gradients.register(network.readout.weight.id, readout_weight);
        if let Some(bias) = &network.readout.bias {
            gradients.register(bias.id, sums.readout_bias.unwrap_or_else(|| bias.val().zeros_like()));
        }
        let rate_loss = self.objective.rate.map_or(0.0, |rate| state.spikes.loss(&rate).into_scalar::<f64>());
        Estimate {
            loss: sums.loss.map_or(0.0, |loss| loss.into_scalar::<f64>()),
            rate_loss,
            voltage_loss: sums.voltage_loss.map_or(0.0, |loss| voltage * loss.into_scalar::<f64>()),
            outputs: self.outputs.then(|| Tensor::cat(sums.outputs, 1).swap_dims(0, 1)),
            firing_rates: state.spikes.firing_rates(),
            gradients,
        }
    }

    /// The regulariser's gradient of a layer in a piece, [pre, currents · neurons].
    fn rate_gradient(self, state: &mut EpropState, layer: usize) -> Option<Tensor<2>> {
        let rate = self.objective.rate?;
        let Some(slope) = state.spikes.slope(&rate, layer) else {
            // Running means have pulled at each step.
            let sum = state.traces[layer].take_batch_sum()?;
            return Some(sum.mul_scalar(1.0 / state.spikes.trials(&rate)));
        };
        let so_far = rate_gradient(&state.traces[layer], slope)?;
        // What the rates up to here ask for, less what earlier pieces have reported of it.
        Some(match state.rate_gradients[layer].replace(so_far.clone()) {
            Some(reported) => so_far - reported,
            None => so_far,
        })
    }
}

/// Σ_t r e with the rates so far, [pre, currents · neurons].
fn rate_gradient(traces: &EligibilityTraces, slope: Tensor<2>) -> Option<Tensor<2>> {
    match traces.summed() {
        SummedTraces::Off => None,
        SummedTraces::OverBatch(sum) => {
            let sum = sum.clone()?;
            let currents = sum.dims()[1] / slope.dims()[1];
            Some(sum * slope.repeat_dim(1, currents))
        }
        SummedTraces::PerTrial(sums) => {
            let gradients = sums.iter().map(|sum| {
                let scaled = sum.clone()? * slope.clone().unsqueeze_dim(2);
                Some(scaled.sum_dim(0).squeeze_dim::<2>(0).transpose())
            });
            let Synapses { pre, post, .. } = traces.synapses();
            let zeros = || Tensor::zeros([pre, post], (&slope.device(), slope.dtype()));
            let gradients: Vec<Option<Tensor<2>>> = gradients.collect();
            if gradients.iter().all(Option::is_none) {
                return None;
            }
            Some(Tensor::cat(gradients.into_iter().map(|part| part.unwrap_or_else(zeros)).collect(), 1))
        }
    }
}

impl Carried for EpropState {
    fn visit(&mut self, archive: &mut Archive) {
        archive.part("network", |archive| self.network.visit(archive));
        for (index, traces) in self.traces.iter_mut().enumerate() {
            archive.part(&format!("traces.{index}"), |archive| traces.visit(archive));
        }
        for (index, traces) in self.voltage_traces.iter_mut().enumerate() {
            archive.part(&format!("voltage_traces.{index}"), |archive| traces.visit(archive));
        }
        archive.part("readout", |archive| self.readout.visit(archive));
        archive.part("spikes", |archive| self.spikes.visit(archive));
        archive.part("signal", |archive| self.signal.visit(archive));
        for (layer, (gradient, traces)) in self.rate_gradients.iter_mut().zip(&self.traces).enumerate() {
            archive.optional(&format!("rate_gradients.{layer}"), gradient, traces.synapses().matrix());
        }
        let mut time = self.time as f64;
        archive.number("time", &mut time);
        self.time = time as usize;
    }
}

impl<C: Cell> GradientEstimator<C> for Eprop {
    fn estimate(&mut self, network: &Network<C>, batch: &Batch) -> Estimate {
        check_batch(network, batch);
        let on_cpu = kernel::is_on_cpu(&network.readout.weight.val().without_autodiff());
        let threads = if on_cpu && self.signal.separates_sequences() { kernel::threads() } else { 1 };
        let schedule = Schedule::suited_to(network, batch.size(), batch.steps(), threads);
        batch.loss_steps(); // once for all parts
        let part = |sequences: Range<usize>| {
            let state = self.start(network, sequences.len());
            (network.valid(), state, batch.clone(), sequences)
        };
        let parts: Vec<_> = schedule.parts.into_iter().map(part).collect();
        let settings = self.settings;
        let run =
            move |(network, mut state, batch, sequences): (Network<C>, EpropState, Batch, Range<usize>)| {
                // Cut only now: on some devices it is a copy.
                let sums = settings.run(&network, &mut state, &batch.sequences(sequences), false, None);
                Found { network, sums, state, others: Vec::new() }
            };
        let finish = move |found: Found<C>| {
            let Found { network, sums, mut state, others } = found;
            state.join(others);
            settings.finish(&network, &mut state, sums)
        };
        kernel::in_parts(on_cpu, parts, run, Found::join, finish).expect("a batch has a sequence")
    }

    fn after_update(&self, network: Network<C>) -> Network<C> {
        decay_weights(self.signal.as_ref(), network)
    }
}

impl<C: Cell> OnlineEstimator<C> for Eprop {
    type State = EpropState;

    fn start(&mut self, network: &Network<C>, batch: usize) -> EpropState {
        let network = network.valid();
        let summed = match self.settings.objective.rate.map(|rate| rate.averaging) {
            None => SummedTraces::Off,
            Some(RateAveraging::Batch | RateAveraging::Running { .. }) => SummedTraces::OverBatch(None),
            Some(RateAveraging::PerTrial) => SummedTraces::PerTrial(Vec::new()),
        };
        let kappa = if self.signal.speaks_of_outputs() { network.readout.decay() } else { 0.0 };
        let traces =
            |layer: &RecurrentLayer<C>| EligibilityTraces::new(kappa, layer.synapses(batch), summed.clone());
        let voltage_traces =
            |layer: &RecurrentLayer<C>| EligibilityTraces::new(0.0, layer.synapses(batch), SummedTraces::Off);
        EpropState {
            signal: self.signal.clone(),
            traces: network.layers.iter().map(traces).collect(),
            voltage_traces: match self.settings.objective.voltage {
                Some(_) => network.layers.iter().map(voltage_traces).collect(),
                None => Vec::new(),
            },
            readout: ReadoutTraces::new([batch, network.neurons()]),
            spikes: SpikeCounter::new(&network, batch, self.settings.objective.rate.as_ref()),
            rate_gradients: vec![None; network.layers.len()],
            time: 0,
            network: network.initial_state(batch),
        }
    }

    fn feed(&mut self, network: &Network<C>, state: &mut EpropState, piece: &Batch) -> Estimate {
        let on_cpu = kernel::is_on_cpu(&network.readout.weight.val().without_autodiff());
        let settings = self.settings;
        check(network, state, piece);
        let (network, piece) = (network.valid(), piece.clone());
        kernel::in_pool(on_cpu, move || {
            let sums = settings.run(&network, state, &piece, true, None);
            settings.finish(&network, state, sums)
        })
    }
}

/// # Panics
///
/// If batch, network and state do not fit each other.
fn check<C: Cell>(network: &Network<C>, state: &EpropState, batch: &Batch) {
    check_batch(network, batch);
    state.network.check(network, batch.size());
}

impl<C: Cell> Found<C> {
    /// Takes over what was found in other sequences of the batch.
    fn join(mut self, mut other: Self) -> Self {
        self.sums = self.sums.join(other.sums);
        for (mine, other) in self.state.traces.iter_mut().zip(&mut other.state.traces) {
            mine.add_sum(other);
        }
        self.others.push(other.state);
        self.others.extend(other.others);
        self
    }
}

impl EpropState {
    /// Takes over what was counted in other sequences of the batch, which have ended.
    fn join(&mut self, others: Vec<Self>) {
        if others.is_empty() {
            return;
        }
        let (spikes, traces): (Vec<_>, Vec<_>) =
            others.into_iter().map(|other| (other.spikes, other.traces)).unzip();
        self.spikes.join(spikes);
        for (layer, mine) in self.traces.iter_mut().enumerate() {
            mine.join_trials(traces.iter().map(|traces| traces[layer].clone()).collect());
        }
    }
}

impl Sums {
    /// The sums of two parts; the outputs of both.
    fn join(mut self, other: Self) -> Self {
        for (mine, other) in self.layers.iter_mut().zip(other.layers) {
            other.into_iter().for_each(|other| add(mine, other));
        }
        for (mine, other) in self.voltages.iter_mut().zip(other.voltages) {
            other.into_iter().for_each(|other| add(mine, other));
        }
        other.voltage_loss.into_iter().for_each(|other| add(&mut self.voltage_loss, other));
        other.readout_weight.into_iter().for_each(|other| add(&mut self.readout_weight, other));
        other.readout_bias.into_iter().for_each(|other| add(&mut self.readout_bias, other));
        other.loss.into_iter().for_each(|other| add(&mut self.loss, other));
        self.outputs.extend(other.outputs);
        self
    }

    fn new(layers: usize) -> Self {
        Self {
            layers: vec![None; layers],
            voltages: vec![None; layers],
            voltage_loss: None,
            readout_weight: None,
            readout_bias: None,
            loss: None,
            outputs: Vec::new(),
        }
    }
}

fn add<const D: usize>(sum: &mut Option<Tensor<D>>, part: Tensor<D>) {
    *sum = Some(match sum.take() {
        Some(sum) => sum + part,
        None => part,
    });
}
