//! Figures as SVG files. With the feature `png`, a path that ends in `.png` gets a PNG file, for which a font must be
//! installed; without it, such a path is refused.
//!
//! | function | figure |
//! |---|---|
//! | [`learning_curve()`] | loss over iterations, and optionally accuracy under it |
//! | [`figure()`] | panels over one time axis: spikes, signals, outputs against targets |
//! | [`recording()`] | what a monitor has recorded of neurons and synapses |
//! | [`trajectory()`] | paths in a plane |
//! | [`alignment()`] | direction and length of gradients beside exact ones, over iterations |
//! | [`confusion_matrix()`] | true against predicted classes |
//!
//! Every function takes plain data and a path, and writes the file whole or not at all. Values that
//! are NaN or infinite leave a gap; a panel without any value says so. Long series are thinned to
//! the extremes of about 1,000 stretches, so that a file stays small and no peak is lost. Colours
//! are those of Okabe and Ito (jfly.uni-koeln.de/color), told apart by colour-blind readers too.

mod alignment;
mod axis;
mod canvas;
mod confusion_matrix;
mod figure;
mod figure_file;
mod frame;
mod learning_curve;
mod lines;
#[cfg(feature = "png")]
mod png;
mod raster;
mod recording;
mod series;
mod trajectory;

use std::io;
use std::path::PathBuf;

pub use alignment::{AlignmentCurve, alignment};
pub use axis::Scale;
pub use confusion_matrix::confusion_matrix;
pub use figure::{Panel, figure};
pub use learning_curve::learning_curve;
pub use lines::Lines;
pub use raster::Raster;
pub use recording::recording;
pub use series::Series;
pub use trajectory::trajectory;

/// A figure could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{path}: the figure cannot be written: {reason}")]
pub struct PlotError {
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    pub reason: io::Error,
}
