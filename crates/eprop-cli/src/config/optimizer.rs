//! The optimizer, and the learning rate's course.

use anyhow::{Result, anyhow};
use burn::grad_clipping::GradientClippingConfig;
use burn::lr_scheduler::LrSchedulerConfig;
use burn::lr_scheduler::cosine::CosineAnnealingLrSchedulerConfig;
use burn::lr_scheduler::module_lr_scheduler::{ModuleLrScheduler, ModuleLrSchedulerConfig};
use burn::module::ParamGroup;
use burn::optim::{AdamConfig, ModuleOptimizer, SgdConfig};
use burn_eprop::RecurrentModel;
use serde::{Deserialize, Serialize};

use super::RunConfig;

/// An optimizer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OptimizerName {
    /// Plain gradient descent.
    Sgd,
    /// Adam with its usual constants.
    Adam,
}

/// How the learning rate changes over the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// Not at all.
    Constant,
    /// Down to 0 along a cosine.
    Cosine,
}

impl RunConfig {
    /// The optimizer before the first step.
    pub(crate) fn optimizer(&self) -> ModuleOptimizer {
        let clipping = self.clip_norm.map(|norm| GradientClippingConfig::Norm(norm as f32));
        match self.optimizer {
            OptimizerName::Sgd => SgdConfig::new().with_gradient_clipping(clipping).init(),
            OptimizerName::Adam => AdamConfig::new().with_grad_clipping(clipping).init(),
        }
    }

    /// The learning rate of a model, and that of its synthetic gradients.
    pub(crate) fn scheduler(&self, model: &impl RecurrentModel) -> Result<ModuleLrScheduler> {
        let scheduler = |lr: f64| match self.schedule {
            Schedule::Constant => LrSchedulerConfig::Constant(lr),
            Schedule::Cosine => CosineAnnealingLrSchedulerConfig::new(lr, self.iterations).into(),
        };
        let mut config = ModuleLrSchedulerConfig::new(scheduler(self.lr));
        for network in model.networks() {
            if let Some(module) = &network.synthetic_gradient {
                let group = ParamGroup::ids_from_module(module.clone());
                config = config.with_group(group, scheduler(self.synthetic.lr));
            }
        }
        config.init().map_err(|reason| anyhow!("lr is {}: {reason}", self.lr))
    }
}
