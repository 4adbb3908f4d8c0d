//! A chunk of steps, as the engine sees it.

use burn::tensor::Tensor;

use super::Synapses;
use crate::cell::Linearization;

/// A chunk of K steps of a population, as the engine sees it.
#[derive(Debug, Clone)]
pub struct Chunk<'a> {
    /// The coefficients, K·batch rows.
    pub linearization: &'a Linearization,
    /// Presynaptic values, side by side.
    pub pre: Vec<Presynaptic>,
    /// L, the learning signal of each neuron (times the readout's factor), [steps, batch, post]; `None` where it is 0
    /// throughout.
    pub signal: Option<Tensor<3>>,
    /// By how much each step counts in [`SummedTraces`](super::SummedTraces), for all neurons, [steps, batch, 1], or for each, [steps, batch, post];
    /// `None` for 1.
    pub summed_by: Option<Tensor<3>>,
}

/// A part of the presynaptic values of a chunk.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "there are two or three for each layer")]
pub enum Presynaptic {
    /// These values, [steps, batch, part of pre].
    AtOnce(Tensor<3>),
    /// These values one step later.
    Delayed {
        /// The values, [steps, batch, part of pre]; the last step's reach the next chunk.
        values: Tensor<3>,
        /// Those of the step before the chunk, [batch, part of pre].
        before: Tensor<2>,
    },
}

impl Presynaptic {
    /// The values at the steps that they reach, [steps, batch, part of pre].
    pub fn values(&self) -> Tensor<3> {
        match self {
            Self::AtOnce(values) => values.clone(),
            Self::Delayed { values, before } => {
                let mut parts = vec![before.clone().unsqueeze_dim(0)];
                let steps = values.dims()[0];
                if steps > 1 {
                    parts.push(values.clone().narrow(0, 0, steps - 1));
                }
                Tensor::cat(parts, 0)
            }
        }
    }

    /// Several parts side by side, [steps, batch, pre].
    pub fn join(parts: &[Self]) -> Tensor<3> {
        Tensor::cat(parts.iter().map(Self::values).collect(), 2)
    }

    pub(super) fn as_tensor(&self) -> &Tensor<3> {
        let (Self::AtOnce(values) | Self::Delayed { values, .. }) = self;
        values
    }

    fn dims(&self) -> [usize; 3] {
        self.as_tensor().dims()
    }
}

impl Chunk<'_> {
    /// The number of steps.
    ///
    /// # Panics
    ///
    /// If the chunk does not have the sizes of `synapses`.
    #[track_caller]
    pub(super) fn check(&self, synapses: Synapses) -> usize {
        let Synapses { batch, pre: of_pre, post, currents } = synapses;
        let steps = self.pre.first().map_or(0, |part| part.dims()[0]);
        if let Some(signal) = &self.signal {
            let (given, expected) = (signal.dims(), [steps, batch, post]);
            assert_eq!(given, expected, "signal {given:?} for traces of {expected:?}");
        }
        let dims: Vec<_> = self.pre.iter().map(Presynaptic::dims).collect();
        let width: usize = dims.iter().map(|[.., width]| width).sum();
        let before_fits = |part: &Presynaptic| match part {
            Presynaptic::AtOnce(_) => true,
            Presynaptic::Delayed { values, before } => before.dims() == [batch, values.dims()[2]],
        };
        let fits = width == of_pre
            && dims.iter().all(|dims| dims[..2] == [steps, batch])
            && self.pre.iter().all(before_fits);
        assert!(fits, "presynaptic values {dims:?} for traces of {:?}", [steps, batch, of_pre]);
        let found = self.linearization.currents();
        assert_eq!(found, currents, "a linearization of {found} currents for traces of {currents}");
        check_rows(self.linearization, [steps * batch, post]);
        if let Some(summed_by) = &self.summed_by {
            let (given, expected) = (summed_by.dims(), [[steps, batch, 1], [steps, batch, post]]);
            assert!(expected.contains(&given), "weights of a sum {given:?} where {expected:?} are possible");
        }
        steps
    }
}

/// # Panics
///
/// If a coefficient does not have these rows and columns, or there is none.
#[track_caller]
fn check_rows(linearization: &Linearization, expected: [usize; 2]) {
    let Linearization { a, b, c, d, .. } = linearization;
    let matrices = a.iter().chain(b).flatten();
    let mut coefficients = matrices.chain(c).chain(d).flatten().peekable();
    assert!(coefficients.peek().is_some(), "a current must reach the output or a hidden value");
    for coefficient in coefficients {
        let given = coefficient.dims();
        assert_eq!(
            given, expected,
            "a coefficient {given:?} of a chunk with [steps · batch, post] {expected:?}"
        );
    }
}
