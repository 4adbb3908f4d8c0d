//! One synapse: its eligibility vector and trace over time.

use anyhow::Result;
use burn::module::Param;
use burn::tensor::{Device, Tensor};
use burn_eprop::NetworkConfig;
use burn_eprop::cell::{Alif, AlifConfig};
use burn_eprop::init::Initializer;
use burn_eprop::monitor::{Monitor, Synapse};
use burn_eprop::network::Network;
use eprop_tasks::plot::{Lines, Panel, Raster, Series, figure};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::book::{Book, Numbers};
use crate::neuron::{record, steps_of};

/// Steps of the figure, in ms.
const STEPS: usize = 2000;
/// The presynaptic neuron fires until then.
const BURST: usize = 150;

/// A burst of presynaptic spikes, and what LIF and ALIF neurons remember of it.
pub(crate) fn draw(book: &Book) -> Result<()> {
    let network = network();
    let recording = record(&network, &inputs(), monitor());
    let pre = &recording.synapses[0].pre;
    let traces: Vec<_> = recording.synapses.iter().map(|synapse| synapse.traces[0].clone()).collect();
    let psi = recording.quantity("psi").expect("spiking cells tell it");
    let cell = &network.layers[0].cell;
    let [alpha, rho] =
        [&cell.decay, &cell.adaptation_decay].map(|decay| decay.shared().expect("one for all"));
    let of_potential = low_pass(pre, alpha);
    let of_adaptation = low_pass(&traces[1], rho); // ε_a^{t+1} = ρ ε_a^t + e^t
    let raster =
        |title: &str, spikes: &[f32], count| Panel::Raster(Raster::from_steps(title, "", 1.0, spikes, count));
    let line = |title: &str, label: &str, values: &[f64]| {
        Panel::Lines(Lines::new(title, label, vec![Series::sampled(label, 1.0, values)]))
    };
    let both = |title: &str, label: &str, values: &[Vec<f64>]| {
        let series = ["LIF", "ALIF"].iter().zip(values);
        let series = series.map(|(name, values)| Series::sampled(*name, 1.0, values));
        Panel::Lines(Lines::new(title, label, series.collect()))
    };
    let panels = [
        raster("Presynaptic spikes", &steps_of(std::slice::from_ref(pre)), 1),
        raster("Postsynaptic spikes: LIF (0), ALIF (1)", &steps_of(&recording.outputs), 2),
        both("Pseudo-derivative", "ψ", psi),
        line("Eligibility vector: of the potential, the same for both", "ε_v", &of_potential),
        line("Eligibility vector: of the adaptation, ALIF", "ε_a", &of_adaptation),
        both("Eligibility trace", "e", &traces),
    ];
    figure(book.figure("synapse"), "What a synapse remembers of 150 ms", "time (ms)", &panels)?;

    let late = |values: &[f64]| {
        let largest = |values: &[f64]| values.iter().map(|value| value.abs()).fold(0.0, f64::max);
        format!("{:.3}", largest(&values[STEPS / 2..]) / largest(values))
    };
    let mut numbers = Numbers::default();
    numbers.add("potential-late", late(&of_potential));
    numbers.add("adaptation-late", late(&of_adaptation));
    numbers.add("lif-late", late(&traces[0]));
    numbers.add("alif-late", late(&traces[1]));
    book.write_numbers("synapse", &numbers)
}

// ANCHOR: synapse
/// Neuron 0 is LIF and neuron 1 ALIF; input 0 is the synapse that is watched, input 1 keeps both neurons busy.
fn network() -> Network<Alif> {
    let device = Device::flex();
    let cell = AlifConfig::mixed(2, 1, 0.0174).with_refractory_steps(3).init(&device);
    let mut network =
        NetworkConfig::new(2, 1).with_recurrent_initializer(Initializer::Zero).init(vec![cell], &device);
    let weights = Tensor::<2>::from_data([[0.1, 0.1], [0.25, 0.25]], &device); // [inputs, neurons]
    network.layers[0].w_in = Param::from_tensor(weights);
    network
}

fn monitor() -> Monitor {
    Monitor::new(0, vec![0, 1]).with_synapses(vec![Synapse { post: 0, pre: 0 }, Synapse { post: 1, pre: 0 }])
}
// ANCHOR_END: synapse

/// Spikes of both inputs, [time, input]: 60 Hz in the burst, and 50 Hz all the time.
fn inputs() -> Vec<f64> {
    let mut rng = StdRng::seed_from_u64(1);
    let mut fires = |per_step: f64| f64::from(u8::from(rng.random_bool(per_step)));
    (0..STEPS).flat_map(|step| [if step < BURST { fires(0.06) } else { 0.0 }, fires(0.05)]).collect()
}

fn low_pass(values: &[f64], decay: f64) -> Vec<f64> {
    let filter = |sum: &mut f64, value: &f64| {
        *sum = decay * *sum + value;
        Some(*sum)
    };
    values.iter().scan(0.0, filter).collect()
}
