//! Errors of weights from elsewhere.

use std::path::PathBuf;

use crate::error::{Disagreement, NonFinite};

/// Weights cannot be saved or loaded.
#[derive(Debug, thiserror::Error)]
pub enum InterchangeError {
    /// The file cannot be read.
    #[error("cannot read {}: {reason}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        reason: std::io::Error,
    },
    /// The file cannot be written. One that was there before is as it was.
    #[error("cannot write {}: {reason}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The file's content does not fit the network.
    #[error("{}: {misfit}", path.display())]
    Misfit {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        misfit: Misfit,
    },
}

/// The first thing in a file that does not fit a network.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Misfit {
    /// It is not a whole safetensors file: torn, or with a header that claims what is not there.
    #[error("not a whole safetensors file: {0}")]
    Torn(String),
    /// It was saved by a later version, or, where it is of version 1, from other cells.
    #[error("it holds `{found}`, where `{expected}` is needed")]
    Kind {
        /// What the file says of itself.
        found: String,
        /// What a file of the network says.
        expected: String,
    },
    /// It was saved from a network of other cells or constants.
    #[error(transparent)]
    Configuration(#[from] Disagreement),
    /// A tensor is missing.
    #[error("tensor `{0}` is missing")]
    Missing(String),
    /// There is a tensor that nothing asks for.
    #[error("tensor `{0}` is unexpected")]
    Unexpected(String),
    /// A tensor has another shape.
    #[error("tensor `{tensor}` is {found:?}, but parameter `{parameter}` needs {expected:?}")]
    Shape {
        /// The tensor.
        tensor: String,
        /// Its shape.
        found: Vec<usize>,
        /// The shape that it should have in the file.
        expected: Vec<usize>,
        /// What it is for.
        parameter: String,
    },
    /// A tensor does not hold floating-point numbers.
    #[error("tensor `{tensor}` is of type {found}, which is not a floating-point type")]
    Type {
        /// The tensor.
        tensor: String,
        /// Its type.
        found: String,
    },
    /// A value is NaN or infinite, or too large for the type of the network.
    #[error(transparent)]
    NonFinite(#[from] NonFinite),
    /// A [`WeightMap`](super::WeightMap) does not fit the network.
    #[error("the map of parameter `{parameter}` does not fit: {reason}")]
    Map {
        /// The parameter.
        parameter: String,
        /// What is wrong.
        reason: &'static str,
    },
}
