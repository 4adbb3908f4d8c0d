//! The backward recursion in neuron space.

use burn::tensor::Tensor;

use crate::cell::Linearization;
use crate::kernel::{self, List, RecursionChunk, TracePlan};
use crate::steps::split_steps;

/// What the recursion starts from, and what drives it.
pub(super) enum Seed {
    /// L, [steps, batch, post]: Σ_t L ē.
    Signal(Tensor<3>),
    /// The weight of every step ([steps, batch, 1 or post]; `None` for 1), not filtered by κ: Σ_t e.
    Unfiltered(Option<Tensor<3>>),
    /// ē at the chunk's end.
    Filtered,
    /// A component of ε at the chunk's end.
    Vector(usize),
}

/// The result of a recursion: the coefficients of everything that its seed asked for.
pub(super) struct Pass {
    /// w, the coefficients of pre at each step, [steps · batch, currents · post].
    pub(super) weights: Tensor<2>,
    /// The coefficients of ε at the chunk's start, by component, each [batch, post].
    pub(super) lambda: Vec<Option<Tensor<2>>>,
    /// The coefficient of ē at the chunk's start, [batch, post].
    pub(super) m: Option<Tensor<2>>,
    post: usize,
}

impl Pass {
    pub(super) fn currents(&self) -> usize {
        self.weights.dims()[1] / self.post
    }

    pub(super) fn post(&self) -> usize {
        self.post
    }

    /// w of a current, [steps · batch, post].
    pub(super) fn weights_of(&self, current: usize) -> Tensor<2> {
        self.weights.clone().narrow(1, current * self.post, self.post)
    }
}

/// A chunk's coefficients, made ready once for all recursions through it.
pub(super) struct Adjoint<'a> {
    linearization: &'a Linearization,
    coefficients: Coefficients,
    kappa: f64,
    batch: usize,
    zeros: Tensor<2>,
}

/// The coefficients as what runs the recursions takes them.
enum Coefficients {
    /// Step by step, for tensor operations.
    Steps(Vec<Linearization>),
    /// For a kernel.
    Listed(TracePlan, Vec<Tensor<2>>),
}

impl<'a> Adjoint<'a> {
    pub(super) fn new(linearization: &'a Linearization, kappa: f64, [steps, batch]: [usize; 2]) -> Self {
        let some = linearization.some();
        let coefficients = if kernel::is_on_cube(some) {
            let (plan, coefficients) = kernel::plan(linearization);
            Coefficients::Listed(TracePlan { kappa, ..plan }, coefficients)
        } else {
            Coefficients::Steps((0..steps).map(|step| linearization.rows(step * batch, batch)).collect())
        };
        Self { linearization, coefficients, kappa, batch, zeros: some.zeros_like() }
    }

    pub(super) fn linearization(&self) -> &'a Linearization {
        self.linearization
    }

    /// Runs the recursion from the chunk's last step to its first.
    pub(super) fn run(&self, seed: Seed) -> Pass {
        match &self.coefficients {
            Coefficients::Steps(steps) => run_by_steps(steps, self.kappa, seed),
            Coefficients::Listed(plan, coefficients) => self.run_by_kernel(plan, coefficients, seed),
        }
    }

    fn run_by_kernel(&self, plan: &TracePlan, coefficients: &[Tensor<2>], seed: Seed) -> Pass {
        let [rows, post] = self.zeros.dims();
        let steps = rows / self.batch;
        let (seed, drive) = match seed {
            Seed::Signal(signal) => (kernel::Seed::Signal, Some(signal)),
            Seed::Unfiltered(weights) => {
                let ones = self.zeros.ones_like().reshape([steps, self.batch, post]);
                let of_each = match weights {
                    Some(weights) => ones * weights,
                    None => ones,
                };
                (kernel::Seed::Unfiltered, Some(of_each))
            }
            Seed::Filtered => (kernel::Seed::Filtered, None),
            Seed::Vector(component) => (kernel::Seed::Vector(component), None),
        };
        let carries_filtered =
            matches!(seed, kernel::Seed::Signal | kernel::Seed::Filtered) && self.kappa != 0.0;
        let chunk =
            RecursionChunk { coefficients: List::lower(coefficients.to_vec()), drive: List::lower(drive) };
        let run = kernel::run_recursion(chunk, plan.clone(), seed, self.batch);
        let lambda = Tensor::<3>::from_dispatch(run.lambda);
        let component = |index| Some(lambda.clone().narrow(0, index, 1).squeeze_dim(0));
        Pass {
            weights: Tensor::from_dispatch(run.weights),
            lambda: (0..plan.components).map(component).collect(),
            m: carries_filtered.then(|| Tensor::from_dispatch(run.filtered)),
            post,
        }
    }
}

/// The recursion by tensor operations, in the autodiff graph of the coefficients of each step.
pub(super) fn run_by_steps(steps: &[Linearization], kappa: f64, seed: Seed) -> Pass {
    let some = steps[0].some();
    let zeros = || some.zeros_like();
    let unit = || Some(some.ones_like());
    let mut lambda = vec![None; steps[0].components()];
    let mut filtered = None; // κ m^{t+1}
    match seed {
        Seed::Filtered => filtered = unit(),
        Seed::Vector(component) => lambda[component] = unit(),
        Seed::Signal(_) | Seed::Unfiltered(_) => {}
    }
    let mut weights = vec![Vec::with_capacity(steps.len()); steps[0].currents()];
    let drive = match &seed {
        Seed::Signal(drive) | Seed::Unfiltered(Some(drive)) => split_steps(drive.clone()),
        Seed::Unfiltered(None) | Seed::Filtered | Seed::Vector(_) => Vec::new(),
    };
    // ANCHOR: recursion
    for (index, step) in steps.iter().enumerate().rev() {
        let (signal, unfiltered) = match &seed {
            Seed::Signal(_) => (Some(drive[index].clone()), None),
            Seed::Unfiltered(None) => (None, unit()),
            Seed::Unfiltered(Some(_)) => (None, Some(drive[index].clone())),
            Seed::Filtered | Seed::Vector(_) => (None, None),
        };
        let m = add(signal, filtered.take());
        let mu = add(m.clone(), unfiltered);
        for (current, weights) in weights.iter_mut().enumerate() {
            let through_output = multiply(&step.d[current], &mu);
            let through_hidden = step.b.iter().zip(&lambda).map(|(b, lambda)| multiply(&b[current], lambda));
            weights.push(through_hidden.fold(through_output, add).unwrap_or_else(zeros));
        }
        lambda = (0..lambda.len())
            .map(|column| {
                let through_output = multiply(&step.c[column], &mu);
                let through_hidden =
                    step.a.iter().zip(&lambda).map(|(a, lambda)| multiply(&a[column], lambda));
                through_hidden.fold(through_output, add)
            })
            .collect();
        filtered = m.filter(|_| kappa != 0.0).map(|m| m.mul_scalar(kappa));
    }
    // ANCHOR_END: recursion
    // From the first step to the last.
    let rows = |mut steps: Vec<Tensor<2>>| {
        steps.reverse();
        Tensor::cat(steps, 0)
    };
    let mut weights: Vec<_> = weights.into_iter().map(rows).collect();
    let weights = if weights.len() == 1 { weights.remove(0) } else { Tensor::cat(weights, 1) };
    Pass { weights, lambda, m: filtered, post: some.dims()[1] }
}

fn add(left: Option<Tensor<2>>, right: Option<Tensor<2>>) -> Option<Tensor<2>> {
    match (left, right) {
        (Some(left), Some(right)) => Some(left + right),
        (left, right) => left.or(right),
    }
}

fn multiply(left: &Option<Tensor<2>>, right: &Option<Tensor<2>>) -> Option<Tensor<2>> {
    Some(left.clone()? * right.clone()?)
}
