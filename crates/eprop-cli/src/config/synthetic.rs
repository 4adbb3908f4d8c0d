//! The synthetic gradient behind windows.

use anyhow::{Context, Result, bail, ensure};
use burn_eprop::estimator::BoundaryLearning;
use burn_eprop::synthetic_gradient::SyntheticGradientConfig;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::{MAX_SIZE, Schedule};
use crate::method::MethodName;

/// What stands for the gradient behind a window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SyntheticName {
    /// Nothing.
    #[default]
    None,
    /// A module that is linear in the state.
    Linear,
    /// One with a hidden layer.
    Mlp,
    /// A linear one that learns by BP(λ).
    BpLambda,
}

/// The synthetic gradient and how it learns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SyntheticSettings {
    /// Which.
    pub kind: SyntheticName,
    /// Units of the hidden layer of `mlp`.
    pub hidden: usize,
    /// λ of `bp-lambda`.
    pub lambda: f64,
    /// γ.
    pub discount: f64,
    /// Learning rate of the module, at first.
    pub lr: f64,
}

impl Default for SyntheticSettings {
    fn default() -> Self {
        Self { kind: SyntheticName::None, hidden: 128, lambda: 0.9, discount: 1.0, lr: 3e-4 }
    }
}

impl SyntheticSettings {
    /// The module; `None` for none.
    pub fn module(&self, seed: u64) -> Option<SyntheticGradientConfig> {
        let config = SyntheticGradientConfig::new().with_seed(seed);
        match self.kind {
            SyntheticName::None => None,
            SyntheticName::Linear | SyntheticName::BpLambda => Some(config),
            SyntheticName::Mlp => Some(config.with_hidden(vec![self.hidden])),
        }
    }

    /// How it learns.
    pub fn learning(&self) -> BoundaryLearning {
        let lambda = if self.kind == SyntheticName::BpLambda { self.lambda } else { 0.0 };
        BoundaryLearning { lambda, discount: self.discount }
    }

    pub(super) fn validate(&self, method: MethodName, schedule: Schedule) -> Result<()> {
        let kind =
            || self.kind.to_possible_value().map(|kind| kind.get_name().to_owned()).unwrap_or_default();
        match (method, self.kind) {
            (MethodName::TruncatedBpttSg, SyntheticName::None) => {
                bail!("truncated-bptt-sg needs a synthetic gradient; without one, it is truncated-bptt")
            }
            (MethodName::Eprop3 | MethodName::TruncatedBpttSg, _) | (_, SyntheticName::None) => {}
            (MethodName::TruncatedBptt, _) => {
                bail!("truncated-bptt has no synthetic gradient, so not {}; use truncated-bptt-sg", kind())
            }
            _ => bail!("synthetic gradients ({}) are for eprop3 and truncated-bptt-sg", kind()),
        }
        let in_range = (1..=MAX_SIZE).contains(&self.hidden);
        ensure!(in_range, "synthetic.hidden is {}, but must be 1 to {MAX_SIZE}", self.hidden);
        let valid = self.lr.is_finite() && self.lr > 0.0;
        ensure!(valid, "synthetic.lr is {}, but must be finite and greater than 0", self.lr);
        ensure!(
            schedule != Schedule::Cosine || self.lr <= 1.0,
            "synthetic.lr is {}, but must be at most 1 with the cosine schedule",
            self.lr
        );
        let learning = BoundaryLearning { lambda: self.lambda, discount: self.discount };
        learning.validate().context("[synthetic]")
    }
}
