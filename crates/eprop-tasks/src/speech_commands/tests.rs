//! Tests on folders that the tests write.

use std::fs;
use std::path::Path;

use super::*;
use crate::audio::synthetic::{tone, write_wav};

/// By their hashes one speaker of each split: validation, test and training.
const SPEAKERS: [&str; 3] = ["a69b9b3e", "bb05582b", "988e2f9a"];
const WORDS: [&str; 4] = ["yes", "no", "bed", "unknown"];

/// Four words by three speakers, one recording each.
fn data_set() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (index, word) in WORDS.iter().enumerate() {
        fs::create_dir(folder.path().join(word)).unwrap();
        for speaker in SPEAKERS {
            let path = folder.path().join(word).join(format!("{speaker}_nohash_0.wav"));
            write_wav(&path, 16_000, &tone(440.0, 16_000, 400 + 160 * index));
        }
    }
    let noise = folder.path().join("_background_noise_");
    fs::create_dir(&noise).unwrap();
    write_wav(&noise.join("0_nohash_0.wav"), 16_000, &[0; 10]);
    fs::write(folder.path().join("README.md"), "not a recording").unwrap();
    folder
}

fn write_lists(folder: &Path, validation: &str, test: &str) {
    fs::write(folder.join("validation_list.txt"), validation).unwrap();
    fs::write(folder.join("testing_list.txt"), test).unwrap();
}

fn config(words: &[&str], unknown: bool) -> SpeechCommandsConfig {
    let words = words.iter().map(|&word| word.to_owned()).collect();
    SpeechCommandsConfig { words, unknown, ..Default::default() }
}

fn names(folder: &Path, split: Split) -> Vec<String> {
    let commands = SpeechCommands::open(folder).unwrap();
    let selected = commands.select(split, &config(&[], false)).unwrap();
    selected.iter().map(|(recording, _)| format!("{}/{}", recording.word, &recording.name[..8])).collect()
}

/// The message, which is one line and names `path`.
fn refuse(folder: &Path, path: &Path, config: &SpeechCommandsConfig) -> String {
    let load = |commands: SpeechCommands| commands.load(Split::Validation, config);
    let message = SpeechCommands::open(folder).and_then(load).unwrap_err().to_string();
    assert_eq!(message.lines().count(), 1, "{message}");
    message.strip_prefix(&*path.to_string_lossy()).unwrap_or_else(|| panic!("{message}")).to_owned()
}

#[test]
fn without_lists_the_hash_of_the_speaker_decides() {
    let folder = data_set();
    for (split, speaker) in [Split::Validation, Split::Test, Split::Train].into_iter().zip(SPEAKERS) {
        let expected = ["bed", "no", "unknown", "yes"].map(|word| format!("{word}/{speaker}"));
        assert_eq!(names(folder.path(), split), expected);
    }
    assert_eq!(names(folder.path(), Split::All).len(), 12);
}

#[test]
fn lists_decide_where_they_are_there() {
    let folder = data_set();
    write_lists(folder.path(), "yes/988e2f9a_nohash_0.wav\r\n", "\nno/988e2f9a_nohash_0.wav\n");
    assert_eq!(names(folder.path(), Split::Validation), ["yes/988e2f9a"]);
    assert_eq!(names(folder.path(), Split::Test), ["no/988e2f9a"]);
    assert_eq!(names(folder.path(), Split::Train).len(), 10);
}

#[test]
fn recordings_in_either_case_are_used_and_hidden_files_are_not() {
    let folder = data_set();
    let path = |name: &str| folder.path().join(name);
    fs::rename(path("yes/988e2f9a_nohash_0.wav"), path("yes/988e2f9a_nohash_0.WAV")).unwrap();
    fs::write(path("yes/._988e2f9a_nohash_0.WAV"), "not audio").unwrap();
    fs::write(path("no/._a69b9b3e_nohash_0.wav"), "not audio").unwrap();
    assert_eq!(names(folder.path(), Split::All).len(), 12);

    write_lists(folder.path(), "yes/988e2f9a_nohash_0.wav", "NO/988E2F9A_NOHASH_0.WAV");
    fs::rename(path("testing_list.txt"), path("TESTING_LIST.TXT")).unwrap();
    assert_eq!(names(folder.path(), Split::Validation), ["yes/988e2f9a"]);
    assert_eq!(names(folder.path(), Split::Test), ["no/988e2f9a"]);
    let commands = SpeechCommands::open(folder.path()).unwrap();
    assert_eq!(commands.load(Split::All, &config(&[], false)).unwrap().len(), 12);
}

#[test]
fn classes_are_all_words_or_the_chosen_ones_and_the_rest() {
    let folder = data_set();
    let commands = SpeechCommands::open(folder.path()).unwrap();
    assert_eq!(commands.words(), ["bed", "no", "unknown", "yes"]);
    assert_eq!(commands.recordings().len(), 12);
    let loaded = |config: &SpeechCommandsConfig| -> (Vec<String>, Vec<(usize, usize)>) {
        let words = commands.load(Split::Test, config).unwrap();
        let lengths = words.iter().map(|word| (word.class, word.frames.len())).collect();
        (commands.classes(config).unwrap(), lengths)
    };
    // The number of frames tells the word: yes 1, no 2, bed 3, unknown 4.
    let (classes, lengths) = loaded(&config(&[], false));
    assert_eq!(classes, ["bed", "no", "unknown", "yes"]);
    assert_eq!(lengths, [(0, 3), (1, 2), (2, 4), (3, 1)]);
    let (classes, lengths) = loaded(&config(&["yes", "bed"], false));
    assert_eq!(classes, ["yes", "bed"]);
    assert_eq!(lengths, [(1, 3), (0, 1)]);
    let (classes, lengths) = loaded(&config(&["yes", "bed"], true));
    assert_eq!(classes, ["yes", "bed", "unknown"]);
    assert_eq!(lengths, [(1, 3), (2, 2), (2, 4), (0, 1)]);
}

#[test]
fn frames_have_the_features_of_16_khz() {
    let folder = data_set();
    let commands = SpeechCommands::open(folder.path()).unwrap();
    let words = commands.load(Split::Train, &SpeechCommandsConfig::default()).unwrap();
    assert!(words.iter().all(|word| word.frames.features == 80));
}

#[test]
fn lists_that_do_not_fit_the_folder_are_refused() {
    let folder = data_set();
    let (root, all) = (folder.path(), config(&[], false));
    let [validation, test] = ["validation_list.txt", "testing_list.txt"].map(|name| root.join(name));
    let name = "yes/a69b9b3e_nohash_0.wav";

    write_lists(root, &format!("{name}\nyes/0_nohash_0.wav\n"), "");
    let message = refuse(root, &validation, &all);
    assert_eq!(message, ": line 2: there is no recording `yes/0_nohash_0.wav` in the folder");
    write_lists(root, "", "../\u{7}\n");
    let message = refuse(root, &test, &all);
    assert_eq!(message, ": line 1: there is no recording `../\\u{7}` in the folder");
    write_lists(root, name, name);
    let message = refuse(root, &test, &all);
    assert_eq!(message, format!(": line 1: `{name}` stands in validation_list.txt too"));
    write_lists(root, name, "");
    fs::write(&validation, [0xFF]).unwrap();
    assert!(refuse(root, &validation, &all).starts_with(": cannot be read"));
    fs::remove_file(&validation).unwrap();
    assert_eq!(refuse(root, &validation, &all), ": missing, although the other list is there");
    fs::remove_file(&test).unwrap();
    fs::write(&validation, name).unwrap();
    assert_eq!(refuse(root, &test, &all), ": missing, although the other list is there");
}

#[test]
fn what_cannot_be_loaded_is_named() {
    let folder = data_set();
    let (root, all) = (folder.path(), config(&[], false));
    let message = refuse(root, root, &config(&["yes", "maybe"], false));
    assert_eq!(message, ": no recording of the word `maybe`, only of bed, no, unknown, yes");
    let message = refuse(root, root, &config(&["a\u{7}b"], false));
    assert!(message.starts_with(": no recording of the word `a\\u{7}b`, only of bed"), "{message}");
    let damaged = root.join("bed/a69b9b3e_nohash_0.wav");
    fs::write(&damaged, "garbage").unwrap();
    assert!(refuse(root, &damaged, &all).starts_with(": not a valid WAV file"));
    write_lists(root, "", "");
    assert_eq!(refuse(root, root, &all), ": no recording in the Validation split");

    let none = root.join("none");
    assert!(refuse(&none, &none, &all).starts_with(": cannot be read"));
    let empty = tempfile::tempdir().unwrap();
    let message = refuse(empty.path(), empty.path(), &all);
    assert_eq!(message, ": no recording named {word}/{hash}_nohash_{n}.wav in it");
}

#[test]
fn contradictory_choices_are_refused() {
    for (config, message) in [
        (config(&["yes", "no", "yes"], false), "`words` is yes, but must be different words"),
        (config(&[], true), "`unknown` is true, but must be false where `words` names none"),
        (config(&["unknown"], true), "`words` is unknown, but must be other words"),
    ] {
        let error = config.validate().unwrap_err().to_string();
        assert!(error.starts_with(message), "{error}");
    }
    config(&["unknown"], false).validate().unwrap();
}

#[test]
fn configurations_survive_a_file() {
    let config = config(&["yes", "no"], true);
    let text = toml::to_string(&config).unwrap();
    assert_eq!(toml::from_str::<SpeechCommandsConfig>(&text).unwrap(), config);
    assert_eq!(toml::from_str::<SpeechCommandsConfig>("").unwrap(), SpeechCommandsConfig::default());
    let error = toml::from_str::<SpeechCommandsConfig>("word = []").unwrap_err();
    assert!(error.to_string().contains("unknown field"), "{error}");
}
