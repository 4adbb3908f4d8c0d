//! Errors of checkpoints.

use std::path::PathBuf;

use crate::error::Disagreement;
use crate::record::RecordError;

/// A checkpoint cannot be saved or gone on from.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
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
    /// The file's content is damaged, or does not fit what is to go on from it.
    #[error("{}: {misfit}", path.display())]
    Misfit {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        misfit: Misfit,
    },
}

/// Why nothing can go on from a file.
#[derive(Debug, thiserror::Error)]
pub enum Misfit {
    /// It is torn or damaged, or no checkpoint at all.
    #[error("not a whole checkpoint: {0}")]
    Damaged(String),
    /// It was saved by a later version.
    #[error("it holds `{found}`, where `{expected}` is needed")]
    Version {
        /// What the file says of itself.
        found: String,
        /// What a checkpoint says.
        expected: &'static str,
    },
    /// It is the half of a record in two files that holds optimizer and stream, as earlier versions wrote it.
    #[error("a record of the hook without its network: `OptimizerHook::load` takes it")]
    HookAlone,
    /// It lacks a part.
    #[error("it holds no `{0}`")]
    Missing(&'static str),
    /// It has a part that nothing asks for.
    #[error("it holds a `{0}`, and none was given to fill")]
    Unexpected(&'static str),
    /// A part is damaged, or belongs to something else.
    #[error("{part}: {error}")]
    Part {
        /// The part.
        part: &'static str,
        /// What is wrong.
        error: RecordError,
    },
    /// It was saved from a network of other constants or cells.
    #[error(transparent)]
    Configuration(#[from] Disagreement),
    /// Optimizer and stream belong to another network, or to another step of this one.
    #[error(
        "a mixed pair: what was saved beside the network (updates: {updates}) belongs to another network, or to another \
         step of this one"
    )]
    MixedPair {
        /// The updates after which it was saved.
        updates: u64,
    },
}
