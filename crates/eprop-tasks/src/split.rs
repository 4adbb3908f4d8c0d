//! The parts of a data set.

use serde::{Deserialize, Serialize};

/// Which part of the recordings of a data set. Each data set says what its parts are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// To learn from: neither validation nor test.
    Train,
    /// Held out of the training recordings, to choose settings on.
    Validation,
    /// Held out to measure what was learned.
    Test,
    /// Every recording.
    All,
}
