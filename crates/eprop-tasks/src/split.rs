//! The parts of a data set.

use serde::{Deserialize, Serialize};

/// Which part of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// Neither validation nor test.
    Train,
    /// Held out of the training set, to choose settings on.
    Validation,
    /// The test set.
    Test,
    /// Everything.
    All,
}
