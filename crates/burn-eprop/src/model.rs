//! What is trained: a network, or one for each direction of time.

use burn::module::{Module, ModuleDisplay};

use crate::batch::Batch;
use crate::cell::Cell;
use crate::estimator::{self, Estimate, Evaluation, GradientEstimator};
use crate::loss::Objective;
use crate::network::Network;

/// A model that any [`GradientEstimator`] trains: a [`Network`], or [`Bidirectional`](crate::bidirectional::Bidirectional).
pub trait RecurrentModel: Module + ModuleDisplay {
    /// The cell of its networks.
    type Cell: Cell;

    /// The networks of which it is made.
    fn networks(&self) -> Vec<&Network<Self::Cell>>;

    /// For each network the batch that it learns from when the model learns from this one.
    fn views(&self, batch: &Batch) -> Vec<Batch>;

    /// Loss, outputs and firing rates of a batch.
    ///
    /// # Panics
    ///
    /// As [`evaluate`](estimator::evaluate).
    #[track_caller]
    fn evaluate(&self, batch: &Batch, objective: &Objective) -> Evaluation;

    /// Loss and gradients of a batch of whole sequences.
    ///
    /// # Panics
    ///
    /// As the estimator.
    #[track_caller]
    fn estimate(&self, estimator: &mut impl GradientEstimator<Self::Cell>, batch: &Batch) -> Estimate;

    /// What the estimator does to the model after an optimizer has updated it.
    fn after_update(self, estimator: &impl GradientEstimator<Self::Cell>) -> Self;
}

impl<C: Cell> RecurrentModel for Network<C> {
    type Cell = C;

    fn networks(&self) -> Vec<&Self> {
        vec![self]
    }

    fn views(&self, batch: &Batch) -> Vec<Batch> {
        vec![batch.clone()]
    }

    #[track_caller]
    fn evaluate(&self, batch: &Batch, objective: &Objective) -> Evaluation {
        estimator::evaluate(self, batch, objective)
    }

    #[track_caller]
    fn estimate(&self, estimator: &mut impl GradientEstimator<C>, batch: &Batch) -> Estimate {
        estimator.estimate(self, batch)
    }

    fn after_update(self, estimator: &impl GradientEstimator<C>) -> Self {
        estimator.after_update(self)
    }
}
