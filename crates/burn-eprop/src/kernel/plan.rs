//! What a kernel is told of a chunk besides its tensors.

use burn::tensor::Tensor;

use crate::cell::Linearization;
use crate::surrogate::PseudoDerivative;

/// Constants of a spiking population that its neurons share.
#[derive(Debug, Clone)]
pub struct SpikingDynamics {
    /// α.
    pub decay: f64,
    /// θ.
    pub threshold: f64,
    /// n_ref, or 0 for no refractoriness.
    pub refractory_steps: usize,
    /// ψ.
    pub pseudo_derivative: PseudoDerivative,
}

/// Which coefficients and traces there are, and what is asked for.
#[derive(Debug, Clone)]
pub struct TracePlan {
    /// κ.
    pub kappa: f64,
    /// α of the presynaptic filter, where one is folded.
    pub pre_decay: Option<f64>,
    /// d, the number of components of ε.
    pub components: usize,
    /// G.
    pub currents: usize,
    /// A\[row]\[column], row by row: index among the coefficients, `None` for 0.
    pub a: Vec<Option<usize>>,
    /// B\[component]\[current], row by row.
    pub b: Vec<Option<usize>>,
    /// C, by component.
    pub c: Vec<Option<usize>>,
    /// D, by current.
    pub d: Vec<Option<usize>>,
    /// Which ε can differ from 0, \[component]\[current], row by row.
    pub reached: Vec<bool>,
    /// Which presynaptic parts arrive one step later.
    pub delayed: Vec<bool>,
    /// Whether the traces at the chunk's end are asked for.
    pub keep: bool,
    /// Which sum of the unfiltered traces is asked for.
    pub summed: Summed,
    /// Whether few coefficients are 0. Then sums over the chunk are matrix products.
    pub dense: bool,
}

impl TracePlan {
    /// The places of a current's ε among those that are reached, by component.
    pub(crate) fn places(&self, current: usize) -> Vec<Option<usize>> {
        let mut places = vec![None; self.components];
        let reached = self.reached.iter().enumerate().filter(|(_, reached)| **reached);
        for (place, (entry, _)) in reached.enumerate() {
            if entry % self.currents == current {
                places[entry / self.currents] = Some(place);
            }
        }
        places
    }

    /// How many recursions there are.
    pub(crate) fn passes(&self) -> usize {
        let carried = if self.keep { usize::from(self.kappa != 0.0) + self.components } else { 0 };
        1 + usize::from(self.summed != Summed::Off) + carried
    }
}

/// Sums of the unfiltered traces Σ_t e.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Summed {
    /// None.
    Off,
    /// Over the batch.
    OverBatch,
    /// For each trial.
    PerTrial,
}

/// What a recursion starts from, and what drives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Seed {
    /// L: Σ_t L ē.
    Signal,
    /// The weight of every step, not filtered by κ: Σ_t e.
    Unfiltered,
    /// ē at the chunk's end.
    Filtered,
    /// A component of ε at the chunk's end.
    Vector(usize),
}

/// Where a linearisation's coefficients are in a list, and the list. No filter, sums or traces are asked for yet.
pub(crate) fn plan(linearization: &Linearization) -> (TracePlan, Vec<Tensor<2>>) {
    let mut coefficients = Vec::new();
    let mut list = |coefficient: &Option<Tensor<2>>| {
        coefficients.push(coefficient.clone()?);
        Some(coefficients.len() - 1)
    };
    let [a, b] = [&linearization.a, &linearization.b]
        .map(|matrix| matrix.iter().flatten().map(&mut list).collect::<Vec<_>>());
    let [c, d] =
        [&linearization.c, &linearization.d].map(|vector| vector.iter().map(&mut list).collect::<Vec<_>>());
    let (components, currents) = (linearization.components(), linearization.currents());
    let entries = (0..components).flat_map(|hidden| (0..currents).map(move |current| (hidden, current)));
    let plan = TracePlan {
        kappa: 0.0,
        pre_decay: linearization.pre_decay(),
        components,
        currents,
        a,
        b,
        c,
        d,
        reached: entries.map(|(hidden, current)| linearization.reaches(hidden, current)).collect(),
        delayed: Vec::new(),
        keep: false,
        summed: Summed::Off,
        // Gates are hardly ever closed; pseudo-derivatives are 0 away from the threshold.
        dense: currents > 1,
    };
    (plan, coefficients)
}
