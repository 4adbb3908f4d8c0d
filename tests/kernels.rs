//! The kernels: the same bits with the same threads, and inputs of any kind.

use burn::tensor::{DType, Device};
use burn_eprop::estimator::{Bptt, Eprop, evaluate};
use burn_eprop::kernel::by_tensor_operations;
use burn_eprop::loss::{RateAveraging, RateRegularization};
use burn_eprop::signal::Symmetric;
use burn_eprop::{Batch, Cell, Loss, Objective};
use eprop_tests::case::{Build, Case, Problem, float64};
use eprop_tests::cpus::cpus;
use eprop_tests::findings::{Findings, assert_close, values};
use eprop_tests::for_every_cell;

/// Five sequences, which no number of threads below divides.
fn case() -> Case {
    let rate = RateRegularization { strength: 5.0, target_per_step: 0.05, averaging: RateAveraging::Batch };
    let objective = Case::new(1).objective.with_rate(rate);
    Case { batch: 5, steps: 40, neurons: vec![19, 35], unequal_lengths: true, objective, ..Case::new(1) }
}

fn with_threads<R: Send>(threads: usize, work: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool").install(work)
}

for_every_cell!(the_same_threads_give_the_same_bits);

fn the_same_threads_give_the_same_bits<C: Cell>(build: Build<C>) {
    let findings = |threads: usize| -> [Findings; 2] {
        with_threads(threads, || {
            let problem = Problem::new(&case(), build, &(&Device::flex(), DType::F32).into());
            let bptt = Bptt::new(problem.objective);
            [problem.estimate(problem.eprop(7)), problem.estimate(bptt)]
        })
    };
    for threads in [1, 2, 3, 8] {
        assert_eq!(findings(threads), findings(threads), "{threads} threads");
    }
    let [one, three] = [1, 3].map(|threads| {
        with_threads(threads, || {
            let problem = Problem::new(&case(), build, &float64(&Device::flex()));
            problem.estimate(problem.eprop(7))
        })
    });
    three.assert_agrees("another number of threads", &one, 1e-12);
}

for_every_cell!(many_parts_are_one_batch: lif, alif, lstm);

/// Long sequences of many neurons, of which few are gone through together.
fn many_parts_are_one_batch<C: Cell>(build: Build<C>) {
    for averaging in
        [RateAveraging::Batch, RateAveraging::PerTrial, RateAveraging::Running { tau_steps: 50.0 }]
    {
        let rate = RateRegularization { averaging, ..case().objective.rate.expect("regularised") };
        let objective = Objective::mean(Loss::SoftmaxCrossEntropy).with_rate(rate);
        let sizes = Case { batch: 11, steps: 520, neurons: vec![150], ..case() };
        let case = Case { objective, mask: true, ..sizes };
        let find = || {
            let problem = Problem::new(&case, build, &float64(&Device::flex()));
            let Problem { network, batch, objective } = &problem;
            let found = problem.estimate(Eprop::new(*objective, Symmetric).with_outputs(true));
            (found, values(&evaluate(network, batch, objective).outputs))
        };
        let (parts, outputs) = with_threads(2, find);
        let (whole, outputs_of_whole) = by_tensor_operations(find);
        parts.assert_agrees("parts and the whole", &whole, 1e-10);
        assert_close("outputs of parts and of the whole", &outputs, &outputs_of_whole, 1e-11);
    }
}

for_every_cell!(a_single_step_and_a_single_sequence);

/// The smallest sizes that there are.
fn a_single_step_and_a_single_sequence<C: Cell>(build: Build<C>) {
    for (batch, steps, neurons) in [(1, 1, 1), (1, 30, 1), (2, 1, 17), (1, 30, 16)] {
        let case = Case { batch, steps, neurons: vec![neurons], ..Case::new(3) };
        let problem = Problem::new(&case, build, &float64(&Device::flex()));
        let kernels = problem.estimate(problem.eprop(4));
        let operations = by_tensor_operations(|| problem.estimate(problem.eprop(4)));
        for (name, found) in &kernels.gradients {
            let pairs = found.iter().zip(&operations.gradients[name]);
            let difference = pairs.map(|(found, expected)| (found - expected).abs()).fold(0.0, f64::max);
            assert!(difference <= 1e-12, "{case:?}, {name}: {difference:e}");
        }
    }
}

/// Inputs that are views of other memory: transposed, and cut out.
#[test]
fn inputs_need_not_be_contiguous() {
    for device in cpus() {
        let problem = Problem::new(&case(), eprop_tests::cells::alif, &float64(&device));
        let expected = problem.estimate(problem.eprop(7));
        let view =
            problem.batch.inputs().clone().swap_dims(0, 2).repeat_dim(1, 2).narrow(1, 0, 40).swap_dims(2, 0);
        let batch = Batch::new(view, problem.batch.targets().clone()).with_lengths(problem.batch.lengths());
        let viewed = Problem { batch, objective: Objective { ..problem.objective }, ..problem.clone() };
        viewed.estimate(viewed.eprop(7)).assert_agrees("views", &expected, 1e-13);
    }
}

/// A NaN must not end as silence: the gradient tells.
#[test]
fn a_weight_that_is_not_finite_shows_in_the_gradient() {
    let mut problem = Problem::new(&case(), eprop_tests::cells::lif, &float64(&Device::flex()));
    let layer = &mut problem.network.layers[0];
    layer.w_in = layer.w_in.clone().map(|weights| weights.mul_scalar(f64::NAN));
    for found in [
        problem.estimate(problem.eprop(7)),
        by_tensor_operations(|| problem.estimate(problem.eprop(7))),
        problem.estimate(Bptt::new(problem.objective)),
    ] {
        assert!(found.gradients["layer 0 w_in"].iter().any(|value| value.is_nan()));
    }
}
