//! The neuron-local linearisation of a cell.

use burn::tensor::Tensor;

use super::{Cell, CellState, Transition};

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
/// Where a hidden value decays by one constant α that all neurons share, its component of ε is
/// the same for all neurons: the presynaptic value filtered by α. [`pre_decay`](Self::pre_decay)
/// then holds α, `pre` in the equations above is `pre̅^t = α pre̅^{t−1} + pre^t`, and the component is
/// left out of ε.
#[derive(Debug, Clone)]
pub struct Linearization {
    /// α of the presynaptic filter, where one is folded.
    pub pre_decay: Option<f64>,
    /// A = ∂h^t/∂h^{t−1}: `a[row][column]`.
    pub a: Vec<Vec<Option<Tensor<2>>>>,
    /// B = ∂h^t/∂I^t: `b[hidden][current]`.
    pub b: Vec<Vec<Option<Tensor<2>>>>,
    /// C = ∂z^t/∂h^{t−1}: `c[hidden]`.
    pub c: Vec<Option<Tensor<2>>>,
    /// D = ∂z^t/∂I^t: `d[current]`.
    pub d: Vec<Option<Tensor<2>>>,
}

impl Linearization {
    /// Number of components of ε.
    pub fn components(&self) -> usize {
        self.c.len()
    }

    /// Number of currents.
    pub fn currents(&self) -> usize {
        self.d.len()
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

/// The linearisation of any cell, by Burn's autodiff of its step.
///
/// The step is local to a neuron and to a row, so the gradient of the sum of one of its results
/// is the diagonal of a Jacobian; d + 1 forward and backward passes of one step of all rows give
/// A, B, C and D.
///
/// # Panics
///
/// If the step does not return the cell's number of hidden values.
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
    Linearization { pre_decay: None, a, b, c, d }
}
