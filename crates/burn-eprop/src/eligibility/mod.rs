//! The eligibility engine: forward traces at the speed of matrix products.
//!
//! A synapse i → j has an eligibility vector ε, a trace e and the readout's low-pass of it, ē:
//!
//! $$ \epsilon^t = A^t\epsilon^{t-1} + B^t pre_i^t, \quad e^t = C^t\cdot\epsilon^{t-1} + D^t pre_i^t,
//!    \quad \bar e^t = \kappa \bar e^{t-1} + e^t $$
//!
//! with the coefficients of a [`Linearization`], one per neuron j. e-prop's gradient is
//! $\sum_t L_j^t \bar e_{ji}^t$ (Bellec et al. 2019, arXiv:1901.09049, eqs. 1, 4 and 5). Stepping
//! [batch, post, pre] tensors through time is bound by memory traffic, so [`EligibilityTraces`]
//! advances by a chunk of K steps at once:
//!
//! - the chunk's part of the gradient is $\sum_t w^t \otimes pre^t$, one matrix product, with w from
//!   a recursion in *neuron* space that runs backwards through the chunk (the adjoint of the equations above):
//!   $$ m^t = L^t + \kappa m^{t+1}, \quad w^t = D^t m^t + B^t\cdot\lambda^t, \quad
//!   \lambda^{t-1} = (A^t)^\top\lambda^t + C^t m^t; $$
//! - the traces carried into the chunk contribute $\sum_b \lambda^{start}\epsilon^{start} + \kappa m^1 \bar e^{start}$;
//! - the traces at the chunk's end are the same recursion with L = 0 and a unit seed for each of them.
//!
//! The result equals the step-by-step traces for every K up to rounding. Memory is
//! O(K·batch·neurons + batch·post·pre), whatever the length of the sequence. K = 1 is fully
//! online; a chunk as long as the sequence holds no trace at all.

mod adjoint;
mod chunk;
mod factored;
mod stepwise;

pub use chunk::{Chunk, Presynaptic};
pub(crate) use factored::{FactoredTraces, MOST_FACTORED_STEPS};
pub(crate) use stepwise::StepwiseTraces;
pub use stepwise::stepwise_traces;

use burn::tensor::Tensor;

use crate::carried::{Archive, Carried};
use crate::cell::Linearization;
use crate::kernel::{self, CarriedTraces, List, Summed, TraceChunk};
use crate::steps::low_pass;
use adjoint::{Adjoint, Seed};

/// How many traces there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Synapses {
    /// Sequences in a batch.
    pub batch: usize,
    /// Presynaptic values.
    pub pre: usize,
    /// Neurons of the population.
    pub post: usize,
    /// Currents of a neuron.
    pub currents: usize,
}

/// Traces of all synapses onto one population, carried from chunk to chunk.
///
/// Presynaptic values are `[pre]`, whatever they are: inputs, the population's own outputs, 1 for a bias.
#[derive(Debug, Clone)]
pub struct EligibilityTraces {
    kappa: f64,
    synapses: Synapses,
    /// The presynaptic values filtered by the cell's folded hidden value, [batch, pre].
    filtered_pre: Option<Tensor<2>>,
    /// ε, by component and current, each [batch, post, pre].
    vectors: Vec<Vec<Option<Tensor<3>>>>,
    /// ē, by current, each [batch, post, pre].
    filtered: Vec<Option<Tensor<3>>>,
    summed: SummedTraces,
}

/// Σ_t e of the unfiltered traces, each step weighted as its [`Chunk`] says, as rate regularisation needs it.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "there is one for each layer")]
pub enum SummedTraces {
    /// Not needed.
    Off,
    /// Summed over the batch: [pre, currents · post], `None` before the first chunk.
    OverBatch(Option<Tensor<2>>),
    /// For each trial: by current, each [batch, post, pre].
    PerTrial(Vec<Option<Tensor<3>>>),
}

/// The weights w^t, [steps · batch, currents · post], with which a sequence's presynaptic values (filtered, where a decay is
/// [folded](Linearization::pre_decay)) make up the gradient of each of its trials, $\sum_t w^t \otimes pre^t$, for
/// L [steps, batch, post] that multiplies the unfiltered e: in the autodiff graph of L and of the linearisations, which are
/// those of all steps together or of each step.
pub(crate) fn presynaptic_weights(linearizations: &[Linearization], signal: Tensor<3>) -> Tensor<2> {
    let [steps, batch, post] = signal.dims();
    if linearizations[0].components() == 0 && linearizations[0].currents() == 1 {
        let factors = linearizations.iter().map(|linearization| linearization.some().clone());
        return Tensor::cat(factors.collect(), 0) * signal.reshape([steps * batch, post]);
    }
    if kernel::is_supported(&signal.clone().without_autodiff()) {
        let linearization = Linearization::cat(linearizations);
        let (plan, coefficients) = kernel::plan(&linearization);
        let currents = plan.currents;
        let weights = kernel::presynaptic_weights(coefficients, signal, plan);
        return weights.permute([1, 2, 0, 3]).reshape([steps * batch, currents * post]);
    }
    let by_step = match linearizations {
        [all] => (0..steps).map(|step| all.rows(step * batch, batch)).collect(),
        steps => steps.to_vec(),
    };
    adjoint::run_by_steps(&by_step, 0.0, Seed::Signal(signal)).weights
}

impl Synapses {
    /// Shape of a gradient, [pre, currents · post].
    pub fn matrix(&self) -> [usize; 2] {
        [self.pre, self.currents * self.post]
    }
}

impl EligibilityTraces {
    /// Traces before the first step. `kappa` is the readout's decay κ in a step, 0 for none.
    pub fn new(kappa: f64, synapses: Synapses, summed: SummedTraces) -> Self {
        Self { kappa, synapses, filtered_pre: None, vectors: Vec::new(), filtered: Vec::new(), summed }
    }

    /// The sizes.
    pub fn synapses(&self) -> Synapses {
        self.synapses
    }

    /// Σ_t e up to here.
    pub fn summed(&self) -> &SummedTraces {
        &self.summed
    }

    /// Adds Σ_t e over other sequences of the batch, where it is summed over the batch.
    pub(crate) fn add_sum(&mut self, other: &mut Self) {
        if let (SummedTraces::OverBatch(Some(mine)), SummedTraces::OverBatch(other)) =
            (&mut self.summed, &mut other.summed)
            && let Some(other) = other.take()
        {
            *mine = mine.clone() + other;
        }
    }

    /// Takes Σ_t e over the batch, [pre, currents · post]; the next sum begins at 0.
    pub(crate) fn take_batch_sum(&mut self) -> Option<Tensor<2>> {
        match &mut self.summed {
            SummedTraces::OverBatch(sum) => sum.take(),
            SummedTraces::Off | SummedTraces::PerTrial(_) => None,
        }
    }

    /// Takes Σ_t e of each trial, by current, each [batch, post, pre]; the next sum begins at 0.
    pub(crate) fn take_trial_sums(&mut self) -> Vec<Tensor<3>> {
        match &mut self.summed {
            SummedTraces::PerTrial(sums) => std::mem::take(sums).into_iter().flatten().collect(),
            SummedTraces::Off | SummedTraces::OverBatch(_) => Vec::new(),
        }
    }

    /// Multiplies the traces of each sequence by a factor, [batch, 1].
    pub(crate) fn multiply_sequences(&mut self, factor: &Tensor<2>) {
        let each = factor.clone().unsqueeze_dim::<3>(2);
        let scale = |traces: &mut Tensor<3>| *traces = traces.clone() * each.clone();
        self.vectors.iter_mut().flatten().flatten().for_each(scale);
        self.filtered.iter_mut().flatten().for_each(scale);
        if let Some(pre) = &mut self.filtered_pre {
            *pre = pre.clone() * factor.clone();
        }
    }

    /// Takes over Σ_t e of other trials of the batch, where it is kept for each. The traces themselves have ended.
    pub(crate) fn join_trials(&mut self, others: Vec<Self>) {
        let SummedTraces::PerTrial(mine) = &mut self.summed else { return };
        for (current, mine) in mine.iter_mut().enumerate() {
            let of_others = others.iter().filter_map(|other| match &other.summed {
                SummedTraces::PerTrial(sums) => sums[current].clone(),
                SummedTraces::Off | SummedTraces::OverBatch(_) => None,
            });
            *mine = mine.take().map(|mine| Tensor::cat([mine].into_iter().chain(of_others).collect(), 0));
        }
    }

    /// ē of a current, [batch, post, pre], at the end of the last chunk that was advanced with `keep`; `None`
    /// before that, and where κ = 0 leaves nothing to carry.
    pub fn filtered(&self, current: usize) -> Option<&Tensor<3>> {
        self.filtered.get(current)?.as_ref()
    }

    /// ε of a current, component `hidden`, [batch, post, pre], at the end of the last chunk that was advanced with
    /// `keep`.
    pub fn vector(&self, hidden: usize, current: usize) -> Option<&Tensor<3>> {
        self.vectors.get(hidden)?.get(current)?.as_ref()
    }

    /// Advances the traces by a chunk and returns its gradient Σ_t L ē, [pre, currents · post].
    ///
    /// With `keep` false the traces at the chunk's end are not computed, and start from 0 again: for the last chunk
    /// of a sequence.
    ///
    /// # Panics
    ///
    /// If `pre` and `signal` do not have the same steps and the traces' sizes, or the rows of the linearisation are
    /// not steps · batch.
    #[track_caller]
    pub fn advance(&mut self, chunk: Chunk, keep: bool) -> Tensor<2> {
        let steps = chunk.check(self.synapses);
        if chunk.pre.iter().all(|part| kernel::is_on_cpu(part.as_tensor())) {
            return self.advance_by_kernel(chunk, keep);
        }
        let adjoint = Adjoint::new(chunk.linearization, self.kappa, [steps, self.synapses.batch]);
        let pre =
            filter_pre(&mut self.filtered_pre, chunk.linearization, Presynaptic::join(&chunk.pre), keep);

        let total = match chunk.signal {
            Some(signal) => self.sum_over_batch(&adjoint.run(Seed::Signal(signal)), &pre),
            None => Tensor::zeros(self.synapses.matrix(), (&pre.device(), pre.dtype())),
        };
        self.accumulate(&adjoint, &pre, chunk.summed_by);
        if keep {
            self.carry(&adjoint, &pre);
        } else {
            (self.vectors, self.filtered) = (Vec::new(), Vec::new());
        }
        total
    }

    /// As [`advance`](Self::advance), by the kernel.
    fn advance_by_kernel(&mut self, chunk: Chunk, keep: bool) -> Tensor<2> {
        let (mut plan, coefficients) = kernel::plan(chunk.linearization);
        let (reached, currents) = (plan.reached.clone(), plan.currents);
        let sums = match &mut self.summed {
            SummedTraces::PerTrial(sums) => std::mem::take(sums),
            SummedTraces::Off | SummedTraces::OverBatch(_) => Vec::new(),
        };
        plan.kappa = self.kappa;
        plan.keep = keep;
        plan.summed = match self.summed {
            SummedTraces::Off => Summed::Off,
            SummedTraces::OverBatch(_) => Summed::OverBatch,
            SummedTraces::PerTrial(_) => Summed::PerTrial,
        };
        let vectors = std::mem::take(&mut self.vectors).into_iter().flatten().flatten();
        let filtered = std::mem::take(&mut self.filtered).into_iter().flatten();
        let (mut pre, mut before) = (Vec::new(), Vec::new());
        for part in chunk.pre {
            plan.delayed.push(matches!(part, Presynaptic::Delayed { .. }));
            match part {
                Presynaptic::AtOnce(values) => pre.push(values),
                Presynaptic::Delayed { values, before: last } => {
                    pre.push(values);
                    before.push(last);
                }
            }
        }
        let run = kernel::advance_traces(
            TraceChunk {
                coefficients: List::lower(coefficients),
                pre: List::lower(pre),
                before: List::lower(before),
                signal: List::lower(chunk.signal),
                summed_by: List::lower(chunk.summed_by),
                traces: CarriedTraces {
                    filtered_pre: List::lower(self.filtered_pre.take()),
                    vectors: List::lower(vectors),
                    filtered: List::lower(filtered),
                    sums: List::lower(sums.into_iter().flatten()),
                },
            },
            plan,
        );
        let CarriedTraces { filtered_pre, vectors, filtered, sums } = run.traces;
        let summed = run.summed.lift::<2>().pop();
        match &mut self.summed {
            SummedTraces::Off => {}
            SummedTraces::OverBatch(sum) => {
                *sum = match (sum.take(), summed) {
                    (Some(sum), Some(part)) => Some(sum + part),
                    (sum, part) => sum.or(part),
                }
            }
            SummedTraces::PerTrial(all) => *all = sums.lift().into_iter().map(Some).collect(),
        }
        if keep {
            let mut vectors = vectors.lift().into_iter();
            let mut place = |&reached: &bool| if reached { vectors.next() } else { None };
            let rows = reached.chunks(currents);
            self.vectors = rows.map(|row| row.iter().map(&mut place).collect()).collect();
            self.filtered = filtered.lift().into_iter().map(Some).collect();
            self.filtered_pre = filtered_pre.lift().pop();
        }
        Tensor::from_dispatch(run.gradient)
    }

    /// Σ_t Σ_b w ⊗ pre of a pass and what the carried traces add to it, [pre, currents · post].
    fn sum_over_batch(&self, pass: &adjoint::Pass, pre: &Tensor<3>) -> Tensor<2> {
        let [steps, batch, pre_size] = pre.dims();
        let rows = pre.clone().reshape([steps * batch, pre_size]);
        let inside = rows.transpose().matmul(pass.weights.clone());
        let carried: Vec<_> = (0..pass.currents())
            .map(|current| {
                let traces = self.carried(pass, current)?;
                Some(traces.sum_dim(0).squeeze_dim::<2>(0).transpose())
            })
            .collect();
        if carried.iter().all(Option::is_none) {
            return inside;
        }
        let zeros = || Tensor::zeros([pre_size, pass.post()], (&inside.device(), inside.dtype()));
        let carried = carried.into_iter().map(|part| part.unwrap_or_else(zeros)).collect();
        inside + Tensor::cat(carried, 1)
    }

    /// What the carried traces of a current add to a pass, each [batch, post, pre].
    fn carried(&self, pass: &adjoint::Pass, current: usize) -> Option<Tensor<3>> {
        let vectors = pass.lambda.iter().enumerate().map(|(hidden, factor)| {
            let vector = self.vector(hidden, current)?;
            Some(scale_rows(vector, factor.as_ref()?))
        });
        let filtered = pass.m.as_ref().and_then(|factor| {
            let filtered = self.filtered(current)?;
            Some(scale_rows(filtered, factor))
        });
        vectors.chain([filtered]).flatten().reduce(|sum, part| sum + part)
    }

    /// Σ_t w ⊗ pre of a current for each batch element, and what the carried traces add,
    /// [batch, post, pre].
    fn per_trial(&self, pass: &adjoint::Pass, current: usize, pre: &Tensor<3>) -> Tensor<3> {
        let [steps, batch, _] = pre.dims();
        let weights = pass.weights_of(current).reshape([steps, batch, pass.post()]);
        let inside = weights.permute([1, 2, 0]).matmul(pre.clone().swap_dims(0, 1));
        match self.carried(pass, current) {
            Some(carried) => inside + carried,
            None => inside,
        }
    }

    /// Adds the chunk's Σ_t e: the recursion with the weights of the sum as a signal that κ does not filter.
    fn accumulate(&mut self, adjoint: &Adjoint, pre: &Tensor<3>, summed_by: Option<Tensor<3>>) {
        if matches!(self.summed, SummedTraces::Off) {
            return;
        }
        let pass = adjoint.run(Seed::Unfiltered(summed_by));
        let add = |sum: Option<Tensor<3>>, part| match sum {
            Some(sum) => Some(sum + part),
            None => Some(part),
        };
        self.summed = match std::mem::replace(&mut self.summed, SummedTraces::Off) {
            SummedTraces::Off => SummedTraces::Off,
            SummedTraces::OverBatch(sum) => {
                let part = self.sum_over_batch(&pass, pre);
                SummedTraces::OverBatch(Some(match sum {
                    Some(sum) => sum + part,
                    None => part,
                }))
            }
            SummedTraces::PerTrial(mut sums) => {
                sums.resize(pass.currents(), None);
                let parts = (0..pass.currents()).map(|current| self.per_trial(&pass, current, pre));
                SummedTraces::PerTrial(
                    sums.into_iter().zip(parts).map(|(sum, part)| add(sum, part)).collect(),
                )
            }
        };
    }

    /// The traces at the chunk's end.
    fn carry(&mut self, adjoint: &Adjoint, pre: &Tensor<3>) {
        let linearization = adjoint.linearization();
        let currents = linearization.currents();
        let vectors = (0..linearization.components())
            .map(|hidden| {
                let pass = adjoint.run(Seed::Vector(hidden));
                (0..currents)
                    .map(|current| match linearization.reaches(hidden, current) {
                        true => Some(self.per_trial(&pass, current, pre)),
                        false => None,
                    })
                    .collect()
            })
            .collect();
        let mut filtered = Vec::new();
        if self.kappa != 0.0 {
            let pass = adjoint.run(Seed::Filtered);
            filtered.extend((0..currents).map(|current| Some(self.per_trial(&pass, current, pre))));
        }
        self.vectors = vectors;
        self.filtered = filtered;
    }
}

/// pre̅^t = α pre̅^{t−1} + pre^t where the linearisation asks for it; `last` is carried on with `keep`.
fn filter_pre(
    last: &mut Option<Tensor<2>>,
    linearization: &Linearization,
    pre: Tensor<3>,
    keep: bool,
) -> Tensor<3> {
    let Some(decay) = linearization.pre_decay() else {
        return pre;
    };
    let (filtered, end) = low_pass(pre, decay, last.take());
    *last = keep.then_some(end);
    filtered
}

/// `traces` [batch, post, pre] times `factor` [batch, post].
fn scale_rows(traces: &Tensor<3>, factor: &Tensor<2>) -> Tensor<3> {
    traces.clone() * factor.clone().unsqueeze_dim(2)
}

impl Carried for EligibilityTraces {
    fn visit(&mut self, archive: &mut Archive) {
        let Synapses { batch, pre, post, .. } = self.synapses;
        let visit = |archive: &mut Archive, name: &str, traces: &mut Option<_>| {
            archive.optional(name, traces, [batch, post, pre]);
        };
        archive.constant("kappa", self.kappa);
        archive.optional("filtered_pre", &mut self.filtered_pre, [batch, pre]);
        archive.list("vectors", &mut self.vectors, Vec::new, |archive, name, of_hidden| {
            archive.list(name, of_hidden, || None, visit);
        });
        archive.list("filtered", &mut self.filtered, || None, visit);
        match &mut self.summed {
            SummedTraces::Off => {}
            SummedTraces::OverBatch(sum) => archive.optional("summed", sum, self.synapses.matrix()),
            SummedTraces::PerTrial(sums) => archive.list("summed", sums, || None, visit),
        }
    }
}
