//! The Spiking Heidelberg Digits: a class for each utterance of spikes, told at every step.

use std::path::Path;

use anyhow::{Context, Result};
use eprop_tasks::Split;
use eprop_tasks::shd::{CLASSES, Shd, ShdConfig, SpikeUtterance};

use super::{DataSet, Labels, Sequence, own};
use crate::config::RunConfig;

struct Utterances {
    files: Shd,
    settings: ShdConfig,
    classes: Vec<String>,
}

pub(super) fn open(config: &RunConfig, folder: &Path) -> Result<Box<dyn DataSet>> {
    let settings = own(&config.shd, "shd")?.clone();
    settings.validate().context("[shd]")?;
    let files = Shd::open(folder)?;
    let numbers = || (0..CLASSES).map(|class| class.to_string()).collect();
    let classes = files.class_names()?.unwrap_or_else(numbers);
    Ok(Box::new(Utterances { files, settings, classes }))
}

impl DataSet for Utterances {
    fn title(&self) -> &'static str {
        "An utterance"
    }

    fn features(&self) -> usize {
        self.settings.inputs()
    }

    fn classes(&self) -> Vec<String> {
        self.classes.clone()
    }

    fn load(&self, split: Split) -> Result<Vec<Sequence>> {
        let utterances = self.files.load(split, &self.settings)?.into_iter();
        let sequence = |utterance: SpikeUtterance| {
            let labels = Labels::Whole(utterance.label.into());
            Sequence::made(utterance.steps, labels, move || utterance.dense())
        };
        Ok(utterances.map(sequence).collect())
    }

    fn has_z_scores(&self) -> bool {
        false
    }
}
