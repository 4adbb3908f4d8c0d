//! The neuron-local linearisation of a cell.

use burn::tensor::Tensor;

use super::{Cell, CellState, Transition};
use crate::steps::sum;

/// The derivatives of a cell's step, from which all eligibility traces follow.
///
/// With `pre_i` the presynaptic value of synapse i → j, its eligibility vector ε (one component
/// for each hidden value) and its eligibility trace e are, for the weight into current g,
///
/// `ε_g^t = A^t ε_g^{t−1} + B_g^t pre_i^t`, `e_g^t = C^t·ε_g^{t−1} + D_g^t pre_i^t`
///
/// (Bellec et al. 2019, arXiv:1901.09049, eqs. 3 and 4, with the step written as a linear state-space
/// model). Every coefficient is one value per row and neuron, [rows, neurons]; `None` is 0.
///
/// Where the first hidden value decays by one constant α that all neurons share, its component of ε is
/// the same for all neurons: the presynaptic value filtered by α. [`folded`](Self::folded)
/// then holds α, `pre` in the equations above is `pre̅^t = α pre̅^{t−1} + pre^t`, and the component is
/// left out of ε.
#[derive(Debug, Clone)]
// ANCHOR: linearization
pub struct Linearization {
    /// The hidden value that is folded into the presynaptic filter, where one is.
    pub folded: Option<Folded>,
    /// A = ∂h^t/∂h^{t−1}: `a[row][column]`.
    pub a: Vec<Vec<Option<Tensor<2>>>>,
    /// B = ∂h^t/∂I^t: `b[hidden][current]`.
    pub b: Vec<Vec<Option<Tensor<2>>>>,
    /// C = ∂z^t/∂h^{t−1}: `c[hidden]`.
    pub c: Vec<Option<Tensor<2>>>,
    /// D = ∂z^t/∂I^t: `d[current]`.
    pub d: Vec<Option<Tensor<2>>>,
}
// ANCHOR_END: linearization

/// A hidden value `h^t = α h^{t−1} + ζ I^t + …` of a cell with one current, through which alone the current acts: the first
/// of the cell's hidden values.
#[derive(Debug, Clone)]
pub struct Folded {
    /// α.
    pub decay: f64,
    /// ζ, `[neurons]`.
    pub gain: Tensor<1>,
}

impl Linearization {
    /// α of the presynaptic filter, where a hidden value is folded into it.
    pub fn pre_decay(&self) -> Option<f64> {
        self.folded.as_ref().map(|folded| folded.decay)
    }

    /// Number of components of ε.
    pub fn components(&self) -> usize {
        self.c.len()
    }

    /// Number of currents.
    pub fn currents(&self) -> usize {
        self.d.len()
    }

    /// The same with the first hidden value, times a factor [rows, neurons], in place of the output. Where the factor is 0, so are C and D.
    pub(crate) fn of_first_hidden(&self, factor: &Tensor<2>) -> Self {
        match &self.folded {
            Some(Folded { gain, .. }) => {
                let direct = factor.clone() * gain.clone().unsqueeze();
                let folded = self.folded.clone();
                Self { folded, a: Vec::new(), b: Vec::new(), c: Vec::new(), d: vec![Some(direct)] }
            }
            None => {
                let scaled = |row: &[Option<Tensor<2>>]| {
                    row.iter().map(|coefficient| Some(coefficient.clone()? * factor.clone())).collect()
                };
                Self { c: scaled(&self.a[0]), d: scaled(&self.b[0]), ..self.clone() }
            }
        }
    }

    /// One of the coefficients.
    pub(crate) fn some(&self) -> &Tensor<2> {
        let direct = self.d.iter().flatten().next();
        let some = direct.or_else(|| self.b.iter().flatten().flatten().next());
        some.expect("a current must reach the output or a hidden value")
    }

    /// Those of successive steps as one, in the order of time.
    pub(crate) fn cat(steps: &[Self]) -> Self {
        let [first, _, ..] = steps else { return steps[0].clone() };
        let cat = |of: &dyn Fn(&Self) -> Option<Tensor<2>>| {
            let rows: Option<Vec<_>> = steps.iter().map(of).collect();
            rows.map(|rows| Tensor::cat(rows, 0))
        };
        let (components, currents) = (0..first.components(), 0..first.currents());
        let matrix = |rows: &[Vec<Option<Tensor<2>>>], part: fn(&Self) -> &[Vec<Option<Tensor<2>>>]| {
            let row = |row: usize| {
                let columns = 0..rows[row].len();
                columns.map(|column| cat(&|step| part(step)[row][column].clone())).collect()
            };
            (0..rows.len()).map(row).collect()
        };
        Self {
            folded: first.folded.clone(),
            a: matrix(&first.a, |step| &step.a),
            b: matrix(&first.b, |step| &step.b),
            c: components.map(|row| cat(&|step| step.c[row].clone())).collect(),
            d: currents.map(|current| cat(&|step| step.d[current].clone())).collect(),
        }
    }

    /// A range of rows.
    pub(crate) fn rows(&self, start: usize, length: usize) -> Self {
        self.map(|coefficient| coefficient.narrow(0, start, length))
    }

    /// One neuron in one of `batch` sequences, [steps, 1].
    pub(crate) fn of_neuron(&self, neuron: usize, sequence: usize, batch: usize) -> Self {
        let column = |coefficient: Tensor<2>| {
            let [rows, neurons] = coefficient.dims();
            let coefficient = coefficient.reshape([rows / batch, batch, neurons]);
            coefficient.narrow(1, sequence, 1).narrow(2, neuron, 1).reshape([-1, 1])
        };
        let folded = self.folded.as_ref();
        let folded = folded
            .map(|Folded { decay, gain }| Folded { decay: *decay, gain: gain.clone().narrow(0, neuron, 1) });
        Self { folded, ..self.map(column) }
    }

    fn map(&self, change: impl Fn(Tensor<2>) -> Tensor<2>) -> Self {
        let all = |row: &[Option<Tensor<2>>]| row.iter().map(|value| value.clone().map(&change)).collect();
        let matrix = |rows: &[Vec<Option<Tensor<2>>>]| rows.iter().map(|row| all(row)).collect();
        Self {
            folded: self.folded.clone(),
            a: matrix(&self.a),
            b: matrix(&self.b),
            c: all(&self.c),
            d: all(&self.d),
        }
    }

    /// ∂h^K/∂h^0 and ∂z^K/∂h^0 of each neuron by itself, through a chunk of a batch of this size.
    pub(crate) fn local_jacobian(&self, batch: usize) -> LocalJacobian {
        let rows = self.d.iter().chain(&self.c).flatten().next().map_or(0, |rows| rows.dims()[0]);
        let steps: Vec<_> =
            (0..rows).step_by(batch).map(|start| self.rows(start, batch).unfolded()).collect();
        let (last, before) = steps.split_last().expect("a chunk has at least one step");
        let before = before.iter().map(|step| step.a.clone()).reduce(|product, a| multiply(&a, &product));
        let times_before = |matrices: &Matrices| match &before {
            Some(before) => multiply(matrices, before),
            None => matrices.clone(),
        };
        LocalJacobian { hidden: times_before(&last.a), output: times_before(&vec![last.c.clone()]).remove(0) }
    }

    /// The same with all hidden values in A and C, as rows of one step.
    fn unfolded(&self) -> Self {
        let Some(Folded { decay, gain }) = &self.folded else { return self.clone() };
        let by_value = |coefficient: &Option<Tensor<2>>| {
            let by_value = coefficient.clone()?.mul_scalar(*decay);
            Some(by_value / gain.clone().unsqueeze())
        };
        let direct = self.d[0].as_ref().map(|d| d.full_like(*decay));
        let first = [direct].into_iter().chain(vec![None; self.components()]).collect();
        let rest =
            self.b.iter().zip(&self.a).map(|(b, a)| [by_value(&b[0])].into_iter().chain(a.clone()).collect());
        Self {
            folded: None,
            a: [first].into_iter().chain(rest).collect(),
            b: Vec::new(),
            c: [by_value(&self.d[0])].into_iter().chain(self.c.clone()).collect(),
            d: Vec::new(),
        }
    }

    /// Whether component `hidden` of ε of current `current` can differ from 0.
    pub(crate) fn reaches(&self, hidden: usize, current: usize) -> bool {
        let mut reached = vec![false; self.components()];
        for (flag, row) in reached.iter_mut().zip(&self.b) {
            *flag = row[current].is_some();
        }
        // h is reached from I directly, or through other components: at most d − 1 of them.
        for _ in 1..self.components() {
            for row in 0..self.components() {
                let through =
                    (0..self.components()).any(|column| reached[column] && self.a[row][column].is_some());
                reached[row] |= through;
            }
        }
        reached[hidden]
    }
}

/// What a chunk of steps does to the hidden values of each neuron, other neurons left aside; each [batch, neurons], `None` is 0.
#[derive(Debug, Clone)]
pub(crate) struct LocalJacobian {
    /// ∂h^K/∂h^0: `hidden[row][column]`.
    pub(crate) hidden: Vec<Vec<Option<Tensor<2>>>>,
    /// ∂z^K/∂h^0: `output[column]`.
    pub(crate) output: Vec<Option<Tensor<2>>>,
}

impl LocalJacobian {
    /// That of neurons with so many hidden values that forget all.
    pub(crate) fn zero(hidden: usize) -> Self {
        Self { hidden: vec![vec![None; hidden]; hidden], output: vec![None; hidden] }
    }
}

/// A matrix for each row and neuron.
type Matrices = Vec<Vec<Option<Tensor<2>>>>;

fn multiply(left: &Matrices, right: &Matrices) -> Matrices {
    let entry = |row: &[Option<Tensor<2>>], column: usize| {
        sum(row.iter().zip(right).map(|(left, right)| Some(left.clone()? * right[column].clone()?)))
    };
    left.iter().map(|row| (0..right[0].len()).map(|column| entry(row, column)).collect()).collect()
}

/// The linearisation of any cell, by Burn's autodiff of its step.
///
/// The step is local to a neuron and to a row, so the gradient of the sum of one of its results
/// is the diagonal of a Jacobian; d + 1 forward and backward passes of one step of all rows give
/// A, B, C and D.
///
/// # Panics
///
/// If the step does not return the cell's number of hidden values.
#[track_caller]
pub fn linearize_by_autodiff<C: Cell>(cell: &C, transition: &Transition) -> Linearization {
    // The graph must hold nothing but the step, whatever graph the caller works in.
    let cell = cell.valid().train();
    let before = transition.before.map(|tensor| tensor.clone().without_autodiff());
    let currents: Vec<_> =
        transition.currents.iter().map(|current| current.clone().without_autodiff()).collect();

    let mut rows = (0..=C::HIDDEN).map(|result| {
        let state = before.map(|tensor| tensor.clone().autodiff());
        let state =
            CellState { hidden: state.hidden.into_iter().map(Tensor::require_grad).collect(), ..state };
        let currents: Vec<_> =
            currents.iter().map(|current| current.clone().autodiff().require_grad()).collect();
        let after = cell.step(&state, &currents);
        let (found, expected) = (after.hidden.len(), C::HIDDEN);
        assert_eq!(found, expected, "a step to {found} hidden values of a cell with {expected}");
        let result = if result < C::HIDDEN { &after.hidden[result] } else { &after.output };
        let gradients = result.clone().sum().backward();
        let gradient = |leaf: &Tensor<2>| leaf.grad(&gradients);
        (
            state.hidden.iter().map(gradient).collect::<Vec<_>>(),
            currents.iter().map(gradient).collect::<Vec<_>>(),
        )
    });
    let (a, b) = rows.by_ref().take(C::HIDDEN).unzip();
    let (c, d) = rows.next().expect("the last result is the output");
    Linearization { folded: None, a, b, c, d }
}
