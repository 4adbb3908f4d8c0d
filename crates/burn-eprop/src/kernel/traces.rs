//! The fused advance of eligibility traces by a chunk.
//!
//! It is the recursion that the [eligibility engine](crate::eligibility) describes, for one batch element at a
//! time: first the coefficients w of all sums over the chunk, in neuron space, then the sums Σ_t w^t pre^t, for
//! which the steps with w = 0 are left out. Those are most of them where a pseudo-derivative is 0 away from the
//! threshold.

use std::ops::Range;

use burn::backend::TensorMetadata;
use burn::backend::tensor::FloatTensor;
use burn::tensor::Slice;
use pulp::{Simd, WithSimd};

use super::host::{Host, View, groups, in_parallel, rows_by_group};
use super::ops::{CarriedTraces, List, TraceChunk, TraceRun};
use super::real::{Real, add_combinations, add_scaled, dispatch, for_nonzero, padded};

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
    /// How many recursions there are.
    fn passes(&self) -> usize {
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
        let rows = rows_by_group(weights, [batch, columns], &groups);
        parts.iter_mut().zip(rows).for_each(|(part, rows)| part.weights.push(rows));
    }
    let rows = rows_by_group(&mut values, [batch, pre], &groups);
    parts.iter_mut().zip(rows).for_each(|(part, rows)| part.values = rows);
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

/// Adds what happens within a chunk to sums, as matrix products: for coefficients of which few are 0.
fn add_products<B: Host>(
    plan: &TracePlan,
    Sizes { steps, batch, post, pre }: Sizes,
    mut weights: impl Iterator<Item = FloatTensor<B>>,
    values: FloatTensor<B>,
    run: &mut TraceRun<B>,
) {
    let columns = plan.currents * post;
    let mut next = || weights.next().expect("one for each pass");
    let rows = B::float_reshape(values.clone(), [steps * batch, pre].into());
    let over_batch = |sum: &mut FloatTensor<B>, weights: FloatTensor<B>| {
        let weights = B::float_reshape(weights, [steps * batch, columns].into());
        let product = B::float_matmul(B::float_swap_dims(rows.clone(), 0, 1), weights);
        *sum = B::float_add(sum.clone(), product);
    };
    let values = B::float_swap_dims(values, 0, 1);
    let by_trial = |sum: &mut FloatTensor<B>, weights: &FloatTensor<B>, current: usize| {
        let of_current = Slice::from(current * post..(current + 1) * post);
        let weights = B::float_slice(weights.clone(), &[Slice::full(), Slice::full(), of_current]);
        let product = B::float_matmul(B::float_permute(weights, &[1, 2, 0]), values.clone());
        *sum = B::float_add(sum.clone(), product);
    };
    over_batch(&mut run.gradient, next());
    match plan.summed {
        Summed::Off => {}
        Summed::OverBatch => over_batch(&mut run.summed.0[0], next()),
        Summed::PerTrial => {
            let weights = next();
            let sums = run.traces.sums.0.iter_mut().enumerate();
            sums.for_each(|(current, sum)| by_trial(sum, &weights, current));
        }
    }
    if !plan.keep {
        return;
    }
    if plan.kappa != 0.0 {
        let weights = next();
        let filtered = run.traces.filtered.0.iter_mut().enumerate();
        filtered.for_each(|(current, sum)| by_trial(sum, &weights, current));
    }
    let mut vectors = run.traces.vectors.0.iter_mut();
    for reached in plan.reached.chunks(plan.currents) {
        let weights = next();
        for (current, _) in reached.iter().enumerate().filter(|(_, reached)| **reached) {
            by_trial(vectors.next().expect("reached"), &weights, current);
        }
    }
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
        let rows = rows_by_group(values, sizes, groups);
        parts.iter_mut().zip(rows).for_each(|(part, rows)| give(part, rows));
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

#[derive(Clone, Copy)]
struct Sizes {
    steps: usize,
    batch: usize,
    post: usize,
    pre: usize,
}

struct Chunk<'a, E: Real> {
    plan: &'a TracePlan,
    sizes: Sizes,
    coefficients: Vec<View<'a, E>>,
    pre: Vec<Presynaptic<'a, E>>,
    signal: Option<View<'a, E>>,
    valid: Option<View<'a, E>>,
}

/// A part of the presynaptic values; with `before` they arrive one step later.
struct Presynaptic<'a, E: Real> {
    values: View<'a, E>,
    before: Option<View<'a, E>>,
}

impl<E: Real> Presynaptic<'_, E> {
    #[inline(always)]
    fn row(&self, step: usize, element: usize) -> &[E] {
        match &self.before {
            None => self.values.row(step, element),
            Some(before) if step == 0 => before.row(0, element),
            Some(_) => self.values.row(step - 1, element),
        }
    }
}

impl<'a, E: Real> Chunk<'a, E> {
    fn new<B: Host>(inputs: &'a TraceChunk<B>, plan: &'a TracePlan) -> Self {
        let mut before = inputs.before.0.iter().map(B::view::<E>);
        let parts = inputs.pre.0.iter().zip(&plan.delayed).map(|(values, &delayed)| Presynaptic {
            values: B::view::<E>(values),
            before: if delayed { before.next() } else { None },
        });
        let parts: Vec<_> = parts.collect();
        let [steps, batch, _] = inputs.pre.0[0].shape().dims();
        let pre = parts.iter().map(|part| part.values.width()).sum();
        Self {
            plan,
            sizes: Sizes { steps, batch, post: inputs.coefficients.0[0].shape()[1], pre },
            coefficients: inputs.coefficients.0.iter().map(B::view::<E>).collect(),
            pre: parts,
            signal: inputs.signal.0.first().map(B::view::<E>),
            valid: inputs.valid.0.first().map(B::view::<E>),
        }
    }

    /// A coefficient of all neurons at a step.
    #[inline(always)]
    fn coefficient(&self, index: usize, step: usize, element: usize) -> &[E] {
        self.coefficients[index].row(0, step * self.sizes.batch + element)
    }
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
    /// Takes down w of all passes (0 for `None`) and the presynaptic values of an element.
    #[inline(always)]
    fn export<'a>(
        &mut self,
        index: usize,
        passes: impl Iterator<Item = Option<&'a Pass<E>>>,
        values: &[E],
        Sizes { steps, post, pre, .. }: Sizes,
    ) where
        E: 'a,
    {
        let count = self.elements.len();
        for (rows, pass) in self.weights.iter_mut().zip(passes) {
            let Some(pass) = pass else { continue };
            for step in 0..steps {
                for (current, row) in rows[step * count + index].chunks_exact_mut(post).enumerate() {
                    row.copy_from_slice(&pass.weights[(current * steps + step) * post..][..post]);
                }
            }
        }
        for (step, row) in values.chunks_exact(padded(pre)).enumerate() {
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
            gradient: pass(),
            unfiltered: (plan.summed != Summed::Off).then(pass),
            filtered: (plan.keep && plan.kappa != 0.0).then(pass),
            vectors: (0..components).map(|_| pass()).collect(),
        }
    }
}

/// What a recursion starts from, and what drives it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seed {
    /// L: Σ_t L ē.
    Signal,
    /// 1 at every valid step, not filtered by κ: Σ_t e.
    Unfiltered,
    /// ē at the chunk's end.
    Filtered,
    /// A component of ε at the chunk's end.
    Vector(usize),
}

/// The coefficients of what a seed asks for.
struct Pass<E> {
    /// w, [currents · steps, post].
    weights: Vec<E>,
    /// Those of ε at the chunk's start, [components, post].
    lambda: Vec<E>,
    /// Those of ē at the chunk's start, `[post]`.
    m: Vec<E>,
}

impl<E: Real> Pass<E> {
    fn new(plan: &TracePlan, Sizes { steps, post, .. }: Sizes) -> Self {
        Self {
            weights: vec![E::zero(); plan.currents * steps * post],
            lambda: vec![E::zero(); plan.components * post],
            m: vec![E::zero(); post],
        }
    }

    /// Runs the recursion from the chunk's last step to its first.
    #[inline(always)]
    fn run(&mut self, seed: Seed, chunk: &Chunk<E>, element: usize, scratch: &mut Scratch<E>) {
        let Chunk { plan, sizes: Sizes { steps, post, .. }, .. } = chunk;
        let kappa = E::of(plan.kappa);
        self.lambda.fill(E::zero());
        self.m.fill(if seed == Seed::Filtered { E::one() } else { E::zero() });
        if let Seed::Vector(component) = seed {
            self.lambda[component * post..][..*post].fill(E::one());
        }
        let mu = &mut scratch.mu[..*post];
        for step in (0..*steps).rev() {
            // μ = m + the unfiltered seed, with m^t = L^t + κ m^{t+1}; κ m^{t+1} is in self.m.
            match seed {
                Seed::Signal => {
                    let signal = chunk.signal.as_ref().expect("driven by it").row(step, element);
                    for ((mu, m), &signal) in mu.iter_mut().zip(&mut self.m).zip(signal) {
                        *mu = signal + *m;
                        *m = kappa * *mu;
                    }
                }
                Seed::Filtered => {
                    mu.copy_from_slice(&self.m);
                    self.m.iter_mut().for_each(|m| *m *= kappa);
                }
                Seed::Unfiltered => {
                    mu.fill(chunk.valid.as_ref().map_or(E::one(), |valid| valid.row(step, element)[0]));
                }
                Seed::Vector(_) => {}
            }
            let driven = !matches!(seed, Seed::Vector(_));
            let coefficient = |index: Option<usize>| Some(chunk.coefficient(index?, step, element));
            for current in 0..plan.currents {
                let weights = &mut self.weights[(current * steps + step) * post..][..*post];
                set_product(weights, coefficient(plan.d[current]).filter(|_| driven), mu);
                for (component, lambda) in self.lambda.chunks_exact(*post).enumerate() {
                    add_product(weights, coefficient(plan.b[component * plan.currents + current]), lambda);
                }
            }
            let lambda = &mut scratch.lambda;
            for (column, lambda) in lambda.chunks_exact_mut(*post).enumerate() {
                set_product(lambda, coefficient(plan.c[column]).filter(|_| driven), mu);
                for (row, before) in self.lambda.chunks_exact(*post).enumerate() {
                    add_product(lambda, coefficient(plan.a[row * plan.components + column]), before);
                }
            }
            std::mem::swap(&mut self.lambda, lambda);
        }
    }
}

/// `row *= factor`.
#[inline(always)]
pub(super) fn scale<E: Real>(row: &mut [E], factor: E) {
    row.iter_mut().for_each(|value| *value *= factor);
}

/// `result = a · b`, or 0 without a.
#[inline(always)]
pub(super) fn set_product<E: Real>(result: &mut [E], a: Option<&[E]>, b: &[E]) {
    match a {
        Some(a) => {
            for ((result, &a), &b) in result.iter_mut().zip(a).zip(b) {
                *result = a * b;
            }
        }
        None => result.fill(E::zero()),
    }
}

/// `result += a · b`.
#[inline(always)]
pub(super) fn add_product<E: Real>(result: &mut [E], a: Option<&[E]>, b: &[E]) {
    let Some(a) = a else { return };
    for ((result, &a), &b) in result.iter_mut().zip(a).zip(b) {
        *result += a * b;
    }
}

/// Space that elements share one after the other.
struct Scratch<E> {
    /// `[post]`
    mu: Vec<E>,
    /// [components, post]
    lambda: Vec<E>,
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
    fn new(plan: &TracePlan, Sizes { steps, post, pre, .. }: Sizes) -> Self {
        let zeros = |count| vec![E::zero(); count];
        Self {
            mu: zeros(post),
            lambda: zeros(plan.components * post),
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
            let any = &mut self.mu[..post];
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
        let Self { chunk, mut part, workspace } = self;
        let Chunk { plan, sizes, .. } = chunk;
        let Sizes { steps, post, pre, .. } = *sizes;
        let mut drives: Vec<usize> = plan.d.iter().chain(&plan.b).flatten().copied().collect();
        drives.sort_unstable();
        drives.dedup();
        let Workspace { mut scratch, mut gradient, mut unfiltered, mut filtered, mut vectors } = workspace;

        for (index, element) in part.elements.clone().enumerate() {
            let last = part.filtered_pre.get_mut(index).map(|last| &mut **last);
            scratch.filter(chunk, element, last);
            if !plan.dense {
                scratch.find_driven(chunk, element, &drives);
            }
            let signalled = chunk.signal.as_ref().is_some_and(|signal| {
                (0..steps).any(|step| signal.row(step, element).iter().any(|&signal| signal != E::zero()))
            });
            if signalled {
                gradient.run(Seed::Signal, chunk, element, &mut scratch);
            }
            if let Some(unfiltered) = &mut unfiltered {
                unfiltered.run(Seed::Unfiltered, chunk, element, &mut scratch);
            }
            if let Some(filtered) = &mut filtered {
                filtered.run(Seed::Filtered, chunk, element, &mut scratch);
            }
            for (component, pass) in vectors.iter_mut().enumerate() {
                pass.run(Seed::Vector(component), chunk, element, &mut scratch);
            }

            if plan.dense {
                let signal = signalled.then_some(&gradient);
                let passes = [signal].into_iter().chain(
                    [&unfiltered, &filtered].map(Option::as_ref).into_iter().filter(|pass| pass.is_some()),
                );
                let passes = passes.chain(vectors.iter().map(Some));
                part.export(index, passes, &scratch.pre, chunk.sizes);
            }
            for current in 0..plan.currents {
                // The places of the current's ε among those that are reached.
                let mut places = vec![None; plan.components];
                let reached = plan.reached.iter().enumerate().filter(|(_, reached)| **reached);
                for (place, (entry, _)) in reached.enumerate() {
                    if entry % plan.currents == current {
                        places[entry / plan.currents] = Some(place);
                    }
                }
                for neuron in 0..post {
                    let row = (current * post + neuron) * pre..(current * post + neuron + 1) * pre;
                    let trace = neuron * pre..(neuron + 1) * pre;
                    let Scratch { pre: values, driven, ends, space, before, .. } = &mut scratch;
                    let driven = &driven[neuron * steps..ends[neuron]];
                    let of_neuron = OfNeuron { sizes: *sizes, current, neuron, driven, values };
                    // ε before the chunk goes into all sums. One component alone can then be advanced in place;
                    // several mix, so that they must be remembered.
                    let alone = plan.components == 1;
                    if !alone {
                        for (component, before) in before.chunks_exact_mut(pre).enumerate() {
                            match places[component].and_then(|place| part.vectors.get(place)) {
                                Some(vector) => before.copy_from_slice(&vector[index][trace.clone()]),
                                None => before.fill(E::zero()),
                            }
                        }
                    }
                    let vector = places.first().copied().flatten().and_then(|place| part.vectors.get(place));
                    let epsilon = match vector {
                        Some(vector) if alone => &vector[index][trace.clone()],
                        _ => before,
                    };
                    let mut sums = Sums::new();
                    if signalled {
                        let sum = &mut part.gradient[row.clone()];
                        if let Some(filtered) = part.filtered.get(current) {
                            add_scaled(sum, gradient.m[neuron], &filtered[index][trace.clone()]);
                        }
                        of_neuron.add_before(sum, &gradient, epsilon);
                        sums.push((sum, &gradient));
                    }
                    if let Some(unfiltered) = &unfiltered {
                        let sum = match &mut part.over_batch {
                            Some(sum) => &mut sum[row],
                            None => &mut part.sums[current][index][trace.clone()],
                        };
                        of_neuron.add_before(sum, unfiltered, epsilon);
                        sums.push((sum, unfiltered));
                    }
                    if let Some(filtered) = &filtered {
                        let sum = &mut part.filtered[current][index][trace.clone()];
                        scale(sum, filtered.m[neuron]);
                        of_neuron.add_before(sum, filtered, epsilon);
                        sums.push((sum, filtered));
                    }
                    let mut rest = part.vectors.as_mut_slice();
                    let mut passed = 0;
                    for (pass, place) in vectors.iter().zip(&places) {
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
        }
        (part.gradient, part.over_batch)
    }
}
