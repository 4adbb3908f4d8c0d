//! Runs that diverge: values that are NaN, infinite or out of all proportion.

use anyhow::{Result, bail, ensure};
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;

use crate::table::Table;

/// What a person is told.
pub(crate) const DIVERGED: &str = "the run has diverged";

/// A loss of more than so many times that of the first iteration, or than so many where that was less than 1, has left all that is
/// learnt behind.
const GROWTH: f64 = 1e6;

/// Refuses a model with a parameter that is NaN or infinite.
///
/// # Errors
///
/// The first parameter that is.
pub(crate) fn ensure_finite<M: Module>(model: &M) -> Result<()> {
    let mut parameters = Parameters::default();
    model.visit(&mut parameters);
    match parameters.non_finite {
        Some(name) => bail!("the update made `{name}` NaN or infinite: {DIVERGED}"),
        None => Ok(()),
    }
}

/// Refuses a loss that is not finite or has grown out of all proportion to that of the first iteration.
///
/// # Errors
///
/// If it is such a loss.
pub(crate) fn ensure_bounded(loss: f64, metrics: &Table) -> Result<()> {
    let first = if metrics.is_empty() { loss } else { metrics.first("loss") };
    let limit = GROWTH * first.abs().max(1.0);
    ensure!(
        loss.is_finite() && loss.abs() <= limit,
        "the loss has become {loss:.1e}, from {first:.1e} in the first iteration: {DIVERGED}"
    );
    Ok(())
}

#[derive(Default)]
struct Parameters {
    path: Vec<String>,
    non_finite: Option<String>,
}

impl ModuleVisitor for Parameters {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let finite = |tensor: Tensor<D>| tensor.is_finite().all().into_scalar::<bool>();
        if self.non_finite.is_none() && !finite(param.val().without_autodiff()) {
            self.non_finite = Some(self.path.join("."));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::nn::LinearConfig;
    use burn::tensor::Device;

    #[test]
    fn a_parameter_that_is_not_finite_is_named() {
        let linear = LinearConfig::new(2, 3).init(&Device::flex());
        ensure_finite(&linear).unwrap();
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let mut linear = linear.clone();
            linear.weight = linear.weight.map(|weight| weight.slice_fill([1..2, 2..3], value));
            let error = ensure_finite(&linear).unwrap_err().to_string();
            assert!(error.contains("`weight`"), "{error}");
        }
    }

    #[test]
    fn a_loss_is_measured_by_that_of_the_first_iteration() {
        let mut metrics = Table::new(["iteration", "loss"]);
        ensure_bounded(1e30, &metrics).unwrap();
        assert!(ensure_bounded(f64::NAN, &metrics).is_err());
        metrics.push(vec![1.0, -500.0]);
        metrics.push(vec![2.0, 0.0]);
        ensure_bounded(4e8, &metrics).unwrap();
        for loss in [6e8, -6e8, f64::INFINITY] {
            assert!(ensure_bounded(loss, &metrics).unwrap_err().to_string().contains("diverged"), "{loss}");
        }
        let mut small = Table::new(["iteration", "loss"]);
        small.push(vec![1.0, 0.01]);
        ensure_bounded(9e5, &small).unwrap();
        assert!(ensure_bounded(2e6, &small).is_err());
    }
}
