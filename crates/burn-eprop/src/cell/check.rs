//! A check of hand-derived linearisations.

use burn::tensor::{Tensor, TensorCreationOptions, TensorData};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rand_distr::{Distribution, StandardNormal};

use super::{Cell, CellState, Folded, Linearization, Transition, linearize_by_autodiff};
use crate::eligibility::stepwise_traces;
use crate::init::float_options;

const BATCH: usize = 3;
const STEPS: usize = 40;
const PRE: usize = 2;

/// What [`check_cell`] can find.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LinearizationError {
    /// A state or a linearisation does not have the cell's `HIDDEN` or `CURRENTS`.
    #[error("{what}: {found}, where {expected} are expected")]
    Sizes {
        /// What was counted.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many the cell's constants announce.
        expected: usize,
    },
    /// No trace differed from 0, so nothing was checked.
    #[error("no eligibility trace differed from 0: raise the scale of the currents")]
    Silent,
    /// The gain of the folded hidden value is not what a current adds to it.
    #[error(
        "the gain of the folded hidden value differs by {error:.3e} (relative to the largest) from what a current adds \
         to it, more than {tolerance:.1e}"
    )]
    Gain {
        /// max |difference| / max |reference|.
        error: f64,
        /// What was allowed.
        tolerance: f64,
    },
    /// The cell's linearisation and that of its step give different eligibility traces.
    #[error(
        "eligibility traces of current {current} differ by {error:.3e} (relative to the largest), \
         more than {tolerance:.1e}"
    )]
    Mismatch {
        /// Index of the current whose traces differ most.
        current: usize,
        /// max |difference| / max |reference|.
        error: f64,
        /// What was allowed.
        tolerance: f64,
    },
}

/// Holds a cell's [`linearize`](Cell::linearize) against autodiff of its [`step`](Cell::step).
///
/// The cell is driven for 40 steps by currents drawn from N(0, `current_scale`²); the
/// eligibility traces that follow from the two linearisations for random presynaptic values are
/// compared, and so is what a current adds to a folded hidden value. Returns the largest relative difference of the traces.
///
/// In float64 (`(&device, DType::F64)`) a correct closed form agrees to about 1e-14.
///
/// # Errors
///
/// [`LinearizationError::Mismatch`] and [`LinearizationError::Gain`] above `tolerance`; [`LinearizationError::Silent`] where all
/// traces are 0; [`LinearizationError::Sizes`] where a state or the linearisation is not as the cell's constants say.
pub fn check_cell<C: Cell>(
    cell: &C,
    options: impl Into<TensorCreationOptions>,
    current_scale: f64,
    tolerance: f64,
) -> Result<f64, LinearizationError> {
    let options = float_options(&options.into());
    let mut rng = StdRng::seed_from_u64(0);
    let transition = simulate(cell, current_scale, &mut rng, &options)?;
    let linearization = cell.linearize(&transition);
    check_sizes::<C>(&linearization, cell.neurons())?;
    let pre = normal([STEPS, BATCH, PRE], 1.0, &mut rng, &options);

    let traces = stepwise_traces(&linearization, pre.clone());
    let by_autodiff = linearize_by_autodiff(cell, &transition);
    if let Some(Folded { gain, .. }) = &linearization.folded {
        let reference = by_autodiff.b[0][0].clone().unwrap_or_else(|| transition.currents[0].zeros_like());
        let error = largest(&(reference.clone() - gain.clone().unsqueeze())) / largest(&reference);
        if error.is_nan() || error > tolerance {
            return Err(LinearizationError::Gain { error, tolerance });
        }
    }
    let reference = stepwise_traces(&by_autodiff, pre);
    let scale = reference.iter().map(largest).fold(0.0, f64::max);
    if scale == 0.0 {
        return Err(LinearizationError::Silent);
    }
    let errors = traces.iter().zip(&reference);
    let errors = errors.map(|(trace, reference)| largest(&(trace.clone() - reference.clone())) / scale);
    // A NaN must count as an error, and `max` would drop it.
    let (current, error) =
        errors.enumerate().fold(
            (0, 0.0),
            |worst: (usize, f64), next| {
                if next.1 > worst.1 || next.1.is_nan() { next } else { worst }
            },
        );
    if error <= tolerance {
        return Ok(error);
    }
    Err(LinearizationError::Mismatch { current, error, tolerance })
}

/// A trajectory of the cell under random currents, as rows of one transition.
fn simulate<C: Cell>(
    cell: &C,
    current_scale: f64,
    rng: &mut StdRng,
    options: &TensorCreationOptions,
) -> Result<Transition, LinearizationError> {
    let shape = [BATCH, cell.neurons()];
    let mut states = vec![cell.initial_state(BATCH, options)];
    check_state::<C>(&states[0])?;
    let mut currents = Vec::with_capacity(STEPS);
    for step in 0..STEPS {
        let at_step: Vec<_> = (0..C::CURRENTS).map(|_| normal(shape, current_scale, rng, options)).collect();
        let state = cell.step(&states[step], &at_step);
        check_state::<C>(&state)?;
        states.push(state);
        currents.push(at_step);
    }
    Ok(Transition::between(&states, &currents))
}

fn check_state<C: Cell>(state: &CellState) -> Result<(), LinearizationError> {
    check_size("hidden values of a state", state.hidden.len(), C::HIDDEN)?;
    check_size("carried values of a state", state.carried.len(), C::CARRIED)
}

fn check_sizes<C: Cell>(linearization: &Linearization, neurons: usize) -> Result<(), LinearizationError> {
    let Linearization { folded, a, b, c, d } = linearization;
    if let Some(Folded { gain, .. }) = folded {
        check_size("hidden values of a cell that folds one: at least", C::HIDDEN.min(1), 1)?;
        check_size("gains of a folded hidden value", gain.dims()[0], neurons)?;
        check_size("currents of a cell that folds a hidden value", C::CURRENTS, 1)?;
    }
    let components = C::HIDDEN - usize::from(folded.is_some());
    check_size("rows of A", a.len(), components)?;
    check_size("rows of B", b.len(), components)?;
    check_size("components of C", c.len(), components)?;
    check_size("currents of D", d.len(), C::CURRENTS)?;
    a.iter().try_for_each(|row| check_size("columns of A", row.len(), components))?;
    b.iter().try_for_each(|row| check_size("currents of B", row.len(), C::CURRENTS))
}

fn check_size(what: &'static str, found: usize, expected: usize) -> Result<(), LinearizationError> {
    if found == expected {
        return Ok(());
    }
    Err(LinearizationError::Sizes { what, found, expected })
}

fn normal<const D: usize>(
    shape: [usize; D],
    scale: f64,
    rng: &mut impl Rng,
    options: &TensorCreationOptions,
) -> Tensor<D> {
    let values = (0..shape.iter().product()).map(|_| {
        let normal: f64 = StandardNormal.sample(rng);
        scale * normal
    });
    let values: Vec<f64> = values.collect();
    Tensor::from_data(TensorData::new(values, shape), options.clone())
}

fn largest<const D: usize>(tensor: &Tensor<D>) -> f64 {
    let values = tensor.to_data().convert::<f64>();
    let values = values.as_slice::<f64>().expect("converted to f64");
    // A NaN must reach the caller.
    values.iter().fold(0.0, |largest: f64, value| match value.is_nan() {
        true => f64::NAN,
        false => largest.max(value.abs()),
    })
}
