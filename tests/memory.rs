//! Memory against the length of a sequence: that of e-prop, e-prop 3 and truncated BPTT does not grow, BPTT's does.
//!
//! The allocator is the process's, so this file holds one test.

use burn::module::Module;
use burn::optim::AdamConfig;
use burn::tensor::{DType, Device, Tensor};
use burn_eprop::cell::Alif;
use burn_eprop::estimator::{BoundaryLearning, Bptt, Eprop, Eprop3, TruncatedBptt, mean_firing_rate};
use burn_eprop::meta::{MetaLearner, OneShot};
use burn_eprop::signal::Symmetric;
use burn_eprop::synthetic_gradient::SyntheticGradientConfig;
use burn_eprop::{GradientEstimator, OptimizerHook};
use eprop_tests::case::{Case, Problem};
use eprop_tests::cells::{alif, lif};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const SHORT: usize = 500;
const LONG: usize = 4000;

#[test]
fn eprop_takes_the_same_memory_whatever_the_length() {
    // With several threads it is chance which of them need memory at the same time.
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global().expect("nobody has used the pool yet");
    for masked in [false, true] {
        let [short, long] = [SHORT, LONG].map(|steps| problem(steps, masked));
        let growth = |peak: &dyn Fn(&Problem<Alif>) -> usize| {
            peak(&short); // whatever is set up once
            let [short, long] = [peak(&short), peak(&long)];
            println!("{short} bytes for {SHORT} steps, {long} for {LONG}");
            assert!(short > 1000, "{short} bytes cannot be all that an estimate takes");
            long as f64 / short as f64
        };
        let eprop = growth(&|problem| peak(problem, Eprop::new(problem.objective, Symmetric).with_chunk(25)));
        let truncated = growth(&|problem| peak(problem, TruncatedBptt::new(problem.objective, 25)));
        // BP(λ) remembers 64 windows: more than that go by.
        let learning = BoundaryLearning { lambda: 1.0, discount: 1.0 };
        let windows =
            |problem: &Problem<Alif>| Eprop3::new(problem.objective, 5).with_boundary_learning(learning);
        let eprop3 = growth(&|problem| peak(problem, windows(problem)));
        let bptt = growth(&|problem| peak(problem, Bptt::new(problem.objective)));
        assert!(eprop < 1.05, "e-prop's memory grows {eprop:.3} times, masked: {masked}");
        assert!(truncated < 1.05, "truncated BPTT's memory grows {truncated:.3} times, masked: {masked}");
        assert!(eprop3 < 1.05, "e-prop 3's memory grows {eprop3:.3} times, masked: {masked}");
        assert!(bptt > 4.0, "BPTT's memory grows {bptt:.3} times, so this measures something else");
    }
    one_shot_learning_holds_no_trace_of_a_step();
    updates_leave_nothing_behind();
}

/// What lives after many updates of a stream's weights is what lived after a few.
fn updates_leave_nothing_behind() {
    let Problem { mut network, batch, objective } = problem(20, false);
    let eprop = Eprop::new(objective, Symmetric);
    let mut hook = OptimizerHook::new(AdamConfig::new().init(), eprop).into_stream(&network, batch.size());
    let mut live_after = |updates: usize| {
        for _ in 0..updates {
            let (updated, report) = hook.feed(1e-4, network.clone(), &batch);
            network = updated;
            let _ = report.ensure_finite().expect("a finite step");
        }
        ALLOCATOR.current_usage()
    };
    let (few, many) = (live_after(20), live_after(500));
    println!("{few} bytes after 20 updates, {many} after 500 more");
    // Tables of those who live grow by their own rules, by less than the 32 bytes an update that anything left behind would take.
    assert!(many < few + 32 * 500, "{few} bytes after 20 updates, {many} after 500 more");
}

/// What an outer loop's estimate takes is proportional to steps · neurons and to synapses, not to steps · synapses.
fn one_shot_learning_holds_no_trace_of_a_step() {
    let (steps, batch, neurons, inputs) = (200, 4, 64, 10);
    let case = Case { batch, steps, inputs, neurons: vec![neurons], outputs: 2, bias: false, ..Case::new(0) };
    let options = (&Device::flex(), DType::F32).into();
    let learner = Problem::new(&case, lif, &options);
    let of_module =
        Case { inputs: 2 + neurons + inputs, neurons: vec![32], outputs: neurons, ..case.clone() };
    let meta =
        MetaLearner::new(learner.network, Problem::new(&of_module, lif, &options).network, 1e-2).train();
    let training = learner.batch.with_teaching(Tensor::ones([batch, steps, 2], options));
    let inputs_of_test = training.inputs().clone();
    let rule = OneShot::new(case.objective);
    let peak = || {
        let before = ALLOCATOR.current_usage();
        ALLOCATOR.reset_peak_usage();
        let loss = |outputs: Tensor<3>| (outputs.clone() * outputs).mean();
        let estimate = rule.estimate(&meta, &training, inputs_of_test.clone(), loss);
        assert!(mean_firing_rate(&estimate.firing_rates) > 0.02, "a silent network");
        ALLOCATOR.peak_usage() - before
    };
    peak(); // whatever is set up once
    let bytes = peak();
    let traces = 4 * steps * batch * neurons * (neurons + inputs);
    println!("{bytes} bytes, where traces of every step are {traces}");
    assert!(3 * bytes < traces, "{bytes} bytes, where traces of every step are {traces}");
}

/// With or without a mask and unequal lengths, which belong to the batch as its inputs do.
fn problem(steps: usize, masked: bool) -> Problem<Alif> {
    let sizes = Case { batch: 4, steps, inputs: 10, neurons: vec![20], outputs: 2, ..Case::new(0) };
    let case = Case { mask: masked, unequal_lengths: masked, ..sizes };
    let problem = Problem::new(&case, alif, &(&Device::flex(), DType::F32).into());
    // As an optimizer updates it: e-prop itself has to leave the graph alone.
    let network = problem.network.with_synthetic_gradient(&SyntheticGradientConfig::new());
    Problem { network: network.train(), ..problem }
}

/// Most bytes that live at once during an estimate, besides those that lived before.
fn peak(problem: &Problem<Alif>, mut estimator: impl GradientEstimator<Alif>) -> usize {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let estimate = estimator.estimate(&problem.network, &problem.batch);
    let peak = ALLOCATOR.peak_usage() - before;
    assert!(mean_firing_rate(&estimate.firing_rates) > 0.02, "a silent network");
    peak
}
