//! Where the book keeps what was computed.

use std::fmt::{Display, Write};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The folder of the book.
pub(crate) struct Book {
    root: PathBuf,
}

impl Book {
    /// The book of this repository.
    ///
    /// # Errors
    ///
    /// If there is no folder for figures, and none can be made.
    pub(crate) fn open() -> Result<Self> {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let figures = root.join("src/figures");
        fs::create_dir_all(&figures).with_context(|| format!("cannot create {}", figures.display()))?;
        Ok(Self { root })
    }

    /// The folder of the repository.
    pub(crate) fn repository(&self) -> &Path {
        self.root.parent().expect("the book lies in the repository")
    }

    /// The folder of a run.
    pub(crate) fn run_folder(&self, name: &str) -> PathBuf {
        self.repository().join("runs/book").join(name)
    }

    /// The path of a figure.
    pub(crate) fn figure(&self, name: &str) -> PathBuf {
        self.root.join("src/figures").join(format!("{name}.svg"))
    }

    /// A file or folder of results.
    pub(crate) fn results(&self, name: &str) -> PathBuf {
        self.root.join("results").join(name)
    }

    /// Writes what a program has printed, to a file with this name.
    pub(crate) fn write_output(&self, name: &str, output: &str) -> Result<()> {
        write(&self.root.join("outputs").join(name), output)
    }

    /// Writes numbers, each of which the text includes by its name.
    pub(crate) fn write_numbers(&self, name: &str, numbers: &Numbers) -> Result<()> {
        write(&self.root.join("numbers").join(format!("{name}.md")), &numbers.text)
    }
}

/// Writes a file whose folder may have to be made.
pub(crate) fn write(path: &Path, content: &str) -> Result<()> {
    let folder = path.parent().expect("a file has a folder");
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}

/// Numbers by name, as anchors for mdBook's `include`.
#[derive(Default)]
pub(crate) struct Numbers {
    text: String,
}

impl Numbers {
    /// Adds a number.
    pub(crate) fn add(&mut self, name: &str, value: impl Display) {
        writeln!(self.text, "<!-- ANCHOR: {name} -->\n{value}\n<!-- ANCHOR_END: {name} -->")
            .expect("strings can be written to");
    }
}
