//! The settings that a task has where none are asked for.

use burn_eprop::cell::InputNormalization;
use eprop_tasks::copy_repeat::CopyRepeatConfig;
use eprop_tasks::environments::{DelayedChoiceConfig, MemoryMazeConfig};
use eprop_tasks::evidence_accumulation::EvidenceAccumulationConfig;
use eprop_tasks::pattern_generation::PatternGenerationConfig;
use eprop_tasks::sequential_images::SequentialImagesConfig;
use eprop_tasks::shd::ShdConfig;
use eprop_tasks::speech_commands::SpeechCommandsConfig;
use eprop_tasks::spoken_digits::SpokenDigitsConfig;
use eprop_tasks::store_recall::StoreRecallConfig;
use eprop_tasks::timit::TimitConfig;

use crate::config::{
    NetworkSettings, OptimizerName, RateSettings, RunConfig, Schedule, SyntheticName, SyntheticSettings,
    TaskName, Update,
};
use crate::device::DeviceName;
use crate::method::{CellName, MethodName, SignalName};
use crate::reward::RewardSettings;
use crate::task::CharacterModelConfig;
use crate::threads;
use crate::validation::ValidationSettings;

/// The settings of a task for this cell and method.
pub fn of(task: TaskName, cell: CellName, method: MethodName) -> RunConfig {
    match task {
        TaskName::CharacterModel => character_model(cell, method),
        TaskName::CopyRepeat => copy_repeat(cell, method),
        TaskName::DelayedChoice => delayed_choice(cell, method),
        TaskName::EvidenceAccumulation => evidence_accumulation(cell, method),
        TaskName::MemoryMaze => memory_maze(cell, method),
        TaskName::PatternGeneration => pattern_generation(cell, method),
        TaskName::SequentialImages => sequential_images(cell, method),
        TaskName::Shd => shd(cell, method),
        TaskName::SpeechCommands => speech_commands(cell, method),
        TaskName::SpokenDigits => spoken_digits(cell, method),
        TaskName::StoreRecall => store_recall(cell, method),
        TaskName::Timit => timit(cell, method),
    }
}

/// Pattern generation as in Bellec et al. 2019, with three outputs.
fn pattern_generation(cell: CellName, method: MethodName) -> RunConfig {
    let lstm = cell == CellName::Lstm;
    RunConfig {
        task: TaskName::PatternGeneration,
        method,
        signal: SignalName::Random,
        signal_decay: 1e-3,
        cell,
        device: DeviceName::Flex,
        threads: threads::default_number(),
        seed: 1,
        iterations: 1000,
        batch: 1,
        chunk: 1000,
        steps_per_frame: 1,
        augmentation: None,
        update: Update::Sequence,
        lr: 3e-3,
        optimizer: OptimizerName::Adam,
        schedule: Schedule::Cosine,
        clip_norm: None,
        checkpoint_seconds: 60.0,
        data: None,
        validation: None,
        alignment: None,
        network: NetworkSettings {
            neurons: 100,
            layers: 1,
            bidirectional: false,
            dt_ms: 1.0,
            tau_membrane_ms: 30.0,
            tau_adaptation_ms: 200.0,
            adaptation_strength: 0.003,
            adaptive_share: 0.5,
            threshold: 0.03,
            refractory_steps: 0,
            input_normalization: InputNormalization::OneMinusDecay,
            input_gain: 1.0,
            recurrent_gain: 1.0,
            feedback_deviation: None,
            tau_readout_ms: 30.0,
            readout_normalized: true,
        },
        rate: (!lstm).then_some(RateSettings { strength: 300.0, target_hz: 10.0, tau_ms: None }),
        voltage: None,
        synthetic: SyntheticSettings { kind: default_synthetic(method), ..SyntheticSettings::default() },
        reward: None,
        character_model: None,
        copy_repeat: None,
        evidence_accumulation: None,
        pattern_generation: Some(PatternGenerationConfig::default()),
        sequential_images: None,
        shd: None,
        speech_commands: None,
        spoken_digits: None,
        store_recall: None,
        timit: None,
    }
}

fn default_synthetic(method: MethodName) -> SyntheticName {
    match method {
        MethodName::Eprop3 | MethodName::TruncatedBpttSg => SyntheticName::Linear,
        _ => SyntheticName::None,
    }
}

/// One step a frame of 10 ms; about ten passes over the training recordings.
fn spoken_digits(cell: CellName, method: MethodName) -> RunConfig {
    let lstm = cell == CellName::Lstm;
    RunConfig {
        task: TaskName::SpokenDigits,
        signal: SignalName::Random,
        signal_decay: if lstm { 1e-3 } else { 1e-2 },
        iterations: 750,
        batch: 32,
        chunk: 100,
        lr: 5e-3,
        network: NetworkSettings {
            neurons: 200,
            layers: 1,
            bidirectional: false,
            dt_ms: 10.0,
            tau_membrane_ms: 200.0,
            tau_adaptation_ms: 2000.0,
            adaptation_strength: 0.1,
            adaptive_share: 0.5,
            threshold: 0.6,
            refractory_steps: 0,
            input_normalization: InputNormalization::Unit,
            input_gain: if lstm { 1.0 } else { 0.1 },
            recurrent_gain: if lstm { 1.0 } else { 0.5 },
            feedback_deviation: None,
            tau_readout_ms: if lstm { 0.0 } else { 200.0 },
            readout_normalized: false,
        },
        rate: (!lstm).then_some(RateSettings { strength: 1.0, target_hz: 5.0, tau_ms: None }),
        pattern_generation: None,
        spoken_digits: Some(SpokenDigitsConfig::default()),
        ..pattern_generation(cell, method)
    }
}

/// Copy-repeat in windows of 4 steps.
fn copy_repeat(cell: CellName, method: MethodName) -> RunConfig {
    let digits = spoken_digits(cell, method);
    let (by_window, lstm) = (method.has_windows(), cell == CellName::Lstm);
    RunConfig {
        task: TaskName::CopyRepeat,
        signal: SignalName::Symmetric,
        iterations: 3000,
        batch: 100,
        chunk: 4,
        update: if by_window { Update::Window } else { Update::Sequence },
        lr: if by_window { 3e-3 } else { 1e-2 },
        schedule: Schedule::Constant,
        network: NetworkSettings {
            neurons: 100,
            dt_ms: 1.0,
            tau_membrane_ms: 10.0,
            tau_adaptation_ms: 100.0,
            input_gain: if lstm { 1.0 } else { 2.0 },
            recurrent_gain: 1.0,
            tau_readout_ms: 0.0,
            ..digits.network.clone()
        },
        rate: None,
        copy_repeat: Some(CopyRepeatConfig::default()),
        spoken_digits: None,
        ..digits
    }
}

/// Excerpts of 64 characters in windows of 4 steps. A synthetic gradient does harm where each step has a loss of its own.
fn character_model(cell: CellName, method: MethodName) -> RunConfig {
    let copying = copy_repeat(cell, method);
    let kind = match method {
        MethodName::Eprop3 => SyntheticName::None,
        _ => copying.synthetic.kind,
    };
    RunConfig {
        task: TaskName::CharacterModel,
        iterations: 500,
        batch: 32,
        network: NetworkSettings { neurons: 128, ..copying.network.clone() },
        synthetic: SyntheticSettings { kind, ..copying.synthetic.clone() },
        character_model: Some(CharacterModelConfig::default()),
        copy_repeat: None,
        ..copying
    }
}

// ANCHOR: evidence
/// Evidence accumulation as in Bellec et al. 2019, but for a larger learning rate (1e-2, falling, for 5e-3) and recurrent weights that start
/// at half their size, with which more seeds come below 7 % errors within 500 iterations. It ends there, as the authors' does.
fn evidence_accumulation(cell: CellName, method: MethodName) -> RunConfig {
    let pattern = pattern_generation(cell, method);
    let lstm = cell == CellName::Lstm;
    RunConfig {
        task: TaskName::EvidenceAccumulation,
        // Most seeds meet the criterion, and end, after 200 to 800.
        iterations: 1000,
        batch: 32,
        chunk: 250,
        lr: 1e-2,
        schedule: Schedule::Cosine,
        validation: Some(ValidationSettings { every: 20, criterion: 0.93, stop: true }),
        network: NetworkSettings {
            tau_membrane_ms: 20.0,
            tau_adaptation_ms: 2000.0,
            // 1.7 (1 − ρ) / (1 − α), for a threshold of θ + β a with a ← ρ a + z and a current that is not scaled.
            adaptation_strength: 0.0174242,
            threshold: 0.6,
            refractory_steps: 5,
            input_normalization: InputNormalization::Unit,
            recurrent_gain: if lstm { 1.0 } else { 0.5 },
            feedback_deviation: Some(1.0),
            tau_readout_ms: if lstm { 0.0 } else { 20.0 },
            ..pattern.network.clone()
        },
        rate: (!lstm).then_some(RateSettings { strength: 1.0, target_hz: 10.0, tau_ms: None }),
        evidence_accumulation: Some(EvidenceAccumulationConfig::default()),
        pattern_generation: None,
        ..pattern
    }
}
// ANCHOR_END: evidence

/// Store-recall as in Bellec et al. 2019, but for a larger learning rate (5e-3, falling, for 2e-3) and larger feedback weights (N(0, 1) for
/// N(0, 1/N)), with which it is solved sooner.
fn store_recall(cell: CellName, method: MethodName) -> RunConfig {
    let evidence = evidence_accumulation(cell, method);
    RunConfig {
        task: TaskName::StoreRecall,
        iterations: 200,
        batch: 128,
        lr: 5e-3,
        validation: Some(ValidationSettings { every: 10, criterion: 0.95, stop: true }),
        network: NetworkSettings {
            tau_adaptation_ms: 1200.0,
            // 1.7 (1 − ρ), for a threshold of θ + β a with a ← ρ a + z.
            adaptation_strength: 0.00141608,
            adaptive_share: 0.4,
            threshold: 0.03,
            input_normalization: InputNormalization::OneMinusDecay,
            recurrent_gain: 1.0,
            ..evidence.network.clone()
        },
        evidence_accumulation: None,
        store_recall: Some(StoreRecallConfig::default()),
        ..evidence
    }
}

/// A cue of 20 ms, a delay of 100 ms and a choice.
fn delayed_choice(cell: CellName, method: MethodName) -> RunConfig {
    let evidence = evidence_accumulation(cell, method);
    let online = method == MethodName::Eprop;
    RunConfig {
        task: TaskName::DelayedChoice,
        signal: SignalName::Symmetric,
        iterations: 300,
        batch: 16,
        chunk: 100,
        update: if online { Update::Window } else { Update::Sequence },
        lr: 5e-3,
        validation: None,
        network: NetworkSettings {
            neurons: 50,
            tau_adaptation_ms: 200.0,
            recurrent_gain: 1.0,
            ..evidence.network.clone()
        },
        rate: None,
        reward: Some(RewardSettings {
            discount: 0.95,
            value_weight: 0.5,
            entropy_weight: 0.0,
            steps_per_observation: 10,
            update_every: 1,
            delayed_choice: Some(DelayedChoiceConfig::default()),
            memory_maze: None,
        }),
        evidence_accumulation: None,
        ..evidence
    }
}

/// A corridor of six cells. Without a bonus for entropy some seeds learn to walk against a wall.
fn memory_maze(cell: CellName, method: MethodName) -> RunConfig {
    let choice = delayed_choice(cell, method);
    let lstm = cell == CellName::Lstm;
    RunConfig {
        task: TaskName::MemoryMaze,
        iterations: 500,
        reward: choice.reward.as_ref().map(|reward| RewardSettings {
            entropy_weight: 0.02,
            steps_per_observation: if lstm { 1 } else { 10 },
            delayed_choice: None,
            memory_maze: Some(MemoryMazeConfig::default()),
            ..reward.clone()
        }),
        ..choice
    }
}

/// Each frame for 5 ms, in both directions, as in Bellec et al. 2019; LSTM units see it once.
fn timit(cell: CellName, method: MethodName) -> RunConfig {
    let digits = spoken_digits(cell, method);
    let lstm = cell == CellName::Lstm;
    RunConfig {
        task: TaskName::Timit,
        // 30 and 80 passes over 3696 sentences.
        iterations: if lstm { 3_465 } else { 9_240 },
        steps_per_frame: if lstm { 1 } else { 5 },
        lr: 1e-2,
        network: NetworkSettings {
            neurons: if lstm { 200 } else { 400 },
            bidirectional: true,
            dt_ms: if lstm { 10.0 } else { 1.0 },
            tau_membrane_ms: 20.0,
            tau_adaptation_ms: 200.0,
            // 1.8 (1 − ρ) / (1 − α).
            adaptation_strength: 0.18407,
            adaptive_share: 0.25,
            threshold: 0.6,
            refractory_steps: 2,
            input_gain: 1.0,
            recurrent_gain: 1.0,
            feedback_deviation: Some(1.0),
            tau_readout_ms: if lstm { 0.0 } else { 3.0 },
            ..digits.network.clone()
        },
        rate: (!lstm).then_some(RateSettings { strength: 50.0, target_hz: 10.0, tau_ms: None }),
        spoken_digits: None,
        timit: Some(TimitConfig::default()),
        ..digits
    }
}

/// Less than a pass over the recordings of all words.
fn speech_commands(cell: CellName, method: MethodName) -> RunConfig {
    let digits = spoken_digits(cell, method);
    RunConfig {
        task: TaskName::SpeechCommands,
        iterations: 2000,
        spoken_digits: None,
        speech_commands: Some(SpeechCommandsConfig::default()),
        ..digits
    }
}

/// About ten passes over 8156 utterances of 100 steps of 14 ms.
fn shd(cell: CellName, method: MethodName) -> RunConfig {
    let digits = spoken_digits(cell, method);
    RunConfig {
        task: TaskName::Shd,
        iterations: 2550,
        network: NetworkSettings { dt_ms: 14.0, input_gain: 1.0, ..digits.network.clone() },
        spoken_digits: None,
        shd: Some(ShdConfig { units_per_input: 5, ..ShdConfig::default() }),
        ..digits
    }
}

/// Images row by row, about two passes over the 60,000 of MNIST.
fn sequential_images(cell: CellName, method: MethodName) -> RunConfig {
    let digits = spoken_digits(cell, method);
    let lstm = cell == CellName::Lstm;
    RunConfig {
        task: TaskName::SequentialImages,
        iterations: 3750,
        network: NetworkSettings { input_gain: if lstm { 1.0 } else { 0.5 }, ..digits.network.clone() },
        spoken_digits: None,
        sequential_images: Some(SequentialImagesConfig::default()),
        ..digits
    }
}
