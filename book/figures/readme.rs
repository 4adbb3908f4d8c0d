//! The README's tables, which are those of the results.

use std::fs;

use anyhow::{Context, Result};

use crate::book::{Book, write};

/// Begins a table, with the name of its file; `END` ends it.
const BEGIN: &str = "<!-- table ";
const END: &str = "<!-- end of table -->";

/// Replaces what stands between `<!-- table NAME -->` and `<!-- end of table -->` by `results/NAME.md`.
///
/// # Errors
///
/// If the README, or a result that it names, cannot be read, or the README not be written.
pub(crate) fn write_tables(book: &Book) -> Result<()> {
    let path = book.repository().join("README.md");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut parts = text.split(BEGIN);
    let mut written = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let begun = || format!("{}: a table has no end: {BEGIN}{part}", path.display());
        let (name, rest) = part.split_once(" -->").with_context(begun)?;
        let (_, rest) = rest.split_once(END).with_context(begun)?;
        let result = book.results(&format!("{name}.md"));
        let table =
            fs::read_to_string(&result).with_context(|| format!("cannot read {}", result.display()))?;
        written.push_str(&format!("{BEGIN}{name} -->\n{table}{END}{rest}"));
    }
    if written == text { Ok(()) } else { write(&path, &written) }
}
