//! A folder that a process has for itself.
//!
//! The system holds the lock on a file in the folder, and gives it up when the process ends, however it ends. The file alone says
//! nothing: a process that was killed leaves it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use same_file::Handle;

/// Name of the file.
pub(crate) const LOCK: &str = ".lock";

/// Keeps other processes from the folder, as long as it lives.
#[derive(Debug)]
pub(crate) struct FolderLock {
    file: File,
    path: PathBuf,
}

impl FolderLock {
    /// Locks a folder.
    ///
    /// # Errors
    ///
    /// If another process has locked it, a link or anything else but a file has the lock's name, or the folder cannot be written to.
    pub(crate) fn acquire(folder: &Path) -> Result<Self> {
        let path = folder.join(LOCK);
        let failed = || format!("cannot lock {}", path.display());
        loop {
            let Some(file) = open(&path).with_context(failed)? else { continue };
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    bail!("{}: another process is training there", folder.display())
                }
                Err(TryLockError::Error(error)) => return Err(error).with_context(failed),
            }
            let lock = Self { file, path: path.clone() };
            // The process that had it may have removed the file after it was opened here.
            match lock.is_at_its_path().with_context(failed)? {
                true => return Ok(lock),
                false => continue,
            }
        }
    }

    fn is_at_its_path(&self) -> io::Result<bool> {
        match Handle::from_path(&self.path) {
            Ok(found) => Ok(found == Handle::from_file(self.file.try_clone()?)?),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Drop for FolderLock {
    /// Removes the file while it is still locked: whoever has opened it finds out, and nobody else's is removed.
    fn drop(&mut self) {
        if self.is_at_its_path().unwrap_or(false) {
            // What cannot be removed does no harm.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Opens the file, or makes it; never through a link, and without a change of what it holds. `None` if it has gone meanwhile.
fn open(path: &Path) -> io::Result<Option<File>> {
    match File::create_new(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        created => return created.map(Some),
    }
    let existing = fs::symlink_metadata(path).and_then(|metadata| match metadata.is_file() {
        true => OpenOptions::new().write(true).open(path),
        false => Err(io::Error::other("it is not a regular file; remove it, if nothing is training there")),
    });
    match existing {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        existing => existing.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn a_lock_is_held_once_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let lock = FolderLock::acquire(folder.path()).unwrap();
        let error = FolderLock::acquire(folder.path()).unwrap_err();
        assert!(error.to_string().contains("another process"), "{error}");
        drop(lock);
        assert!(fs::read_dir(folder.path()).unwrap().next().is_none());
        // What a killed process has left.
        fs::write(folder.path().join(LOCK), "").unwrap();
        FolderLock::acquire(folder.path()).unwrap();
    }

    #[test]
    fn of_many_that_come_and_go_one_at_a_time_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        let (holders, held) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let come_and_go = || {
            for _ in 0..300 {
                let Ok(_lock) = FolderLock::acquire(folder.path()) else { continue };
                assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0, "two hold it");
                std::thread::yield_now();
                holders.fetch_sub(1, Ordering::SeqCst);
                held.fetch_add(1, Ordering::SeqCst);
            }
        };
        std::thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(come_and_go))));
        assert!(held.into_inner() > 0);
    }

    #[test]
    #[cfg(unix)]
    fn a_link_or_a_pipe_is_no_lock() {
        let folder = tempfile::tempdir().unwrap();
        let [precious, lock] = ["precious", LOCK].map(|name| folder.path().join(name));
        fs::write(&precious, "notes").unwrap();
        for target in ["precious", "not-there"] {
            std::os::unix::fs::symlink(target, &lock).unwrap();
            let error = format!("{:#}", FolderLock::acquire(folder.path()).unwrap_err());
            assert!(error.contains("not a regular file"), "{error}");
            fs::remove_file(&lock).unwrap();
        }
        assert!(std::process::Command::new("mkfifo").arg(&lock).status().unwrap().success());
        assert!(FolderLock::acquire(folder.path()).is_err());
        assert_eq!(fs::read(&precious).unwrap(), b"notes");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
