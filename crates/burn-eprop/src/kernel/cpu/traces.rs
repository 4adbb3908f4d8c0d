//! The fused advance of eligibility traces by a chunk.
//!
//! It is the recursion that the [eligibility engine](crate::eligibility) describes, for one batch element at a
//! time: first the coefficients w of all sums over the chunk, in neuron space, then the sums Σ_t w^t pre^t, for
//! which the steps with w = 0 are left out. Those are most of them where a pseudo-derivative is 0 away from the
//! threshold.

use std::ops::Range;

use burn::backend::tensor::FloatTensor;
use pulp::{Simd, WithSimd};

use super::host::{Host, give_rows, groups, in_parallel};
use super::products::add_products;
use super::real::{Real, add_combinations, add_scaled, dispatch, for_nonzero, padded};
use super::recursion::{Chunk, Pass, RecursionSpace, Sizes, scale};
use crate::kernel::ops::{CarriedTraces, List, TraceChunk, TraceRun};
use crate::kernel::plan::{Seed, Summed, TracePlan};

/// Advances the traces of a population by a chunk.
pub(super) fn advance<B: Host, E: Real>(mut inputs: TraceChunk<B>, plan: &TracePlan) -> TraceRun<B> {
    let TraceChunk { traces, .. } = &mut inputs;
    let traces = std::mem::replace(traces, CarriedTraces::none());
    let chunk = Chunk::new(&inputs, plan);
    let Sizes { batch, post, pre, .. } = chunk.sizes;
    let [mut filtered_pre, mut vectors, mut filtered, mut sums] =
        [traces.filtered_pre, traces.vectors, traces.filtered, traces.sums].map(|list| list.0);
    let shape = [batch, post, pre];
    let zeros = || B::tensor(vec![E::zero(); batch * post * pre], &shape);
    let reached = plan.reached.iter().filter(|&&reached| reached).count();
    if plan.keep {
        vectors.resize_with(reached, zeros);
        filtered.resize_with(if plan.kappa == 0.0 { 0 } else { plan.currents }, zeros);
    }
    if plan.summed == Summed::PerTrial {
        sums.resize_with(plan.currents, zeros);
    }
    if plan.pre_decay.is_some() {
        filtered_pre.resize_with(1, || B::tensor(vec![E::zero(); batch * pre], &[batch, pre]));
    }

    let groups = groups(batch);
    let matrix = plan.currents * post * pre;
    let mut parts: Vec<Part<E>> = groups.iter().map(|group| Part::new(group.clone(), matrix, plan)).collect();
    distribute::<B, E>(&mut vectors, [batch, post * pre], &groups, &mut parts, |part, rows| {
        part.vectors.push(rows)
    });
    distribute::<B, E>(&mut filtered, [batch, post * pre], &groups, &mut parts, |part, rows| {
        part.filtered.push(rows)
    });
    distribute::<B, E>(&mut sums, [batch, post * pre], &groups, &mut parts, |part, rows| {
        part.sums.push(rows)
    });
    distribute::<B, E>(&mut filtered_pre, [batch, pre], &groups, &mut parts, |part, rows| {
        part.filtered_pre = rows
    });
    let passes = plan.passes();
    let columns = plan.currents * post;
    let rows = chunk.sizes.steps * batch;
    let mut weights = vec![vec![E::zero(); rows * columns]; if plan.dense { passes } else { 0 }];
    let mut values = vec![E::zero(); if plan.dense { rows * pre } else { 0 }];
    for weights in &mut weights {
        give_rows(weights, [batch, columns], &groups, &mut parts, |part, rows| part.weights.push(rows));
    }
    give_rows(&mut values, [batch, pre], &groups, &mut parts, |part, rows| part.values = rows);
    // Before the threads part, so that the most memory in use does not depend on how they overlap.
    let jobs: Vec<_> = parts.into_iter().map(|part| (part, Workspace::new(plan, chunk.sizes))).collect();
    let totals = in_parallel(jobs, |(part, workspace)| dispatch(Advance { chunk: &chunk, part, workspace }));

    let (mut gradients, mut over_batch) = (Vec::new(), Vec::new());
    for (gradient, summed) in totals {
        gradients.push(gradient);
        over_batch.extend(summed);
    }
    let matrix = [pre, plan.currents * post];
    let total = |parts: Vec<Vec<E>>| B::tensor(transposed_sum(parts, matrix), &matrix);
    let mut run = TraceRun {
        gradient: total(gradients),
        summed: List((plan.summed == Summed::OverBatch).then(|| total(over_batch)).into_iter().collect()),
        traces: CarriedTraces {
            filtered_pre: List(filtered_pre),
            vectors: List(vectors),
            filtered: List(filtered),
            sums: List(sums),
        },
    };
    if plan.dense {
        let Sizes { steps, .. } = chunk.sizes;
        let weights = weights.into_iter().map(|weights| B::tensor(weights, &[steps, batch, columns]));
        add_products(plan, chunk.sizes, weights, B::tensor(values, &[steps, batch, pre]), &mut run);
    }
    run
}

/// Gives each part the rows of its batch elements.
fn distribute<'a, B: Host, E: Real>(
    tensors: &'a mut [FloatTensor<B>],
    sizes: [usize; 2],
    groups: &[Range<usize>],
    parts: &mut [Part<'a, E>],
    mut give: impl FnMut(&mut Part<'a, E>, Vec<&'a mut [E]>),
) {
    for values in tensors.iter_mut().map(B::values_mut::<E>) {
        give_rows(values, sizes, groups, parts, &mut give);
    }
}

/// The sum of matrices [columns, rows], as a matrix [rows, columns].
fn transposed_sum<E: Real>(parts: Vec<Vec<E>>, [rows, columns]: [usize; 2]) -> Vec<E> {
    let mut sum = vec![E::zero(); rows * columns];
    for part in parts {
        for (column, values) in part.chunks_exact(rows).enumerate() {
            for (row, &value) in values.iter().enumerate() {
                sum[row * columns + column] += value;
            }
        }
    }
    sum
}

/// A thread's part of the batch: rows by element.
struct Part<'a, E> {
    elements: Range<usize>,
    filtered_pre: Vec<&'a mut [E]>,
    vectors: Vec<Vec<&'a mut [E]>>,
    filtered: Vec<Vec<&'a mut [E]>>,
    sums: Vec<Vec<&'a mut [E]>>,
    /// Where sums are matrix products: w of each pass by step and element, [currents · post].
    weights: Vec<Vec<&'a mut [E]>>,
    /// And the presynaptic values, filtered, by step and element.
    values: Vec<&'a mut [E]>,
    /// Σ over the part's elements, [currents · post, pre].
    gradient: Vec<E>,
    /// The same of the unfiltered traces.
    over_batch: Option<Vec<E>>,
}

impl<E: Real> Part<'_, E> {
    fn new(elements: Range<usize>, matrix: usize, plan: &TracePlan) -> Self {
        let zeros = || vec![E::zero(); matrix];
        Self {
            elements,
            filtered_pre: Vec::new(),
            vectors: Vec::new(),
            filtered: Vec::new(),
            sums: Vec::new(),
            weights: Vec::new(),
            values: Vec::new(),
            gradient: zeros(),
            over_batch: (plan.summed == Summed::OverBatch).then(zeros),
        }
    }
}

impl<E: Real> Part<'_, E> {
    /// Takes down w of all passes and the presynaptic values of an element.
    #[inline(always)]
    fn export(&mut self, index: usize, workspace: &Workspace<E>, Sizes { steps, post, pre, .. }: Sizes) {
        let count = self.elements.len();
        for (rows, pass) in self.weights.iter_mut().zip(workspace.passes()) {
            let Some(pass) = pass else { continue };
            for step in 0..steps {
                for (current, row) in rows[step * count + index].chunks_exact_mut(post).enumerate() {
                    row.copy_from_slice(&pass.weights[(current * steps + step) * post..][..post]);
                }
            }
        }
        for (step, row) in workspace.scratch.pre.chunks_exact(padded(pre)).enumerate() {
            self.values[step * count + index].copy_from_slice(&row[..pre]);
        }
    }
}

struct Advance<'a, E: Real> {
    chunk: &'a Chunk<'a, E>,
    part: Part<'a, E>,
    workspace: Workspace<E>,
}

/// What a thread needs for its elements, one after the other.
struct Workspace<E> {
    scratch: Scratch<E>,
    /// Whether the element has a signal that is not 0.
    signalled: bool,
    gradient: Pass<E>,
    unfiltered: Option<Pass<E>>,
    filtered: Option<Pass<E>>,
    vectors: Vec<Pass<E>>,
}

impl<E: Real> Workspace<E> {
    fn new(plan: &TracePlan, sizes: Sizes) -> Self {
        let pass = || Pass::new(plan, sizes);
        let components = if plan.keep { plan.components } else { 0 };
        Self {
            scratch: Scratch::new(plan, sizes),
            signalled: false,
            gradient: pass(),
            unfiltered: (plan.summed != Summed::Off).then(pass),
            filtered: (plan.keep && plan.kappa != 0.0).then(pass),
            vectors: (0..components).map(|_| pass()).collect(),
        }
    }
}

/// Space that elements share one after the other.
struct Scratch<E> {
    recursion: RecursionSpace<E>,
    /// The presynaptic values, filtered, [steps, padded pre].
    pre: Vec<E>,
    /// For each neuron the steps at which it is driven, [post, steps].
    driven: Vec<u32>,
    /// Where each neuron's list ends.
    ends: Vec<usize>,
    space: Space<E>,
    /// A neuron's ε before the chunk, [components, pre].
    before: Vec<E>,
}

impl<E: Real> Scratch<E> {
    fn new(plan: &TracePlan, sizes: Sizes) -> Self {
        let Sizes { steps, post, pre, .. } = sizes;
        let zeros = |count| vec![E::zero(); count];
        Self {
            recursion: RecursionSpace::new(plan, sizes),
            pre: zeros(steps * padded(pre)),
            driven: vec![0; post * steps],
            ends: (0..post).map(|neuron| neuron * steps).collect(),
            space: Space {
                factors: [zeros(steps), zeros(steps)],
                padded: [zeros(padded(pre)), zeros(padded(pre))],
            },
            before: zeros(plan.components * pre),
        }
    }

    /// Lines up the presynaptic values of an element and filters them.
    #[inline(always)]
    fn filter(&mut self, chunk: &Chunk<E>, element: usize, last: Option<&mut [E]>) {
        let pre = chunk.sizes.pre;
        for (step, row) in self.pre.chunks_exact_mut(padded(pre)).enumerate() {
            let mut rest = &mut row[..pre];
            for part in &chunk.pre {
                let (values, behind) = rest.split_at_mut(part.values.width());
                values.copy_from_slice(part.row(step, element));
                rest = behind;
            }
        }
        let (Some(decay), Some(last)) = (chunk.plan.pre_decay.map(E::of), last) else { return };
        for row in self.pre.chunks_exact_mut(padded(pre)) {
            for (value, last) in row.iter_mut().zip(last.iter_mut()) {
                *value += decay * *last;
                *last = *value;
            }
        }
    }

    /// Lists for each neuron the steps at which a current reaches it.
    #[inline(always)]
    fn find_driven(&mut self, chunk: &Chunk<E>, element: usize, drives: &[usize]) {
        let Sizes { steps, post, .. } = chunk.sizes;
        for (neuron, end) in self.ends.iter_mut().enumerate() {
            *end = neuron * steps;
        }
        let (first, others) = drives.split_first().expect("a current reaches something");
        for step in 0..steps {
            let (driven, ends) = (&mut self.driven, &mut self.ends[..post]);
            let list = |neuron: usize| {
                driven[ends[neuron]] = step as u32;
                ends[neuron] += 1;
            };
            if others.is_empty() {
                for_nonzero(chunk.coefficient(*first, step, element), list);
                continue;
            }
            let any = &mut self.recursion.mu[..post];
            any.fill(E::zero());
            for &drive in drives {
                let coefficient = chunk.coefficient(drive, step, element);
                any.iter_mut().zip(coefficient).for_each(|(any, value)| *any += value.abs());
            }
            for_nonzero(any, list);
        }
    }
}

/// Sums of a neuron, with the passes that have their coefficients.
type Sums<'a, E> = Vec<(&'a mut [E], &'a Pass<E>)>;

/// Space for two sums.
struct Space<E> {
    /// w at the steps at which a neuron is driven.
    factors: [Vec<E>; 2],
    /// The sums, padded.
    padded: [Vec<E>; 2],
}

/// What goes into the sums of one neuron and current.
struct OfNeuron<'a, E> {
    sizes: Sizes,
    current: usize,
    neuron: usize,
    /// The steps with w ≠ 0.
    driven: &'a [u32],
    /// The presynaptic values, filtered, [steps, padded pre].
    values: &'a [E],
}

impl<E: Real> OfNeuron<'_, E> {
    /// Adds what ε before the chunk, [components, pre], contributes.
    #[inline(always)]
    fn add_before(&self, sum: &mut [E], pass: &Pass<E>, epsilon: &[E]) {
        let Sizes { post, pre, .. } = self.sizes;
        for (component, epsilon) in epsilon.chunks_exact(pre).enumerate() {
            let lambda = pass.lambda[component * post + self.neuron];
            if lambda != E::zero() {
                add_scaled(sum, lambda, epsilon);
            }
        }
    }

    /// Adds Σ_t w^t pre^t to all sums, two at a time.
    #[inline(always)]
    fn add_chunk<S: Simd>(&self, simd: S, sums: Sums<E>, space: &mut Space<E>) {
        let pre = self.sizes.pre;
        let Space { factors: [first, second], padded: [one, other] } = space;
        let mut sums = sums.into_iter();
        while let Some((sum, pass)) = sums.next() {
            self.gather(pass, first);
            one[..pre].copy_from_slice(sum);
            match sums.next() {
                None => add_combinations(simd, [one], [first], self.driven, self.values),
                Some((sum, pass)) => {
                    self.gather(pass, second);
                    other[..pre].copy_from_slice(sum);
                    let sums = [one.as_mut_slice(), other.as_mut_slice()];
                    add_combinations(simd, sums, [first, second], self.driven, self.values);
                    sum.copy_from_slice(&other[..pre]);
                }
            }
            sum.copy_from_slice(&one[..pre]);
        }
    }

    /// w of a pass at the steps at which the neuron is driven.
    #[inline(always)]
    fn gather(&self, pass: &Pass<E>, factors: &mut Vec<E>) {
        let Sizes { steps, post, .. } = self.sizes;
        let weights = &pass.weights[self.current * steps * post..][..steps * post];
        factors.resize(steps, E::zero());
        for (factor, &step) in factors.iter_mut().zip(self.driven) {
            *factor = weights[step as usize * post + self.neuron];
        }
    }
}

impl<E: Real> WithSimd for Advance<'_, E> {
    type Output = (Vec<E>, Option<Vec<E>>);

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
        let Self { chunk, mut part, mut workspace } = self;
        let plan = chunk.plan;
        let mut drives: Vec<usize> = plan.d.iter().chain(&plan.b).flatten().copied().collect();
        drives.sort_unstable();
        drives.dedup();
        for (index, element) in part.elements.clone().enumerate() {
            let last = part.filtered_pre.get_mut(index).map(|last| &mut **last);
            workspace.scratch.filter(chunk, element, last);
            if !plan.dense {
                workspace.scratch.find_driven(chunk, element, &drives);
            }
            workspace.run_passes(chunk, element);
            if plan.dense {
                part.export(index, &workspace, chunk.sizes);
            }
            for current in 0..plan.currents {
                let places = plan.places(current);
                for neuron in 0..chunk.sizes.post {
                    part.advance_neuron(simd, chunk, &mut workspace, index, [current, neuron], &places);
                }
            }
        }
        (part.gradient, part.over_batch)
    }
}

impl<E: Real> Workspace<E> {
    /// The coefficients of all sums of an element.
    #[inline(always)]
    fn run_passes(&mut self, chunk: &Chunk<E>, element: usize) {
        let Self { scratch, signalled, gradient, unfiltered, filtered, vectors } = self;
        let space = &mut scratch.recursion;
        *signalled = chunk.is_signalled(element);
        if *signalled {
            gradient.run(Seed::Signal, chunk, element, space);
        }
        if let Some(unfiltered) = unfiltered {
            unfiltered.run(Seed::Unfiltered, chunk, element, space);
        }
        if let Some(filtered) = filtered {
            filtered.run(Seed::Filtered, chunk, element, space);
        }
        for (component, pass) in vectors.iter_mut().enumerate() {
            pass.run(Seed::Vector(component), chunk, element, space);
        }
    }

    /// All passes in the order of the plan; `None` for that of a signal of 0.
    fn passes(&self) -> impl Iterator<Item = Option<&Pass<E>>> {
        let signal = self.signalled.then_some(&self.gradient);
        let others = self.unfiltered.iter().chain(&self.filtered).chain(&self.vectors);
        [signal].into_iter().chain(others.map(Some))
    }
}

impl<E: Real> Part<'_, E> {
    /// Adds a chunk of an element to all sums and traces of a neuron and a current, whose ε are at `places` among
    /// those that are reached.
    #[inline(always)]
    fn advance_neuron<S: Simd>(
        &mut self,
        simd: S,
        chunk: &Chunk<E>,
        workspace: &mut Workspace<E>,
        index: usize,
        [current, neuron]: [usize; 2],
        places: &[Option<usize>],
    ) {
        let Chunk { plan, sizes, .. } = chunk;
        let Sizes { steps, post, pre, .. } = *sizes;
        let Workspace { scratch, signalled, gradient, unfiltered, filtered, vectors } = workspace;
        let row = (current * post + neuron) * pre..(current * post + neuron + 1) * pre;
        let trace = neuron * pre..(neuron + 1) * pre;
        let Scratch { pre: values, driven, ends, space, before, .. } = scratch;
        let driven = &driven[neuron * steps..ends[neuron]];
        let of_neuron = OfNeuron { sizes: *sizes, current, neuron, driven, values };
        // ε before the chunk goes into all sums. One component alone can then be advanced in place; several mix, so
        // that they must be remembered.
        let alone = plan.components == 1;
        if !alone {
            for (component, before) in before.chunks_exact_mut(pre).enumerate() {
                match places[component].and_then(|place| self.vectors.get(place)) {
                    Some(vector) => before.copy_from_slice(&vector[index][trace.clone()]),
                    None => before.fill(E::zero()),
                }
            }
        }
        let vector = places.first().copied().flatten().and_then(|place| self.vectors.get(place));
        let epsilon = match vector {
            Some(vector) if alone => &vector[index][trace.clone()],
            _ => before,
        };
        let mut sums = Sums::new();
        if *signalled {
            let sum = &mut self.gradient[row.clone()];
            if let Some(filtered) = self.filtered.get(current) {
                add_scaled(sum, gradient.m[neuron], &filtered[index][trace.clone()]);
            }
            of_neuron.add_before(sum, gradient, epsilon);
            sums.push((sum, &*gradient));
        }
        if let Some(unfiltered) = unfiltered {
            let sum = match &mut self.over_batch {
                Some(sum) => &mut sum[row],
                None => &mut self.sums[current][index][trace.clone()],
            };
            of_neuron.add_before(sum, unfiltered, epsilon);
            sums.push((sum, unfiltered));
        }
        if let Some(filtered) = filtered {
            let sum = &mut self.filtered[current][index][trace.clone()];
            scale(sum, filtered.m[neuron]);
            of_neuron.add_before(sum, filtered, epsilon);
            sums.push((sum, filtered));
        }
        let mut rest = self.vectors.as_mut_slice();
        let mut passed = 0;
        for (pass, place) in vectors.iter().zip(places) {
            let Some(place) = *place else { continue };
            let (vector, behind) = rest[place - passed..].split_first_mut().expect("reached");
            (rest, passed) = (behind, place + 1);
            let sum = &mut vector[index][trace.clone()];
            if alone {
                scale(sum, pass.lambda[neuron]);
            } else {
                sum.fill(E::zero());
                of_neuron.add_before(sum, pass, before);
            }
            sums.push((sum, pass));
        }
        if !plan.dense {
            of_neuron.add_chunk(simd, sums, space);
        }
    }
}
