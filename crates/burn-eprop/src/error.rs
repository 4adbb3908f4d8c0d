//! Errors of configuration and of data.

/// A configured value lies outside its range.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("`{field}` is {value}, but must be {range}")]
pub struct ConfigError {
    /// The field's name.
    pub field: &'static str,
    /// The value that was given.
    pub value: String,
    /// What the field admits.
    pub range: &'static str,
}

impl ConfigError {
    /// `Ok` where `valid` holds, else an error that names field, value and range.
    pub(crate) fn check(
        valid: bool,
        field: &'static str,
        value: impl ToString,
        range: &'static str,
    ) -> Result<(), Self> {
        if valid {
            return Ok(());
        }
        Err(Self { field, value: value.to_string(), range })
    }

    /// As [`check`](Self::check), for a number that must be finite and positive.
    pub(crate) fn check_positive(field: &'static str, value: f64) -> Result<(), Self> {
        let valid = value.is_finite() && value > 0.0;
        Self::check(valid, field, value, "finite and greater than 0")
    }
}

/// # Panics
///
/// If a configuration of this name is not valid.
#[track_caller]
pub(crate) fn expect_valid(name: &str, validated: Result<(), ConfigError>) {
    if let Err(error) = validated {
        panic!("{name}: {error}");
    }
}

/// A value that should be finite is NaN or infinite.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} holds NaN or infinity")]
pub struct NonFinite {
    /// What holds the value: `inputs`, `targets`, `loss`, or the gradient of a named parameter.
    pub what: String,
}

/// A constant, or the kind of a cell, is another one in a file than in the network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` is {found} in the file, but {expected} in the network")]
pub struct Disagreement {
    /// What differs, such as `layers.0.constants.tau_membrane_ms`.
    pub field: String,
    /// The file's value, as JSON; `missing` where it has none.
    pub found: String,
    /// The network's value, likewise.
    pub expected: String,
}
