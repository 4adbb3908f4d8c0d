//! The folder of a run.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use eprop_tasks::whole_file;
use serde::de::DeserializeOwned;

use crate::export;
use crate::folder_lock::{FolderLock, LOCK};
use crate::regular_file::read_text;

/// Reads a TOML file of a run.
///
/// # Errors
///
/// If it is missing or damaged.
pub fn read_toml<T: DeserializeOwned>(path: &Path) -> Result<T> {
    toml::from_str(&read_text(path)?).with_context(|| format!("{} is damaged", path.display()))
}

/// Whether a file is one that only a process which was killed has left.
pub fn is_left_over(name: &OsStr) -> bool {
    name == LOCK || is_unfinished(name)
}

/// Whether a file is one that was being written.
fn is_unfinished(name: &OsStr) -> bool {
    whole_file::is_unfinished(name) || export::is_unfinished(name)
}

/// A folder with the settings, the model, the metrics and the plots of a run, or with the runs of a comparison and what came of them. All files
/// in it are written through here: whole or not at all, and never through a link.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// Held while the run goes on.
    lock: Option<FolderLock>,
}

impl RunFolder {
    /// A new folder: the given one, or the first free `runs/{name}-{number}`.
    ///
    /// # Errors
    ///
    /// If it cannot be created, already holds something, or another process is training there.
    pub fn create(path: Option<&Path>, name: &str) -> Result<Self> {
        let path = match path {
            Some(path) => {
                create_folders(path)?;
                path.to_owned()
            }
            None => create_numbered(name)?,
        };
        let folder = Self::open(&path);
        folder.check_empty()?;
        let folder = folder.locked()?;
        // Another process may have been there in between.
        folder.check_empty()?;
        Ok(folder)
    }

    /// The folder of a comparison, which may hold what it did before.
    ///
    /// # Errors
    ///
    /// If it cannot be created, or another process is training there.
    pub fn of_comparison(path: &Path) -> Result<Self> {
        create_folders(path)?;
        Self::open(path).locked()
    }

    /// Keeps other processes from training in the folder, as long as this value lives, and removes what one that was killed had begun to write.
    ///
    /// # Errors
    ///
    /// If another process does, or the folder cannot be written to.
    pub fn locked(mut self) -> Result<Self> {
        self.lock = Some(FolderLock::acquire(&self.path)?);
        self.remove_unfinished()?;
        Ok(self)
    }

    /// The folder of a run that has been.
    pub fn open(path: &Path) -> Self {
        Self { path: path.to_owned(), lock: None }
    }

    /// Where a file of the run is.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes a file, if it is there.
    ///
    /// # Errors
    ///
    /// If it cannot be removed.
    pub fn remove(&self, name: impl AsRef<Path>) -> Result<()> {
        let path = self.path.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", path.display()))
            }
            _ => Ok(()),
        }
    }

    fn check_empty(&self) -> Result<()> {
        for entry in self.entries()? {
            let name = entry?.file_name();
            ensure!(is_left_over(&name), "{} is not empty; choose another --out", self.path.display());
        }
        Ok(())
    }

    fn remove_unfinished(&self) -> Result<()> {
        for entry in self.entries()? {
            let entry = entry?;
            let name = entry.file_name();
            if is_unfinished(&name) && entry.file_type().is_ok_and(|kind| kind.is_file()) {
                self.remove(name)?;
            }
        }
        Ok(())
    }

    fn entries(&self) -> Result<impl Iterator<Item = Result<fs::DirEntry>>> {
        let failed = |path: &Path| format!("cannot read {}", path.display());
        let entries = fs::read_dir(&self.path).with_context(|| failed(&self.path))?;
        Ok(entries.map(move |entry| entry.with_context(|| failed(&self.path))))
    }

    /// Writes a file: whatever goes wrong, a file of that name is whole.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<()> {
        let path = self.file(name);
        whole_file::write(&path, content).with_context(|| format!("cannot write {}", path.display()))
    }

    /// An empty file to write to bit by bit, in place of an earlier one.
    ///
    /// # Errors
    ///
    /// If it cannot be created.
    pub fn create_file(&self, name: &str) -> Result<File> {
        self.remove(name)?;
        let path = self.file(name);
        File::create_new(&path).with_context(|| format!("cannot create {}", path.display()))
    }
}

fn create_folders(path: &Path) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("cannot create {}", path.display()))
}

/// Makes the first of the folders `runs/{name}-{number}` that is not there; of processes that begin together, each makes its own.
fn create_numbered(name: &str) -> Result<PathBuf> {
    let runs = Path::new("runs");
    create_folders(runs)?;
    let mut number = 1;
    loop {
        let path = runs.join(format!("{name}-{number}"));
        match fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(error).with_context(|| format!("cannot create {}", path.display())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_was_writing_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let kept = [".unfinished-notes.md", "model.safetensors.notes.tmp", "notes.tmp", "metrics.csv"];
        let ours = [".unfinished-a1B2c3D4", "model.safetensors.4711-0.tmp"];
        kept.iter().chain(&ours).for_each(|name| fs::write(path.join(name), "").unwrap());
        // A folder is none of ours, whatever its name.
        fs::create_dir(path.join(".unfinished-aaaaaaaa")).unwrap();
        let run = RunFolder::open(path).locked().unwrap();
        assert!(
            kept.iter().all(|name| path.join(name).exists()) && path.join(".unfinished-aaaaaaaa").exists()
        );
        assert!(!ours.iter().any(|name| path.join(name).exists()));
        drop(run);
        assert!(!path.join(LOCK).exists());
    }

    #[test]
    #[cfg(unix)]
    fn nothing_is_written_through_links() {
        let folder = tempfile::tempdir().unwrap();
        let precious = folder.path().join("precious");
        fs::write(&precious, "notes").unwrap();
        let run = folder.path().join("run");
        fs::create_dir(&run).unwrap();
        for name in ["a.toml", "a.log"] {
            std::os::unix::fs::symlink(&precious, run.join(name)).unwrap();
        }
        let run = RunFolder::open(&run);
        run.write("a.toml", b"settings").unwrap();
        drop(run.create_file("a.log").unwrap());
        assert_eq!(fs::read(&precious).unwrap(), b"notes");
        assert_eq!(fs::read(run.file("a.toml")).unwrap(), b"settings");
        assert_eq!(fs::read(run.file("a.log")).unwrap(), b"");
    }
}
