//! Train recurrent and spiking networks without back-propagation through time.
//!
//! burn-eprop implements e-prop (Bellec et al. 2019, [arXiv:1901.09049](https://arxiv.org/abs/1901.09049))
//! for [Burn](https://burn.dev): eligibility traces that run forward in time, multiplied by a learning signal, in place of
//! a backward pass.
//!
//! | feature | adds |
//! |---|---|
//! | `flex`, `ndarray` (default) | Burn's backends for CPUs |
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

/// The book's page on e-prop 3, likewise.
#[cfg(doctest)]
#[doc = include_str!("../../../book/src/eprop3.md")]
pub struct BookEprop3;

/// The book's page on e-prop 2, likewise.
#[cfg(doctest)]
#[doc = include_str!("../../../book/src/eprop2.md")]
pub struct BookEprop2;

/// The book's page on rewards, likewise.
#[cfg(doctest)]
#[doc = include_str!("../../../book/src/reward.md")]
pub struct BookReward;

/// The book's page on burn-train, likewise; with the feature `train`.
#[cfg(all(doctest, feature = "train"))]
#[doc = include_str!("../../../book/src/learner.md")]
pub struct BookLearner;
