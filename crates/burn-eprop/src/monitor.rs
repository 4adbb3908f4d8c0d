//! Records of chosen neurons and synapses while e-prop learns.
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use burn_eprop::cell::AlifConfig;
//! use burn_eprop::estimator::Eprop;
//! use burn_eprop::monitor::{Monitor, Synapse};
//! use burn_eprop::signal::Symmetric;
//! use burn_eprop::{Batch, Loss, NetworkConfig, Objective};
//!
//! let device = Device::flex();
//! let network = NetworkConfig::new(3, 1).init(vec![AlifConfig::mixed(10, 5, 0.02).init(&device)], &device);
//! let batch = Batch::new(Tensor::ones([1, 50, 3], &device), Tensor::ones([1, 50, 1], &device));
//!
//! let mut monitor = Monitor::new(0, vec![2, 7]).with_synapses(vec![Synapse { post: 7, pre: 1 }]);
//! let mut eprop = Eprop::new(Objective::sum(Loss::MeanSquaredError), Symmetric);
//! eprop.estimate_observed(&network, &batch, &mut |record| monitor.observe(&network, &record));
//!
//! let recording = monitor.recording();
//! assert_eq!(recording.outputs[1].len(), 50); // z of neuron 7
//! assert_eq!(recording.quantity("threshold").unwrap()[1].len(), 50);
//! assert_eq!(recording.synapses[0].traces[0].len(), 50); // e of the synapse from input 1
//! ```

use burn::tensor::{Int, Tensor};

use crate::cell::Cell;
use crate::eligibility::StepwiseTraces;
use crate::estimator::{ChunkRecord, LayerRecord};
use crate::network::Network;

/// A synapse of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Synapse {
    /// The neuron that it reaches.
    pub post: usize,
    /// Where it comes from: the layer's inputs are counted first, then its neurons, then, where it has one, the bias.
    pub pre: usize,
}

/// What was recorded of a synapse, over time.
#[derive(Debug, Clone)]
pub struct SynapseRecording {
    /// The synapse.
    pub synapse: Synapse,
    /// The presynaptic value.
    pub pre: Vec<f64>,
    /// The eligibility trace e into each of the cell's currents, not filtered by the readout.
    pub traces: Vec<Vec<f64>>,
}

/// What was recorded, over time; of neurons in the order in which the monitor was given them.
#[derive(Debug, Clone)]
pub struct Recording {
    /// The neurons.
    pub neurons: Vec<usize>,
    /// z of each neuron.
    pub outputs: Vec<Vec<f64>>,
    /// The learning signal L of each neuron, with the readout's factor.
    pub signals: Vec<Vec<f64>>,
    /// What the [cell tells](Cell::monitors) of each neuron, by name: of spiking cells `v`, `threshold` and `psi`.
    pub quantities: Vec<(&'static str, Vec<Vec<f64>>)>,
    /// The synapses.
    pub synapses: Vec<SynapseRecording>,
}

impl Recording {
    /// One of what the cell tells of each neuron.
    pub fn quantity(&self, name: &str) -> Option<&[Vec<f64>]> {
        let quantity = self.quantities.iter().find(|(known, _)| *known == name);
        quantity.map(|(_, values)| values.as_slice())
    }
}

/// Records neurons and synapses of one layer in one sequence of a batch.
#[derive(Debug, Clone)]
pub struct Monitor {
    layer: usize,
    sequence: usize,
    traces: Vec<StepwiseTraces>,
    recording: Recording,
}

impl Monitor {
    /// A monitor of neurons in a layer, counted from the lowest, and of the batch's first sequence.
    pub fn new(layer: usize, neurons: Vec<usize>) -> Self {
        let nothing = vec![Vec::new(); neurons.len()];
        let recording = Recording {
            neurons,
            outputs: nothing.clone(),
            signals: nothing,
            quantities: Vec::new(),
            synapses: Vec::new(),
        };
        Self { layer, sequence: 0, traces: Vec::new(), recording }
    }

    /// Also records synapses of the layer.
    pub fn with_synapses(mut self, synapses: Vec<Synapse>) -> Self {
        self.traces = vec![StepwiseTraces::default(); synapses.len()];
        let recording = |synapse| SynapseRecording { synapse, pre: Vec::new(), traces: Vec::new() };
        self.recording.synapses = synapses.into_iter().map(recording).collect();
        self
    }

    /// Records another sequence of the batch.
    pub fn with_sequence(self, sequence: usize) -> Self {
        Self { sequence, ..self }
    }

    /// Takes up the next chunk, and grows with it: as [`estimate_observed`](crate::estimator::Eprop::estimate_observed) and
    /// [`feed_observed`](crate::estimator::Eprop::feed_observed) show it.
    ///
    /// # Panics
    ///
    /// If network or batch have no such layer, neuron, synapse or sequence.
    #[track_caller]
    pub fn observe<C: Cell>(&mut self, network: &Network<C>, record: &ChunkRecord) {
        let (layer, cell) = (&record.layers[self.layer], &network.layers[self.layer].cell);
        let [steps, batch, neurons] = layer.outputs.dims();
        let indices: Vec<i64> = self.recording.neurons.iter().map(|&neuron| neuron as i64).collect();
        let chosen = Tensor::<1, Int>::from_data(indices.as_slice(), &layer.outputs.device());
        let told = cell.monitors(&layer.transition);
        let recording = &mut self.recording;
        if recording.quantities.is_empty() {
            let nothing = vec![Vec::new(); recording.neurons.len()];
            recording.quantities = told.iter().map(|(name, _)| (*name, nothing.clone())).collect();
        }
        let told = told.into_iter().map(|(_, values)| values.reshape([steps, batch, neurons]));
        let quantities = recording.quantities.iter_mut().map(|(_, recorded)| recorded).zip(told);
        let signal = (&mut recording.signals, layer.signal.clone());
        let of_all = [(&mut recording.outputs, layer.outputs.clone()), signal];
        for (recorded, values) in of_all.into_iter().chain(quantities) {
            let values = values.narrow(1, self.sequence, 1).select(2, chosen.clone());
            let values: Vec<f64> = values.into_data().iter::<f64>().collect();
            for (place, recorded) in recorded.iter_mut().enumerate() {
                recorded.extend(values.iter().skip(place).step_by(recording.neurons.len()));
            }
        }
        (0..self.traces.len()).for_each(|place| self.observe_synapse(place, layer));
    }

    fn observe_synapse(&mut self, place: usize, layer: &LayerRecord) {
        let recording = &mut self.recording.synapses[place];
        let Synapse { post, pre } = recording.synapse;
        let [_, batch, _] = layer.pre.dims();
        let linearization = layer.linearization.of_neuron(post, self.sequence, batch);
        let values = layer.pre.clone().narrow(1, self.sequence, 1).narrow(2, pre, 1);
        let traces = self.traces[place].advance(&linearization, values.clone());
        recording.pre.extend(values.into_data().iter::<f64>());
        recording.traces.resize(traces.len(), Vec::new());
        for (recorded, trace) in recording.traces.iter_mut().zip(traces) {
            recorded.extend(trace.into_data().iter::<f64>());
        }
    }

    /// What was recorded so far.
    pub fn recording(&self) -> &Recording {
        &self.recording
    }
}
