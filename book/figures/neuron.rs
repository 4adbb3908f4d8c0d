//! One LIF and one ALIF neuron, and the shapes of the pseudo-derivative.

use anyhow::Result;
use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};
use burn_eprop::cell::AlifConfig;
use burn_eprop::estimator::Eprop;
use burn_eprop::init::Initializer;
use burn_eprop::monitor::{Monitor, Recording};
use burn_eprop::network::Network;
use burn_eprop::signal::Symmetric;
use burn_eprop::surrogate::{PseudoDerivative, SurrogateShape};
use burn_eprop::{Batch, Cell, Loss, NetworkConfig, Objective};
use eprop_tasks::plot::{Lines, Panel, Raster, Series, figure};

use crate::book::{Book, Numbers};

/// Both neurons get the same current, switched on after 50 ms and off after 550 ms.
pub(crate) fn draw(book: &Book) -> Result<()> {
    let current: Vec<f64> =
        (0..700).map(|step| if (50..550).contains(&step) { 0.045 } else { 0.0 }).collect();
    let recording = record_two(&current);
    let of = |name: &str| recording.quantity(name).expect("spiking cells tell it").to_vec();
    let (v, threshold, psi) = (of("v"), of("threshold"), of("psi"));
    let potential = |title: &str, neuron: usize| {
        let (v, threshold) =
            (Series::sampled("v", 1.0, &v[neuron]), Series::sampled("threshold Θ", 1.0, &threshold[neuron]));
        Panel::Lines(Lines::new(title, "v", vec![v, threshold]))
    };
    let spikes = steps_of(&recording.outputs);
    let psi = vec![Series::sampled("LIF", 1.0, &psi[0]), Series::sampled("ALIF", 1.0, &psi[1])];
    let panels = [
        Panel::Lines(Lines::new("Current", "I", vec![Series::sampled("I", 1.0, &current)])),
        potential("LIF", 0),
        potential("ALIF", 1),
        Panel::Raster(Raster::from_steps("Spikes: LIF (0), ALIF (1)", "neuron", 1.0, &spikes, 2)),
        Panel::Lines(Lines::new("Pseudo-derivative", "ψ", psi)),
    ];
    figure(book.figure("neuron"), "The same current into a LIF and an ALIF neuron", "time (ms)", &panels)?;

    let mut numbers = Numbers::default();
    let count =
        |neuron: usize, steps: std::ops::Range<usize>| recording.outputs[neuron][steps].iter().sum::<f64>();
    numbers.add("lif-first", count(0, 50..150));
    numbers.add("lif-last", count(0, 450..550));
    numbers.add("alif-first", count(1, 50..150));
    numbers.add("alif-last", count(1, 450..550));
    book.write_numbers("neuron", &numbers)
}

// ANCHOR: record
/// A LIF and an ALIF neuron side by side; both see `current` by a weight of 1.
fn record_two(current: &[f64]) -> Recording {
    let device = Device::flex();
    let cell = AlifConfig::mixed(2, 1, 0.15) // neuron 0 has β = 0: it is LIF
        .with_tau_adaptation_ms(200.0.into())
        .with_refractory_steps(3)
        .init(&device);
    let mut network =
        NetworkConfig::new(1, 1).with_recurrent_initializer(Initializer::Zero).init(vec![cell], &device);
    network.layers[0].w_in = Param::from_tensor(Tensor::ones([1, 2], &device)); // [inputs, neurons]
    record(&network, current, Monitor::new(0, vec![0, 1]))
}

/// What a monitor sees of a network with these inputs, [time, input].
pub(crate) fn record<C: Cell>(network: &Network<C>, inputs: &[f64], mut monitor: Monitor) -> Recording {
    let steps = inputs.len() / network.inputs();
    let inputs = TensorData::new(inputs.to_vec(), [1, steps, network.inputs()]); // [batch, time, inputs]
    let inputs = Tensor::<3>::from_data(inputs, &network.layers[0].w_in.device());
    let targets = Tensor::zeros([1, steps, network.outputs()], &inputs.device());
    let batch = Batch::new(inputs, targets);
    let mut eprop = Eprop::new(Objective::sum(Loss::MeanSquaredError), Symmetric);
    eprop.estimate_observed(network, &batch, &mut |chunk| monitor.observe(network, &chunk));
    monitor.recording().clone()
}
// ANCHOR_END: record

/// z of each neuron over time as [time, neuron].
pub(crate) fn steps_of(outputs: &[Vec<f64>]) -> Vec<f32> {
    let steps = outputs.first().map_or(0, Vec::len);
    (0..steps).flat_map(|step| outputs.iter().map(move |z| z[step] as f32)).collect()
}

/// ψ over the distance to the threshold.
pub(crate) fn draw_surrogates(book: &Book) -> Result<()> {
    let shapes = [
        ("piecewise linear", SurrogateShape::PiecewiseLinear),
        ("fast sigmoid, k = 2", SurrogateShape::FastSigmoid { slope: 2.0 }),
        ("arctan, k = 2", SurrogateShape::Arctan { slope: 2.0 }),
        ("sigmoid, k = 4", SurrogateShape::Sigmoid { slope: 4.0 }),
    ];
    let distance: Vec<f64> = (-200..=200).map(|step| f64::from(step) / 100.0).collect();
    let u = Tensor::<1>::from_data(distance.as_slice(), &Device::flex());
    let series = shapes.map(|(name, shape)| {
        let psi = PseudoDerivative { shape, ..PseudoDerivative::default() }.evaluate(u.clone(), 1.0);
        Series::new(name, &distance, &psi.into_data().iter::<f64>().collect::<Vec<_>>())
    });
    let lines = Lines::new("ψ, in units of 1/θ", "θ ψ", series.to_vec());
    let x = "u = (v − Θ)/θ: distance to the threshold";
    figure(book.figure("surrogates"), "Four pseudo-derivatives", x, &[Panel::Lines(lines)])?;
    Ok(())
}
