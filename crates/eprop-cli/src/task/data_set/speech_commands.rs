//! Speech Commands: a word for each recording, told at every frame.

use std::path::Path;

use anyhow::{Context, Result};
use eprop_tasks::Split;
use eprop_tasks::features::LogMelConfig;
use eprop_tasks::speech_commands::{SpeechCommands, SpeechCommandsConfig};

use super::{DataSet, Labels, Sequence, own};
use crate::config::RunConfig;

struct Words {
    recordings: SpeechCommands,
    settings: SpeechCommandsConfig,
    classes: Vec<String>,
}

pub(super) fn open(config: &RunConfig, folder: &Path) -> Result<Box<dyn DataSet>> {
    let settings = own(&config.speech_commands, "speech_commands")?.clone();
    settings.validate().context("[speech_commands]")?;
    let recordings = SpeechCommands::open(folder)?;
    let classes = recordings.classes(&settings)?;
    Ok(Box::new(Words { recordings, settings, classes }))
}

impl DataSet for Words {
    fn title(&self) -> &'static str {
        "A spoken word"
    }

    fn features(&self) -> usize {
        self.settings.features.feature_count()
    }

    fn speech(&self) -> Option<&LogMelConfig> {
        Some(&self.settings.features)
    }

    fn classes(&self) -> Vec<String> {
        self.classes.clone()
    }

    fn load(&self, split: Split) -> Result<Vec<Sequence>> {
        let words = self.recordings.load(split, &self.settings)?.into_iter();
        Ok(words.map(|word| Sequence::new(word.frames, Labels::Whole(word.class))).collect())
    }
}
