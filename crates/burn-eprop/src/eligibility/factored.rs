//! Eligibility vectors in factors, for chunks of few steps.

use burn::tensor::{Tensor, TensorCreationOptions};

use super::adjoint::{Adjoint, Seed};
use super::{Chunk, Presynaptic, Synapses, filter_pre, scale_rows};
use crate::carried::{Archive, Carried};
use crate::cell::Linearization;
use crate::steps::sum;

/// Steps that are kept in factors. With more, the products would take longer than what they save.
pub(crate) const MOST_FACTORED_STEPS: usize = 32;

/// As [`EligibilityTraces`](super::EligibilityTraces) without a filter or sums, for chunks that are short beside the number of
/// neurons: ε as it was some chunks ago, and for each chunk since then the factors of what it added,
///
/// $$ \epsilon \leftarrow J\epsilon + \sum_t w^t \otimes pre^t. $$
///
/// A chunk's gradient is a recursion in neuron space back through all of them and a product for each, and only once in
/// [`MOST_FACTORED_STEPS`] steps are traces [batch, post, pre] written.
#[derive(Debug, Clone)]
pub(crate) struct FactoredTraces {
    synapses: Synapses,
    /// Number of components of ε.
    components: usize,
    /// The currents that reach one of them.
    reached: Vec<usize>,
    options: TensorCreationOptions,
    /// The presynaptic values filtered by the cell's folded hidden value, [batch, pre].
    filtered_pre: Option<Tensor<2>>,
    /// ε before the first of the chunks, by component and reached current, each [batch, post, pre]; `None` before any.
    vectors: Vec<Vec<Option<Tensor<3>>>>,
    chunks: Vec<Factors>,
}

/// What a chunk did to ε.
#[derive(Debug, Clone)]
struct Factors {
    /// Presynaptic values, [steps, batch, pre].
    pre: Tensor<3>,
    /// w by component, of the reached currents side by side, [steps · batch, reached · post].
    weights: Vec<Tensor<2>>,
    /// J, `[row][column]`, each [batch, post].
    jacobian: Vec<Vec<Option<Tensor<2>>>>,
}

impl FactoredTraces {
    /// Traces before the first step, of neurons whose steps have a linearisation such as this one.
    pub(crate) fn new(
        synapses: Synapses,
        linearization: &Linearization,
        options: TensorCreationOptions,
    ) -> Self {
        let components = linearization.components();
        let reaches = |current: &usize| (0..components).any(|hidden| linearization.reaches(hidden, *current));
        let reached: Vec<_> = (0..linearization.currents()).filter(reaches).collect();
        let vectors = vec![vec![None; reached.len()]; components];
        Self { synapses, components, reached, options, filtered_pre: None, vectors, chunks: Vec::new() }
    }

    /// Advances the traces by a chunk and returns its gradient Σ_t L e, [pre, currents · post]. Without `keep` they start
    /// from 0 again.
    ///
    /// # Panics
    ///
    /// If the chunk does not have the traces' sizes, or has no signal.
    #[track_caller]
    pub(crate) fn advance(&mut self, chunk: Chunk, keep: bool) -> Tensor<2> {
        let steps = chunk.check(self.synapses);
        let Chunk { linearization, pre, signal, .. } = chunk;
        let adjoint = Adjoint::new(linearization, 0.0, [steps, self.synapses.batch]);
        let pre = filter_pre(&mut self.filtered_pre, linearization, Presynaptic::join(&pre), keep);
        let pass = adjoint.run(Seed::Signal(signal.expect("a total derivative")));
        let inside = rows(&pre).transpose().matmul(pass.weights);

        let mut lambda = pass.lambda;
        let mut carried = None;
        for chunk in self.chunks.iter().rev() {
            carried = sum([carried, chunk.gradient(&lambda)]);
            lambda = chunk.back(&lambda);
        }
        carried = sum([carried, self.gradient_of_vectors(&lambda)]);

        if !keep {
            self.vectors.iter_mut().flatten().for_each(|vector| *vector = None);
            self.chunks.clear();
        } else if self.components > 0 {
            self.chunks.push(Factors::of(&adjoint, pre, &self.reached));
            if self.chunks.iter().map(Factors::steps).sum::<usize>() > MOST_FACTORED_STEPS {
                self.multiply_out();
            }
        }
        match carried {
            Some(carried) => inside + self.spread(carried),
            None => inside,
        }
    }

    /// Columns of the reached currents among those of all.
    fn spread(&self, gradient: Tensor<2>) -> Tensor<2> {
        let Synapses { pre, post, currents, .. } = self.synapses;
        let zeros = || Tensor::zeros([pre, post], (&gradient.device(), gradient.dtype()));
        let of_current = |current: usize| match self.reached.iter().position(|&reached| reached == current) {
            Some(place) => gradient.clone().narrow(1, place * post, post),
            None => zeros(),
        };
        Tensor::cat((0..currents).map(of_current).collect(), 1)
    }

    /// Σ_b λ ε of the traces that are written, [pre, reached · post].
    fn gradient_of_vectors(&self, lambda: &[Option<Tensor<2>>]) -> Option<Tensor<2>> {
        let Synapses { pre, post, .. } = self.synapses;
        let of_current = |current: usize| {
            let components = self.vectors.iter().zip(lambda);
            let products =
                components.map(|(of, lambda)| Some(scale_rows(of[current].as_ref()?, lambda.as_ref()?)));
            Some(sum(products)?.sum_dim(0).squeeze_dim::<2>(0).transpose())
        };
        let parts: Vec<_> = (0..self.reached.len()).map(of_current).collect();
        let some = parts.iter().flatten().next()?;
        let zeros = Tensor::zeros([pre, post], (&some.device(), some.dtype()));
        Some(Tensor::cat(parts.into_iter().map(|part| part.unwrap_or_else(|| zeros.clone())).collect(), 1))
    }

    /// Writes the traces as they are now.
    fn multiply_out(&mut self) {
        let Synapses { batch, post, .. } = self.synapses;
        let chunks = std::mem::take(&mut self.chunks);
        let steps: usize = chunks.iter().map(Factors::steps).sum();
        let pre = Tensor::cat(chunks.iter().map(|chunk| chunk.pre.clone()).collect(), 0);
        let pre = pre.swap_dims(0, 1); // [batch, steps, pre]
        let components = self.components;
        let component = |component: usize| {
            // What this component makes of all components at a chunk's end.
            let mut factors = vec![None; components];
            factors[component] = Some(Tensor::ones([batch, post], (&pre.device(), pre.dtype())));
            let mut weights = Vec::with_capacity(chunks.len());
            for chunk in chunks.iter().rev() {
                weights.push(chunk.weigh(&factors).unwrap_or_else(|| chunk.weights[0].zeros_like()));
                factors = chunk.back(&factors);
            }
            weights.reverse();
            let weights = Tensor::cat(weights, 0);
            let columns = weights.dims()[1];
            let weights = weights.reshape([steps, batch, columns]);
            let of_current = |current: usize| {
                let old = self.vectors.iter().zip(&factors);
                let old = old.map(|(of, factor)| Some(scale_rows(of[current].as_ref()?, factor.as_ref()?)));
                let added = weights.clone().narrow(2, current * post, post).permute([1, 2, 0]);
                sum(old.chain([Some(added.matmul(pre.clone()))]))
            };
            (0..columns / post).map(of_current).collect()
        };
        self.vectors = (0..components).map(component).collect();
    }
}

impl Factors {
    fn of(adjoint: &Adjoint, pre: Tensor<3>, reached: &[usize]) -> Self {
        let passes = (0..adjoint.linearization().components()).map(|hidden| {
            let pass = adjoint.run(Seed::Vector(hidden));
            let weights = reached.iter().map(|&current| pass.weights_of(current)).collect();
            (Tensor::cat(weights, 1), pass.lambda)
        });
        let (weights, jacobian) = passes.unzip();
        Self { pre, weights, jacobian }
    }

    fn steps(&self) -> usize {
        self.pre.dims()[0]
    }

    /// Σ over components of λ w, for λ [batch, post] at the chunk's end.
    fn weigh(&self, lambda: &[Option<Tensor<2>>]) -> Option<Tensor<2>> {
        sum(self.weights.iter().zip(lambda).map(|(weights, lambda)| {
            let lambda = lambda.clone()?;
            let reached = weights.dims()[1] / lambda.dims()[1];
            Some(weights.clone() * lambda.repeat_dim(1, reached).repeat_dim(0, self.steps()))
        }))
    }

    /// Σ_t Σ_b λ w ⊗ pre.
    fn gradient(&self, lambda: &[Option<Tensor<2>>]) -> Option<Tensor<2>> {
        Some(rows(&self.pre).transpose().matmul(self.weigh(lambda)?))
    }

    /// λ at the chunk's start, for λ at its end.
    fn back(&self, lambda: &[Option<Tensor<2>>]) -> Vec<Option<Tensor<2>>> {
        let column = |column: usize| {
            let rows = self.jacobian.iter().zip(lambda);
            sum(rows.map(|(row, lambda)| Some(row[column].clone()? * lambda.clone()?)))
        };
        (0..lambda.len()).map(column).collect()
    }
}

/// [steps · batch, pre]
fn rows(pre: &Tensor<3>) -> Tensor<2> {
    let [steps, batch, size] = pre.dims();
    pre.clone().reshape([steps * batch, size])
}

impl Carried for FactoredTraces {
    fn visit(&mut self, archive: &mut Archive) {
        let Synapses { batch, pre, post, .. } = self.synapses;
        let (components, columns) = (self.components, self.reached.len() * post);
        archive.constant("components", components as f64);
        archive.constant("reached", self.reached.len() as f64);
        archive.optional("filtered_pre", &mut self.filtered_pre, [batch, pre]);
        for (index, vector) in self.vectors.iter_mut().flatten().enumerate() {
            archive.optional(&format!("vectors.{index}"), vector, [batch, post, pre]);
        }
        let zeros = |steps: usize| Factors {
            pre: Tensor::zeros([steps, batch, pre], self.options.clone()),
            weights: vec![Tensor::zeros([steps * batch, columns], self.options.clone()); components],
            jacobian: vec![vec![None; components]; components],
        };
        archive.list(
            "chunks",
            &mut self.chunks,
            || zeros(1),
            |archive, name, chunk| {
                archive.part(name, |archive| {
                    let mut steps = chunk.steps() as f64;
                    archive.number("steps", &mut steps);
                    // A torn number must not allocate.
                    let steps = (steps as usize).clamp(1, MOST_FACTORED_STEPS);
                    if steps != chunk.steps() {
                        *chunk = zeros(steps);
                    }
                    archive.tensor("pre", &mut chunk.pre);
                    for (index, weights) in chunk.weights.iter_mut().enumerate() {
                        archive.tensor(&format!("weights.{index}"), weights);
                    }
                    for (index, factor) in chunk.jacobian.iter_mut().flatten().enumerate() {
                        archive.optional(&format!("jacobian.{index}"), factor, [batch, post]);
                    }
                });
            },
        );
    }
}
