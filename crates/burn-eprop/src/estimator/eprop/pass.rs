//! A pass through a piece of some sequences.

use burn::optim::GradientsParams;
use burn::tensor::Tensor;

use super::EpropState;
use crate::batch::{Batch, BatchChunk};
use crate::cell::Cell;
use crate::eligibility::{Chunk, EligibilityTraces, Presynaptic, SummedTraces, Synapses};
use crate::estimator::record::{ChunkRecord, LayerRecord};
use crate::estimator::{Estimate, Prediction, Schedule, Simulation, loss_divisor, voltage_excess};
use crate::loss::Objective;
use crate::network::{LayerChunk, Network, NetworkChunk, Purpose};
use crate::readout::ReadoutGradient;
use crate::signal::{LearningSignal, SignalContext, register_feedback};

/// How sequences are gone through.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub(super) objective: Objective,
    pub(super) chunk: Option<usize>,
    pub(super) outputs: bool,
}

/// Sums over the chunks of a piece.
pub(super) struct Sums {
    layers: Vec<Option<Tensor<2>>>,
    /// What pulls voltages, by layer, and half the sum of their squared excesses.
    voltages: Vec<Option<Tensor<2>>>,
    voltage_loss: Option<Tensor<1>>,
    readout: Option<ReadoutGradient>,
    loss: Option<Tensor<1>>,
    outputs: Vec<Tensor<3>>,
}

impl Settings {
    /// Goes through sequences, chunk by chunk, with a network outside of autodiff. Without `keep`, traces end with them.
    pub(super) fn run<C: Cell>(
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
        let length = self.chunk_steps(network, batch.size(), steps);
        for start in (0..steps).step_by(length) {
            let end = (start + length).min(steps);
            let chunk = batch.chunk(start..end, divisor, dtype);
            let purpose = if observer.is_some() { Purpose::Record } else { self.purpose() };
            let keep = keep || end < steps;
            let simulated = batch.simulation().filter(|_| observer.is_none());
            let run = match simulated.and_then(|simulation| simulation.chunks.get(start / length)) {
                Some((run, after)) => {
                    state.network = after.clone();
                    run.clone()
                }
                None => network.advance(&mut state.network, chunk.inputs.clone(), purpose),
            };
            let record = self.advance(network, state, chunk, run, &mut sums, keep, purpose);
            if let (Some(observer), Some(record)) = (observer.as_mut(), record) {
                observer(record);
            }
        }
        if sums.outputs.len() > 1 {
            sums.outputs = vec![Tensor::cat(sums.outputs, 0)];
        }
        sums
    }

    /// What a run that nobody observes is for.
    fn purpose(self) -> Purpose {
        if self.objective.voltage.is_some() { Purpose::Steps } else { Purpose::Traces }
    }

    /// Runs through the inputs [batch, time, inputs] of a stream's next piece, in the chunks in which [`run`](Self::run) goes
    /// through it.
    pub(super) fn predict<C: Cell>(
        self,
        network: &Network<C>,
        state: &EpropState,
        inputs: Tensor<3>,
    ) -> Prediction {
        let [batch, steps, _] = inputs.dims();
        let time_major =
            inputs.clone().without_autodiff().cast(network.readout.weight.dtype()).swap_dims(0, 1);
        let mut after = state.network.clone();
        let advance = |chunk| {
            let run = network.advance(&mut after, chunk, self.purpose());
            (run, after.clone())
        };
        let chunks = time_major.split(self.chunk_steps(network, batch, steps), 0);
        let chunks: Vec<_> = chunks.into_iter().map(advance).collect();
        let outputs = Tensor::cat(chunks.iter().map(|(run, _)| run.outputs.clone()).collect(), 0);
        let simulation = Simulation { time: state.time, chunks };
        Prediction::new(inputs, outputs.swap_dims(0, 1), Some(simulation))
    }

    /// Steps of a chunk.
    fn chunk_steps<C: Cell>(self, network: &Network<C>, batch: usize, steps: usize) -> usize {
        self.chunk.unwrap_or_else(|| Schedule::suited_to(network, batch, steps, 1).chunk)
    }

    /// Learns from the run through a chunk.
    #[allow(clippy::too_many_arguments, reason = "a chunk, its run, and what becomes of them")]
    fn advance<C: Cell>(
        self,
        network: &Network<C>,
        state: &mut EpropState,
        chunk: BatchChunk,
        run: NetworkChunk,
        sums: &mut Sums,
        keep: bool,
        purpose: Purpose,
    ) -> Option<ChunkRecord> {
        let NetworkChunk { layers, neurons, outputs } = run;
        let (error, value) = self.error(&chunk, &outputs);
        add(&mut sums.loss, value);
        let time = state.time..state.time + outputs.dims()[0];
        state.time = time.end;
        let signal = (!state.signal.follows_error() || error.is_some()).then(|| {
            let error = error.clone().unwrap_or_else(|| outputs.zeros_like());
            let context = SignalContext::new(network, &chunk, [&outputs, &error, &neurons], time.clone());
            learning_signal(network, state.signal.as_mut(), &context, chunk.valid.as_ref())
        });

        if let Some(gradient) = state.readout.advance(&network.readout, error.clone(), neurons) {
            ReadoutGradient::add(&mut sums.readout, gradient);
        }
        let mut first = 0;
        let mut records = Vec::new();
        for (index, layer) in layers.into_iter().enumerate() {
            if let Some(traces) = state.voltage_traces.get_mut(index) {
                let cell = &network.layers[index].cell;
                let (loss, pull) = hold_voltages(cell, &layer, chunk.valid.as_ref(), traces, keep);
                add(&mut sums.voltage_loss, loss);
                add(&mut sums.voltages[index], pull);
            }
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
            if let Some(transition) = transition.filter(|_| purpose == Purpose::Record) {
                let pre = Presynaptic::join(&pre);
                let signal = signal.unwrap_or_else(|| outputs.zeros_like());
                records.push(LayerRecord { outputs, pre, signal, transition, linearization });
            }
        }
        if self.outputs {
            sums.outputs.push(outputs.clone());
        }
        let error = error.unwrap_or_else(|| outputs.zeros_like());
        (purpose == Purpose::Record).then_some(ChunkRecord { time, layers: records, outputs, error })
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
    pub(super) fn finish<C: Cell>(
        self,
        network: &Network<C>,
        state: &mut EpropState,
        sums: Sums,
    ) -> Estimate {
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
        let readout = sums.readout.unwrap_or_else(|| ReadoutGradient::zeros(&network.readout));
        register_feedback(state.signal.as_ref(), network, &readout.weight, &mut gradients);
        readout.register(&network.readout, &mut gradients);
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

/// L with the readout's factor, 0 behind the ends of sequences.
fn learning_signal<C: Cell>(
    network: &Network<C>,
    signal: &mut dyn LearningSignal,
    context: &SignalContext,
    valid: Option<&Tensor<3>>,
) -> Tensor<3> {
    let value = context.signal(signal);
    let factor = network.readout.factor();
    let value = if factor == 1.0 || !signal.speaks_of_outputs() { value } else { value.mul_scalar(factor) };
    match valid {
        Some(valid) => value * valid.clone(),
        None => value,
    }
}

/// Half the sum of a layer's squared excesses in a chunk, and Σ_t of each times the first component of ε, [pre, post].
fn hold_voltages<C: Cell>(
    cell: &C,
    layer: &LayerChunk,
    valid: Option<&Tensor<3>>,
    traces: &mut EligibilityTraces,
    keep: bool,
) -> (Tensor<1>, Tensor<2>) {
    let LayerChunk { outputs, pre, linearization, transition } = layer;
    let (linearization, transition) = linearization.as_ref().zip(transition.as_ref()).expect("asked for");
    let (loss, excess) = voltage_excess(cell, transition, valid);
    let chunk = Chunk {
        linearization: &linearization.of_first_hidden(&excess),
        pre: pre.clone(),
        signal: Some(outputs.ones_like()),
        summed_by: None,
    };
    (loss, traces.advance(chunk, keep))
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

impl Sums {
    /// The sums of two parts; the outputs of both.
    pub(super) fn join(mut self, other: Self) -> Self {
        for (mine, other) in self.layers.iter_mut().zip(other.layers) {
            other.into_iter().for_each(|other| add(mine, other));
        }
        for (mine, other) in self.voltages.iter_mut().zip(other.voltages) {
            other.into_iter().for_each(|other| add(mine, other));
        }
        other.voltage_loss.into_iter().for_each(|other| add(&mut self.voltage_loss, other));
        other.readout.into_iter().for_each(|other| ReadoutGradient::add(&mut self.readout, other));
        other.loss.into_iter().for_each(|other| add(&mut self.loss, other));
        self.outputs.extend(other.outputs);
        self
    }

    fn new(layers: usize) -> Self {
        Self {
            layers: vec![None; layers],
            voltages: vec![None; layers],
            voltage_loss: None,
            readout: None,
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
