//! E-prop as a plasticity rule: the weight change of one pair of spikes against the delay between them.

use std::ops::Range;

use anyhow::Result;
use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};
use burn_eprop::cell::{Alif, AlifConfig};
use burn_eprop::eligibility::stepwise_traces;
use burn_eprop::estimator::Eprop;
use burn_eprop::init::Initializer;
use burn_eprop::network::Network;
use burn_eprop::signal::Symmetric;
use burn_eprop::{Batch, Loss, NetworkConfig, Objective};
use eprop_tasks::plot::{Lines, Panel, Series, figure};

use crate::book::{Book, Numbers};

/// Delays of the postsynaptic spike after the presynaptic one, from −`REACH` to `REACH`, in ms.
const REACH: i32 = 60;
/// When the presynaptic spike comes.
const PAIRING: i32 = 100;
/// What makes the neuron fire at once.
const KICK: f64 = 0.7;
/// When the neuron is depolarised again, to 0.8 θ.
const LATER: Range<usize> = 600..700;
/// The current that does it: 0.8 θ (1 − α).
const DEPOLARISATION: f64 = 0.8 * 0.6 * 0.0488;
/// Steps of a sequence.
const STEPS: usize = LATER.end;

/// Σ e around the pair and half a second later, for each delay, for a LIF and an ALIF neuron.
pub(crate) fn draw(book: &Book) -> Result<()> {
    let delays: Vec<i32> = (-REACH..=REACH).filter(|delay| *delay != 0).collect();
    let x: Vec<f64> = delays.iter().map(|&delay| f64::from(delay)).collect();
    let mut numbers = Numbers::default();
    let windows = [
        ("pair", "Learning signal around the pair", 0..LATER.start),
        ("later", "Learning signal half a second later, when the neuron is depolarised again", LATER),
    ];
    let panels = windows.map(|(window, title, steps)| {
        let changes = weight_changes(&network(), &delays, steps);
        let series = ["LIF", "ALIF"].iter().zip(&changes).map(|(name, sums)| Series::new(*name, &x, sums));
        for (name, sums) in ["lif", "alif"].iter().zip(&changes) {
            for (side, delay) in [("after", 5), ("before", -5)] {
                let place = delays.iter().position(|found| *found == delay).expect("a delay of the figure");
                numbers.add(&format!("{window}-{name}-{side}"), format!("{:.3}", sums[place]));
            }
        }
        Panel::Lines(Lines::new(title, "ΔW/(−ηL)", series.collect()))
    });
    let label = "delay from the presynaptic to the postsynaptic spike (ms)";
    let title = "One pair of spikes, and the weight change by e-prop";
    figure(book.figure("plasticity"), title, label, &panels)?;
    book.write_numbers("plasticity", &numbers)
}

// ANCHOR: plasticity
/// Σ e of the synapse from input 0 over `steps`, by neuron and delay; each delay is a sequence of one batch.
fn weight_changes(network: &Network<Alif>, delays: &[i32], steps: Range<usize>) -> Vec<Vec<f64>> {
    let inputs = delays.iter().flat_map(|&delay| pair(delay)).collect::<Vec<f64>>();
    let inputs = TensorData::new(inputs, [delays.len(), STEPS, 2]); // [batch, time, inputs]
    let inputs = Tensor::<3>::from_data(inputs, &Device::flex());
    let batch = Batch::new(inputs, Tensor::zeros([delays.len(), STEPS, 1], &Device::flex()));

    let mut changes = vec![Vec::new(); 2];
    let mut eprop = Eprop::new(Objective::sum(Loss::MeanSquaredError), Symmetric).with_chunk(STEPS);
    eprop.estimate_observed(network, &batch, &mut |chunk| {
        let layer = &chunk.layers[0];
        let pre = layer.pre.clone().narrow(2, 0, 1);
        let traces = stepwise_traces(&layer.linearization, pre).remove(0); // [time, batch, post, 1]
        for (neuron, change) in changes.iter_mut().enumerate() {
            let sums = traces.clone().narrow(2, neuron, 1).narrow(0, steps.start, steps.len()).sum_dim(0);
            change.extend(sums.into_data().iter::<f64>());
        }
    });
    changes
}
// ANCHOR_END: plasticity

/// Both inputs over time: one spike of the synapse; currents that make the neuron fire `delay` later and depolarise it at the end.
fn pair(delay: i32) -> Vec<f64> {
    let step = |step: usize| {
        let spike = f64::from(u8::from(step as i32 == PAIRING));
        let kick = if step as i32 == PAIRING + delay { KICK } else { 0.0 };
        let depolarisation = if LATER.contains(&step) { DEPOLARISATION } else { 0.0 };
        [spike, kick + depolarisation]
    };
    (0..STEPS).flat_map(step).collect()
}

/// Neuron 0 is LIF, neuron 1 ALIF; the watched synapse is too weak to make either fire.
fn network() -> Network<Alif> {
    let device = Device::flex();
    let cell = AlifConfig::mixed(2, 1, 0.1).with_refractory_steps(3).init(&device);
    let config = NetworkConfig::new(2, 1).with_recurrent_initializer(Initializer::Zero);
    let mut network = config.init(vec![cell], &device);
    let weights = Tensor::<2>::from_data([[0.01, 0.01], [1.0, 1.0]], &device); // [inputs, neurons]
    network.layers[0].w_in = Param::from_tensor(weights);
    network
}
