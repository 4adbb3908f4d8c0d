//! Firing-rate regularisation by running means, by its definition and in streams that do not end.

use burn::tensor::Device;
use burn_eprop::eligibility::stepwise_traces;
use burn_eprop::estimator::{ChunkRecord, Eprop};
use burn_eprop::loss::{RateAveraging, RateRegularization};
use burn_eprop::signal::Symmetric;
use burn_eprop::{Cell, Loss, Objective, OnlineEstimator};
use eprop_tests::case::{Build, Case, Problem, float64};
use eprop_tests::findings::{Findings, assert_close, values};
use eprop_tests::{cells, for_every_cell};

const TAU_STEPS: f64 = 6.0;
const RATE: RateRegularization = RateRegularization {
    strength: 40.0,
    target_per_step: 0.05,
    averaging: RateAveraging::Running { tau_steps: TAU_STEPS },
};

for_every_cell!(pulls_are_those_of_the_definition);

/// The regulariser adds Σ_t c (f̄^t − f*) e^t / (τ B), with f̄ and e stepped through time by hand.
fn pulls_are_those_of_the_definition<C: Cell>(build: Build<C>) {
    let case = Case { unequal_lengths: true, mask: true, batch: 4, ..Case::new(21) };
    let problem = Problem::new(&case, build, &float64(&Device::flex()));
    let objective = problem.objective;
    let mut records = Vec::new();
    let mut without = Eprop::new(objective, Symmetric).with_chunk(case.steps);
    let estimate =
        without.estimate_observed(&problem.network, &problem.batch, &mut |record| records.push(record));
    let without = Findings::new(&problem.network, &estimate);
    let with = problem.estimate(Eprop::new(objective.with_rate(RATE), Symmetric).with_chunk(5));

    let ChunkRecord { layers, .. } = records.remove(0);
    let layer = &layers[0];
    let [steps, batch, neurons] = layer.outputs.dims();
    let z = values(&layer.outputs);
    let decay = (-1.0 / TAU_STEPS).exp();
    let lengths = problem.batch.lengths();
    let trials = lengths.iter().filter(|&&length| length > 0).count() as f64;
    let mut mean = vec![RATE.target_per_step; batch * neurons];
    let mut pulls = Vec::with_capacity(z.len());
    for (step, of_step) in z.chunks(batch * neurons).enumerate() {
        for (place, (mean, z)) in mean.iter_mut().zip(of_step).enumerate() {
            let valid = step < lengths[place / neurons];
            if valid {
                *mean = decay * *mean + (1.0 - decay) * z;
            }
            let pull = RATE.strength * (*mean - RATE.target_per_step) / (TAU_STEPS * trials);
            pulls.push(if valid { pull } else { 0.0 });
        }
    }
    let squares = mean.iter().map(|mean| (mean - RATE.target_per_step).powi(2));
    assert_close("loss", &[with.rate_loss], &[0.5 * RATE.strength * squares.sum::<f64>() / trials], 1e-9);
    let (inputs, all) = (case.inputs, case.inputs + neurons);
    let mut expected = vec![0.0; all * C::CURRENTS * neurons];
    for (current, traces) in stepwise_traces(&layer.linearization, layer.pre.clone()).into_iter().enumerate()
    {
        let pre = traces.dims()[3];
        for (index, e) in values(&traces).into_iter().enumerate() {
            // [steps, batch, post, pre]
            let (row, input) = (index / pre, index % pre);
            let autapse = !C::AUTAPSES && input == inputs + row % neurons;
            if input < all && !autapse {
                let place = (input * C::CURRENTS + current) * neurons + row % neurons;
                expected[place] += pulls[row] * e;
            }
        }
    }
    assert_eq!(pulls.len(), steps * batch * neurons);
    let part = |name: &str| -> Vec<f64> {
        let pairs = with.gradients[name].iter().zip(&without.gradients[name]);
        pairs.map(|(with, without)| with - without).collect()
    };
    let found = [part("layer 0 w_in"), part("layer 0 w_rec")].concat();
    assert!(expected.iter().any(|value| value.abs() > 1e-3), "it must pull");
    assert_close("the regulariser's part", &found, &expected, 1e-9);
}

/// The pull of a stream is as strong after many pieces as after the first. The rates of a whole sequence fade as it grows.
#[test]
fn an_endless_stream_is_held_as_well_as_it_was_at_first() {
    let pull = |averaging: RateAveraging| -> Vec<f64> {
        let rate = RateRegularization { averaging, ..RATE };
        let case = Case { objective: Objective::sum(Loss::MeanSquaredError), steps: 20, ..Case::new(22) };
        let problem = Problem::new(&case, cells::alif, &float64(&Device::flex()));
        let stream = |objective: Objective| -> Vec<Vec<f64>> {
            let mut eprop = Eprop::new(objective, Symmetric);
            let mut state = eprop.start(&problem.network, case.batch);
            let mut piece = || {
                let estimate = eprop.feed(&problem.network, &mut state, &problem.batch);
                Findings::new(&problem.network, &estimate).gradients["layer 0 w_in"].clone()
            };
            (0..40).map(|_| piece()).collect()
        };
        let (with, without) = (stream(problem.objective.with_rate(rate)), stream(problem.objective));
        let norm = |(with, without): (&Vec<f64>, &Vec<f64>)| {
            with.iter().zip(without).map(|(with, without)| (with - without).powi(2)).sum::<f64>().sqrt()
        };
        with.iter().zip(&without).map(norm).collect()
    };
    let running = pull(RATE.averaging);
    assert!(running[39] > 0.5 * running[1] && running[1] > 0.0, "{running:?}");
    let whole = pull(RateAveraging::Batch);
    assert!(whole[39] < 0.2 * whole[0], "{whole:?}");
}

#[test]
#[should_panic(expected = "rate.averaging.tau_steps")]
fn a_time_constant_out_of_range_is_refused() {
    let rate = RateRegularization { averaging: RateAveraging::Running { tau_steps: 0.0 }, ..RATE };
    let _ = Eprop::new(Objective::sum(Loss::MeanSquaredError).with_rate(rate), Symmetric);
}
