//! What e-prop carries from piece to piece.

use burn::tensor::Tensor;

use crate::carried::{Archive, Carried};
use crate::cell::Cell;
use crate::eligibility::{EligibilityTraces, SummedTraces};
use crate::estimator::rate::SpikeCounter;
use crate::loss::{Objective, RateAveraging};
use crate::network::{Network, NetworkState, RecurrentLayer};
use crate::readout::ReadoutTraces;
use crate::signal::LearningSignal;

/// What e-prop carries from piece to piece of a sequence.
#[derive(Debug, Clone)]
pub struct EpropState {
    pub(super) network: NetworkState,
    pub(super) signal: Box<dyn LearningSignal>,
    pub(super) traces: Vec<EligibilityTraces>,
    /// By layer, where voltages are regularised.
    pub(super) voltage_traces: Vec<EligibilityTraces>,
    pub(super) readout: ReadoutTraces,
    pub(super) spikes: SpikeCounter,
    /// The regulariser's gradient that earlier pieces have reported, by layer.
    pub(super) rate_gradients: Vec<Option<Tensor<2>>>,
    pub(super) time: usize,
}

impl EpropState {
    /// The state before the first piece, for a network without autodiff.
    pub(super) fn new<C: Cell>(
        network: &Network<C>,
        batch: usize,
        objective: Objective,
        signal: Box<dyn LearningSignal>,
    ) -> Self {
        let summed = match objective.rate.map(|rate| rate.averaging) {
            None => SummedTraces::Off,
            Some(RateAveraging::Batch | RateAveraging::Running { .. }) => SummedTraces::OverBatch(None),
            Some(RateAveraging::PerTrial) => SummedTraces::PerTrial(Vec::new()),
        };
        let kappa = if signal.speaks_of_outputs() { network.readout.decay() } else { 0.0 };
        let traces =
            |layer: &RecurrentLayer<C>| EligibilityTraces::new(kappa, layer.synapses(batch), summed.clone());
        let voltage_traces =
            |layer: &RecurrentLayer<C>| EligibilityTraces::new(0.0, layer.synapses(batch), SummedTraces::Off);
        Self {
            signal,
            traces: network.layers.iter().map(traces).collect(),
            voltage_traces: match objective.voltage {
                Some(_) => network.layers.iter().map(voltage_traces).collect(),
                None => Vec::new(),
            },
            readout: ReadoutTraces::new([batch, network.neurons()]),
            spikes: SpikeCounter::new(network, batch, objective.rate.as_ref()),
            rate_gradients: vec![None; network.layers.len()],
            time: 0,
            network: network.initial_state(batch),
        }
    }

    /// Takes over what was counted in other sequences of the batch, which have ended.
    pub(super) fn join(&mut self, others: Vec<Self>) {
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
