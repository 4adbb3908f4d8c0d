//! Monitors: what they record is what the network did, in whatever chunks and pieces.

use burn::tensor::Device;
use burn_eprop::eligibility::stepwise_traces;
use burn_eprop::estimator::Eprop;
use burn_eprop::monitor::{Monitor, Recording, Synapse};
use burn_eprop::signal::Symmetric;
use burn_eprop::{Cell, OnlineEstimator};
use eprop_tasks::plot;
use eprop_tests::case::{Build, Case, Problem, float64};
use eprop_tests::findings::{assert_close, values};
use eprop_tests::for_every_cell;

const LAYER: usize = 1;
const SEQUENCE: usize = 2;
const NEURONS: [usize; 2] = [4, 1];
/// From the layer below, from a neuron of the same layer, and of the bias.
const SYNAPSES: [Synapse; 3] =
    [Synapse { post: 4, pre: 2 }, Synapse { post: 4, pre: 7 }, Synapse { post: 1, pre: 11 }];

fn problem<C: Cell>(build: Build<C>) -> Problem<C> {
    let case = Case { neurons: vec![6, 5], refractory_steps: 2, ..Case::new(51) };
    Problem::new(&case, build, &float64(&Device::flex()))
}

fn monitor(synapses: usize) -> Monitor {
    let monitor = Monitor::new(LAYER, NEURONS.to_vec()).with_sequence(SEQUENCE);
    monitor.with_synapses(SYNAPSES[..synapses].to_vec())
}

fn record<C: Cell>(problem: &Problem<C>, chunk: usize, synapses: usize) -> Recording {
    let mut monitor = monitor(synapses);
    let mut eprop = Eprop::new(problem.objective, Symmetric).with_chunk(chunk);
    let observe = &mut |record| monitor.observe(&problem.network, &record);
    eprop.estimate_observed(&problem.network, &problem.batch, observe);
    monitor.recording().clone()
}

fn flat(recording: &Recording) -> Vec<f64> {
    let quantities = recording.quantities.iter().flat_map(|(_, values)| values);
    let neurons = recording.outputs.iter().chain(&recording.signals).chain(quantities).flatten();
    let synapses = recording.synapses.iter();
    let synapses = synapses.flat_map(|synapse| synapse.pre.iter().chain(synapse.traces.iter().flatten()));
    neurons.chain(synapses).copied().collect()
}

for_every_cell!(chunks_and_pieces_change_nothing: lif, lif_per_neuron, alif, alif_per_neuron, lstm);

fn chunks_and_pieces_change_nothing<C: Cell>(build: Build<C>) {
    let problem = problem(build);
    // An LSTM has its bias in its own currents.
    let synapses = if problem.network.layers[LAYER].bias.is_some() { 3 } else { 2 };
    let whole = record(&problem, 100, synapses);
    assert!(whole.outputs.iter().chain(&whole.signals).flatten().any(|&value| value != 0.0));
    for synapse in &whole.synapses {
        assert!(synapse.traces.iter().flatten().any(|&trace| trace != 0.0), "{synapse:?}");
    }
    for chunk in [1, 7] {
        assert_close("chunks", &flat(&record(&problem, chunk, synapses)), &flat(&whole), 1e-12);
    }

    let mut fed = monitor(synapses);
    let mut eprop = Eprop::new(problem.objective, Symmetric).with_chunk(5);
    let mut state = eprop.start(&problem.network, problem.batch.size());
    for piece in [0..10, 10..11, 11..problem.batch.steps()] {
        let observe = &mut |record| fed.observe(&problem.network, &record);
        eprop.feed_observed(&problem.network, &mut state, &problem.batch.piece(piece), observe);
    }
    assert_close("pieces", &flat(fed.recording()), &flat(&whole), 1e-12);
}

for_every_cell!(records_are_those_of_the_layer: lif, alif, alif_per_neuron, lstm);

fn records_are_those_of_the_layer<C: Cell>(build: Build<C>) {
    let problem = problem(build);
    let recording = record(&problem, 100, 2);
    let mut eprop = Eprop::new(problem.objective, Symmetric).with_chunk(100);
    eprop.estimate_observed(&problem.network, &problem.batch, &mut |record| {
        let layer = &record.layers[LAYER];
        let [steps, batch, neurons] = layer.outputs.dims();
        let (outputs, signals) = (values(&layer.outputs), values(&layer.signal));
        for (place, neuron) in NEURONS.into_iter().enumerate() {
            let at = |all: &[f64], step: usize| all[(step * batch + SEQUENCE) * neurons + neuron];
            for step in 0..steps {
                assert_eq!(recording.outputs[place][step], at(&outputs, step));
                assert_eq!(recording.signals[place][step], at(&signals, step));
            }
        }
        let all = stepwise_traces(&layer.linearization, layer.pre.clone());
        for (recorded, Synapse { post, pre }) in recording.synapses.iter().zip(SYNAPSES) {
            for (trace, all) in recorded.traces.iter().zip(&all) {
                let expected = all.clone().narrow(1, SEQUENCE, 1).narrow(2, post, 1).narrow(3, pre, 1);
                assert_close("trace", trace, &values(&expected), 1e-12);
            }
        }
    });
}

#[test]
fn a_recording_is_drawn() {
    let problem = problem(eprop_tests::cells::alif);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recording.svg");
    plot::recording(&path, "a monitor", 1.0, &record(&problem, 100, 2)).unwrap();
    let svg = std::fs::read_to_string(&path).unwrap();
    for title in ["Spikes", "Neuron 4", "Neuron 1", "threshold", "Learning signals", "Eligibility traces"] {
        assert!(svg.contains(title), "{title}");
    }
}
