//! What a monitor has recorded.

use std::path::Path;

use burn_eprop::monitor::{Recording, SynapseRecording};

use super::figure::{Panel, figure};
use super::{Lines, PlotError, Raster, Series};

/// Names that spiking cells give to their potential and to what it has to cross.
const POTENTIAL: [&str; 2] = ["v", "threshold"];

/// Writes a figure of a [monitor](burn_eprop::monitor::Monitor)'s neurons and synapses over time, in steps of `dt_ms`: spikes, potential
/// and threshold of each neuron, learning signals, eligibility traces.
///
/// # Errors
///
/// If the file cannot be written.
pub fn recording(
    path: impl AsRef<Path>,
    title: &str,
    dt_ms: f64,
    recording: &Recording,
) -> Result<(), PlotError> {
    let mut panels = vec![outputs(recording, dt_ms)];
    panels.extend((0..recording.neurons.len()).filter_map(|place| potential(recording, place, dt_ms)));
    panels.push(of_neurons("Learning signals", "L", recording, &recording.signals, dt_ms));
    let traces: Vec<Series> = recording.synapses.iter().flat_map(|synapse| traces(synapse, dt_ms)).collect();
    if !traces.is_empty() {
        panels.push(Panel::Lines(Lines::new("Eligibility traces", "e", traces)));
    }
    figure(path, title, "time (ms)", &panels)
}

/// Spikes as a raster, whose rows are the neurons in the monitor's order.
fn outputs(recording: &Recording, dt_ms: f64) -> Panel {
    let count = recording.outputs.len();
    let spiking = recording.outputs.iter().flatten().all(|&z| z == 0.0 || z == 1.0);
    if !spiking || count == 0 {
        return of_neurons("Outputs", "z", recording, &recording.outputs, dt_ms);
    }
    let steps = recording.outputs[0].len();
    let by_step: Vec<f32> =
        (0..steps).flat_map(|step| recording.outputs.iter().map(move |z| z[step] as f32)).collect();
    Panel::Raster(Raster::from_steps("Spikes", "neuron", dt_ms, &by_step, count as u32))
}

fn potential(recording: &Recording, place: usize, dt_ms: f64) -> Option<Panel> {
    let series = POTENTIAL.iter().filter_map(|name| {
        let values = &recording.quantity(name)?[place];
        Some(Series::sampled(*name, dt_ms, values))
    });
    let series: Vec<Series> = series.collect();
    let title = format!("Neuron {}", recording.neurons[place]);
    (!series.is_empty()).then(|| Panel::Lines(Lines::new(title, "v", series)))
}

fn of_neurons(title: &str, label: &str, recording: &Recording, values: &[Vec<f64>], dt_ms: f64) -> Panel {
    let series = recording.neurons.iter().zip(values);
    let series = series.map(|(neuron, values)| Series::sampled(format!("neuron {neuron}"), dt_ms, values));
    Panel::Lines(Lines::new(title, label, series.collect()))
}

fn traces(recording: &SynapseRecording, dt_ms: f64) -> impl Iterator<Item = Series> {
    let (post, pre) = (recording.synapse.post, recording.synapse.pre);
    let several = recording.traces.len() > 1;
    recording.traces.iter().enumerate().map(move |(current, trace)| {
        let current = if several { format!(", current {current}") } else { String::new() };
        Series::sampled(format!("{pre} to {post}{current}"), dt_ms, trace)
    })
}
