//! What e-prop leaves out: nothing where no neuron reaches another, and something where one does.

use burn::tensor::Device;
use burn_eprop::estimator::Eprop;
use burn_eprop::network::GradientPaths;
use burn_eprop::signal::Random;
use burn_eprop::{Cell, Objective};
use eprop_tests::case::{Build, Case, LOSSES, Problem, float64};
use eprop_tests::findings::{Gradients, assert_same_gradients, relative_difference};
use eprop_tests::for_every_cell;

/// A difference that no rounding explains.
const DISTINCT: f64 = 1e-3;

fn problems<C: Cell>(build: Build<C>) -> impl Iterator<Item = Problem<C>> {
    (0..).zip(LOSSES).map(move |(seed, loss)| {
        let objective = Objective::mean(loss);
        let refractory_steps = 2 * seed as usize;
        let case = Case { objective, refractory_steps, steps: 40, ..Case::new(seed) };
        Problem::new(&case, build, &float64(&Device::flex()))
    })
}

fn without(mut gradients: Gradients, parameter: &str) -> Gradients {
    gradients.remove(parameter).expect("a parameter's name");
    gradients
}

for_every_cell!(eprop_is_bptt_where_no_neuron_reaches_another);

/// Without recurrent weights, and with the reset's path off, dE/dz is local. The gradient of the absent
/// weights themselves is still another one.
fn eprop_is_bptt_where_no_neuron_reaches_another<C: Cell>(build: Build<C>) {
    for problem in problems(build) {
        let problem = problem.without_recurrence();
        let eprop = problem.estimate(problem.eprop(9));
        eprop.assert_active::<C>();
        let bptt = problem.estimate(problem.bptt(GradientPaths::ALL.without_reset()));
        let [eprop, bptt] = [eprop, bptt].map(|findings| without(findings.gradients, "layer 0 w_rec"));
        assert_same_gradients("e-prop and BPTT", &eprop, &bptt, 1e-11);
    }
}

for_every_cell!(eprop_is_not_bptt_where_neurons_reach_others);

fn eprop_is_not_bptt_where_neurons_reach_others<C: Cell>(build: Build<C>) {
    for problem in problems(build) {
        let eprop = problem.estimate(problem.eprop(9)).gradients;
        let bptt = problem.estimate(problem.bptt(GradientPaths::ALL.without_reset())).gradients;
        assert_hidden_differ(&eprop, &bptt);
        assert_readouts_agree(&eprop, &bptt);
    }
}

for_every_cell!(the_path_of_the_reset_counts: lif, lif_per_neuron, alif, alif_per_neuron, two_compartment);

fn the_path_of_the_reset_counts<C: Cell>(build: Build<C>) {
    for problem in problems(build) {
        let kept = problem.estimate(problem.bptt(GradientPaths::ALL)).gradients;
        let detached = problem.estimate(problem.bptt(GradientPaths::ALL.without_reset())).gradients;
        assert_hidden_differ(&kept, &detached);
        assert_readouts_agree(&kept, &detached);
    }
}

for_every_cell!(random_feedback_is_not_symmetric);

fn random_feedback_is_not_symmetric<C: Cell>(build: Build<C>) {
    for problem in problems(build) {
        let symmetric = problem.estimate(problem.eprop(9)).gradients;
        let random = problem.estimate(Eprop::new(problem.objective, Random)).gradients;
        assert_hidden_differ(&symmetric, &random);
        assert_readouts_agree(&symmetric, &random);
    }
}

fn assert_hidden_differ(one: &Gradients, other: &Gradients) {
    for (name, one) in one.iter().filter(|(name, _)| name.starts_with("layer")) {
        let difference = relative_difference(one, &other[name]);
        assert!(difference > DISTINCT, "gradients of {name} differ by {difference:e} only");
    }
}

fn assert_readouts_agree(one: &Gradients, other: &Gradients) {
    let readout = |gradients: &Gradients| {
        let mut gradients = gradients.clone();
        gradients.retain(|name, _| name.starts_with("readout"));
        assert!(!gradients.is_empty());
        gradients
    };
    assert_same_gradients("readout", &readout(one), &readout(other), 1e-11);
}
