//! An open recording.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::path::Path;

use super::AudioError;
use crate::data_file;

/// An open file, its path and its length.
pub(super) struct Source<'a> {
    pub(super) path: &'a Path,
    reader: BufReader<File>,
    length: u64,
}

impl<'a> Source<'a> {
    pub(super) fn open(path: &'a Path) -> Result<Self, AudioError> {
        let (file, length) =
            data_file::open(path).map_err(|reason| AudioError::Unreadable { path: path.into(), reason })?;
        Ok(Self { path, reader: BufReader::new(file), length })
    }

    /// Whether the next bytes are these.
    pub(super) fn continues_with(&mut self, bytes: &[u8]) -> Result<bool, AudioError> {
        let next = self.reader.fill_buf().map(|next| next.starts_with(bytes));
        next.map_err(|reason| self.unreadable(reason))
    }

    /// Fills `bytes`.
    pub(super) fn read_exactly(&mut self, bytes: &mut [u8]) -> Result<(), AudioError> {
        self.reader.read_exact(bytes).map_err(|reason| self.unreadable(reason))
    }

    /// The next bytes, `count` or as many as there are.
    pub(super) fn read_up_to(&mut self, count: u32) -> Result<Vec<u8>, AudioError> {
        let mut bytes = Vec::new();
        let read = self.reader.by_ref().take(count.into()).read_to_end(&mut bytes);
        read.map_err(|reason| self.unreadable(reason))?;
        Ok(bytes)
    }

    /// Passes over so many bytes, which need not be there.
    pub(super) fn skip(&mut self, count: u32) -> Result<(), AudioError> {
        self.reader.seek_relative(count.into()).map_err(|reason| self.unreadable(reason))
    }

    /// Number of bytes that follow.
    pub(super) fn left(&mut self) -> Result<u64, AudioError> {
        let position = self.reader.stream_position().map_err(|reason| self.unreadable(reason))?;
        Ok(self.length.saturating_sub(position))
    }

    fn unreadable(&self, reason: io::Error) -> AudioError {
        AudioError::Unreadable { path: self.path.into(), reason }
    }
}
