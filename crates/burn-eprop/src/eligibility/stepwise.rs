//! Eligibility traces by their definition, one step at a time.

use burn::tensor::Tensor;

use crate::cell::Linearization;

/// The eligibility traces e of every step, by current, each [steps, batch, post, pre].
///
/// This is the definition, without chunks and without regard to memory: a reference for tests and
/// for plots of a few synapses. `linearization` has steps · batch rows, `pre` is
/// [steps, batch, pre]; the traces start at 0.
///
/// # Panics
///
/// If the rows of the linearisation are not steps · batch.
#[track_caller]
pub fn stepwise_traces(linearization: &Linearization, pre: Tensor<3>) -> Vec<Tensor<4>> {
    StepwiseTraces::default().advance(linearization, pre)
}

/// The [traces by their definition](stepwise_traces) of sequences that are gone through in pieces.
#[derive(Debug, Clone, Default)]
pub(crate) struct StepwiseTraces {
    /// ε by current and component.
    vectors: Vec<Vec<Option<Tensor<3>>>>,
    /// The filtered presynaptic value, where a hidden value is folded into it.
    filtered: Option<Tensor<3>>,
}

impl StepwiseTraces {
    /// e of the next steps, by current, each [steps, batch, post, pre].
    pub(crate) fn advance(&mut self, linearization: &Linearization, pre: Tensor<3>) -> Vec<Tensor<4>> {
        let [steps, batch, pre_size] = pre.dims();
        let coefficient = |coefficient: &Option<Tensor<2>>, step: usize| {
            let coefficient = coefficient.as_ref()?;
            let [rows, post] = coefficient.dims();
            assert_eq!(rows, steps * batch, "{rows} rows of a linearization of {steps} steps, batch {batch}");
            Some(coefficient.clone().narrow(0, step * batch, batch).reshape([batch, post, 1]))
        };
        let components = linearization.components();
        let mut traces = vec![Vec::with_capacity(steps); linearization.currents()];
        self.vectors.resize(traces.len(), vec![None; components]);
        for step in 0..steps {
            let mut pre = pre.clone().narrow(0, step, 1).reshape([batch, 1, pre_size]);
            if let Some(decay) = linearization.pre_decay() {
                if let Some(last) = self.filtered.take() {
                    pre = pre + last.mul_scalar(decay);
                }
                self.filtered = Some(pre.clone());
            }
            let times = |factor: &Option<Tensor<2>>, value: Option<&Tensor<3>>| {
                Some(coefficient(factor, step)? * value?.clone())
            };
            for (current, vector) in self.vectors.iter_mut().enumerate() {
                // e^t = C^t·ε^{t−1} + D^t pre^t
                let through_hidden =
                    linearization.c.iter().zip(vector.iter()).map(|(c, vector)| times(c, vector.as_ref()));
                let direct = times(&linearization.d[current], Some(&pre));
                let trace = through_hidden.chain([direct]).flatten().reduce(|sum, part| sum + part);
                traces[current].push(trace);
                // ε^t = A^t ε^{t−1} + B^t pre^t
                *vector = (0..components)
                    .map(|row| {
                        let through_hidden = linearization.a[row]
                            .iter()
                            .zip(vector.iter())
                            .map(|(a, vector)| times(a, vector.as_ref()));
                        let direct = times(&linearization.b[row][current], Some(&pre));
                        through_hidden.chain([direct]).flatten().reduce(|sum, part| sum + part)
                    })
                    .collect();
            }
        }
        let some = traces.iter().flatten().flatten().next();
        let zeros = some.expect("a current must reach the output").zeros_like();
        let stack = |of_current: Vec<Option<Tensor<3>>>| {
            Tensor::stack(
                of_current.into_iter().map(|trace| trace.unwrap_or_else(|| zeros.clone())).collect(),
                0,
            )
        };
        traces.into_iter().map(stack).collect()
    }
}
