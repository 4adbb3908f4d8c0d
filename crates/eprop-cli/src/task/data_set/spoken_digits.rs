//! Spoken digits: a class for each recording, told at every frame.

use std::path::Path;

use anyhow::{Context, Result};
use eprop_tasks::Split;
use eprop_tasks::features::LogMelConfig;
use eprop_tasks::spoken_digits::{SpokenDigits, SpokenDigitsConfig};

use super::{DataSet, Labels, Sequence, own};
use crate::config::RunConfig;

struct Digits {
    recordings: SpokenDigits,
    settings: SpokenDigitsConfig,
}

pub(super) fn open(config: &RunConfig, folder: &Path) -> Result<Box<dyn DataSet>> {
    let settings = own(&config.spoken_digits, "spoken_digits")?.clone();
    settings.features.validate().context("[spoken_digits.features]")?;
    Ok(Box::new(Digits { recordings: SpokenDigits::open(folder)?, settings }))
}

impl DataSet for Digits {
    fn title(&self) -> &'static str {
        "A spoken digit"
    }

    fn features(&self) -> usize {
        self.settings.features.feature_count()
    }

    fn speech(&self) -> Option<&LogMelConfig> {
        Some(&self.settings.features)
    }

    fn classes(&self) -> Vec<String> {
        (0..10).map(|digit| digit.to_string()).collect()
    }

    fn load(&self, split: Split) -> Result<Vec<Sequence>> {
        let utterances = self.recordings.load(split, &self.settings)?.into_iter();
        Ok(utterances.map(|said| Sequence::new(said.frames, Labels::Whole(said.digit.into()))).collect())
    }
}
