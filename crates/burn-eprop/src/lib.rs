//! Train recurrent and spiking networks without back-propagation through time.
//!
//! burn-eprop implements e-prop (Bellec et al. 2019, [arXiv:1901.09049](https://arxiv.org/abs/1901.09049))
//! for [Burn](https://burn.dev): eligibility traces that run forward in time, multiplied by a learning signal, in place of
//! a backward pass.
//!
//! A task gives a [`Batch`]: inputs, targets, and which steps count. A [`Network`] of [cells](cell) under a [readout] is a Burn module like any other. An
//! [estimator] goes through a batch and returns gradients as Burn's `GradientsParams`, which any of Burn's optimizers applies; the
//! [`OptimizerHook`] does both in one call, where `loss.backward()` and `optimizer.step()` stood:
//!
//! ```
//! use burn::optim::AdamConfig;
//! use burn::tensor::{Device, Tensor};
//! use burn_eprop::cell::LifConfig;
//! use burn_eprop::estimator::Eprop;
//! use burn_eprop::signal::Symmetric;
//! use burn_eprop::{Batch, Loss, NetworkConfig, Objective, OptimizerHook};
//!
//! let device = Device::flex().autodiff();
//! let mut network = NetworkConfig::new(3, 1).init(vec![LifConfig::new(20).init(&device)], &device);
//! let eprop = Eprop::new(Objective::mean(Loss::MeanSquaredError), Symmetric); // or Bptt::new(…)
//! let mut hook = OptimizerHook::new(AdamConfig::new().init(), eprop);
//!
//! let inputs = Tensor::<3>::ones([8, 50, 3], &device); // [batch, time, inputs]
//! let targets = Tensor::<3>::ones([8, 50, 1], &device); // [batch, time, outputs]
//! let (updated, report) = hook.step(1e-3, network, &Batch::new(inputs, targets));
//! network = updated;
//! assert!(report.loss > 0.0);
//! # let _ = network;
//! ```
//!
//! | to | look at |
//! |---|---|
//! | learn while a sequence goes on | [`OptimizerHook::into_stream`], [`OnlineEstimator`] |
//! | choose what neurons hear of the error | [signal] |
//! | go beyond e-prop 1 | [`estimator::Eprop3`] with a [synthetic gradient](synthetic_gradient), [meta] (e-prop 2), [reward] |
//! | write a neuron of your own | [`Cell`], [`cell::check_cell`] |
//! | see what goes on | [monitor], [alignment] |
//! | take weights elsewhere, or from there | [interchange] |
//!
//! The book in the repository (`mdbook serve book`) teaches all of it.
//!
//! | feature | adds |
//! |---|---|
//! | `flex` (default) | Burn's backend for CPUs |
//! | `ndarray` | the one on the ndarray crate, which Burn 0.23 drops |
//! | `wgpu` | GPUs by Vulkan, Metal, DirectX or OpenGL, whatever there is; `vulkan` and `metal` pin one |
//! | `cuda`, `rocm` | NVIDIA's and AMD's own |
//! | `train` | `train`: models for burn-train's `Learner`, and metrics |
//!
//! Versions follow Burn's: 0.22.x of this crate goes with Burn 0.22, and what breaks a caller waits for the next one of Burn. The oldest Rust that
//! builds it is that of the package's `rust-version`; a newer one is no breaking change.

pub mod alignment;
pub mod batch;
pub mod bidirectional;
pub mod carried;
pub mod cell;
pub mod constant;
pub mod eligibility;
pub mod error;
pub mod estimator;
pub mod gradients;
pub mod hook;
pub mod init;
pub mod interchange;
pub mod kernel;
mod layer;
pub mod loss;
pub mod meta;
pub mod model;
pub mod monitor;
pub mod network;
pub mod readout;
pub mod record;
pub mod reward;
pub mod signal;
pub mod surrogate;
pub mod synthetic_gradient;
#[cfg(feature = "train")]
pub mod train;

mod accumulation;
mod atomic;
mod autodiff;
mod steps;
mod weights;

pub use batch::Batch;
pub use cell::Cell;
pub use estimator::{Estimate, GradientEstimator, OnlineEstimator};
pub use hook::OptimizerHook;
pub use loss::{Loss, Objective};
pub use model::RecurrentModel;
pub use network::{Network, NetworkConfig};

/// The README's example, compiled and run as a test.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
pub struct Readme;
