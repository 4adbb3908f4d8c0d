//! The error of a configured value outside its range.

/// A configured value lies outside its range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` is {value}, but must be {range}")]
pub struct RangeError {
    /// The field's name.
    pub field: &'static str,
    /// The value that was given.
    pub value: String,
    /// What the field admits.
    pub range: String,
}

impl RangeError {
    /// `Ok` where `valid` holds, else an error that names field, value and range.
    pub(crate) fn check(
        valid: bool,
        field: &'static str,
        value: impl ToString,
        range: impl ToString,
    ) -> Result<(), Self> {
        if valid {
            return Ok(());
        }
        Err(Self { field, value: value.to_string(), range: range.to_string() })
    }
}
