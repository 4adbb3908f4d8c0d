//! The folder of a run.

use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;

/// Reads a TOML file of a run.
///
/// # Errors
///
/// If it is missing or damaged.
pub fn read_toml<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("{} is damaged", path.display()))
}

/// What the names of files begin with while they are written.
const UNFINISHED: &str = ".unfinished-";

/// Name of the file by which a process has a folder for itself.
const LOCK: &str = ".lock";

/// Whether a file is one that only a process which was killed has left.
pub fn is_left_over(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| name == LOCK || name.starts_with(UNFINISHED))
}

/// A folder with the settings, the model, the metrics and the plots of a run.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// Held while the run goes on.
    lock: Option<File>,
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        if self.lock.take().is_some() {
            // What cannot be removed does no harm.
            let _ = fs::remove_file(self.file(LOCK));
        }
    }
}

impl RunFolder {
    /// A new folder: the given one, or the first free `runs/{name}-{number}`.
    ///
    /// # Errors
    ///
    /// If it cannot be created or already holds something.
    pub fn create(path: Option<&Path>, name: &str) -> Result<Self> {
        let path = match path {
            Some(path) => path.to_owned(),
            None => (1..)
                .map(|number| Path::new("runs").join(format!("{name}-{number}")))
                .find(|path| !path.exists())
                .expect("numbers do not end"),
        };
        fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
        let mut entries = fs::read_dir(&path).with_context(|| format!("cannot read {}", path.display()))?;
        if entries.any(|entry| entry.is_ok_and(|entry| !is_left_over(&entry.file_name()))) {
            bail!("{} is not empty; choose another --out", path.display());
        }
        Self { path, lock: None }.locked()
    }

    /// Keeps other processes from training in the folder, as long as this value lives.
    ///
    /// # Errors
    ///
    /// If another process does, or the folder cannot be written to.
    pub fn locked(mut self) -> Result<Self> {
        let path = self.file(LOCK);
        let lock = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        match lock.try_lock() {
            Ok(()) => {
                self.lock = Some(lock);
                self.remove_unfinished()?;
                Ok(self)
            }
            Err(TryLockError::WouldBlock) => {
                bail!("{}: another process is training there", self.path.display())
            }
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock {}", path.display()))
            }
        }
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
    pub fn remove(&self, name: &str) -> Result<()> {
        let path = self.file(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", path.display()))
            }
            _ => Ok(()),
        }
    }

    /// Removes what a process that was killed had begun to write.
    fn remove_unfinished(&self) -> Result<()> {
        let folder = || self.path.display();
        let entries = fs::read_dir(&self.path).with_context(|| format!("cannot read {}", folder()))?;
        for entry in entries {
            let name = entry.with_context(|| format!("cannot read {}", folder()))?.file_name();
            match name.to_str() {
                Some(name) if name.starts_with(UNFINISHED) => self.remove(name)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Writes a file under a temporary name and renames it: whatever goes wrong, a file of that name is whole.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let target = self.file(name);
        let write = || -> std::io::Result<()> {
            let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(&self.path)?;
            file.write_all(bytes)?;
            file.as_file().sync_all()?;
            file.persist(&target)?;
            Ok(())
        };
        write().with_context(|| format!("cannot write {}", target.display()))
    }
}
