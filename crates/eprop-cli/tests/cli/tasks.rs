//! Tasks that draw their sequences, and those with rewards.

use std::path::Path;

use serde_json::Value;

use crate::support::{refuse, succeed, text};

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn evaluation(run: &Path) -> Value {
    serde_json::from_str(&read(&run.join("evaluation.json"))).expect("JSON")
}

/// A short delay, which takes seconds to learn to bridge.
const EVIDENCE: &str = "
task = 'evidence-accumulation'
iterations = 120
batch = 32
[validation]
every = 10
criterion = 0.9
stop = true
[network]
neurons = 40
tau_adaptation_ms = 300.0
adaptation_strength = 0.116
[evidence_accumulation]
cues = 3
cue_ms = 40
pause_ms = 10
delay_ms = 50
recall_ms = 30
cue_hz = 100.0
";

#[test]
fn evidence_is_accumulated_until_the_criterion_is_met() {
    let folder = tempfile::tempdir().expect("a folder");
    let [config, run] = ["evidence.toml", "run"].map(|name| folder.path().join(name));
    std::fs::write(&config, EVIDENCE).expect("written");
    let said = succeed(&["train", "--config", text(&config), "--out", text(&run)]);
    let evaluation = evaluation(&run);
    let solved = evaluation["solved_at"].as_u64().unwrap_or_else(|| panic!("not solved: {evaluation}"));
    assert!(said.contains(&format!("validation accuracy of 0.9 reached at iteration {solved}")), "{said}");
    assert!(solved.is_multiple_of(10) && evaluation["accuracy"].as_f64() > Some(0.85), "{evaluation}");
    let metrics = read(&run.join("metrics.csv"));
    assert_eq!(metrics.lines().count() as u64, 1 + solved, "it stopped there");
    assert!(metrics.starts_with(
        "iteration,loss,rate_loss,accuracy,firing_rate_hz,gradient_norm,learning_rate,validation_accuracy\n"
    ));
    for file in ["activity.svg", "confusion_matrix.svg", "learning_curve.svg"] {
        assert!(run.join(file).exists(), "{file}");
    }
    let validation = succeed(&["eval", text(&run), "--split", "validation", "--json"]);
    let validation: Value = serde_json::from_str(&validation).expect("JSON");
    let last = metrics.trim_end().rsplit(',').next().expect("a column");
    assert_eq!(validation["accuracy"].to_string(), last);
    refuse(&["eval", text(&run), "--split", "all"], &["draws its sequences", "--split test"]);
}

#[test]
fn a_bit_is_held_by_every_method() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("store.toml");
    let settings = "task = 'store-recall'\niterations = 2\nbatch = 4\n[network]\nneurons = 10\n[store_recall]\nframe_ms = 5\n";
    std::fs::write(&config, settings).expect("written");
    for method in ["eprop", "bptt", "eprop3", "readout"] {
        let run = folder.path().join(method);
        succeed(&["train", "--config", text(&config), "--method", method, "--out", text(&run)]);
        let evaluation = evaluation(&run);
        assert!(evaluation["accuracy"].as_f64().is_some_and(|share| (0.0..=1.0).contains(&share)));
        assert!(evaluation["solved_at"].is_null(), "{evaluation}");
    }
}

#[test]
fn rewards_teach_a_choice_and_a_maze() {
    let folder = tempfile::tempdir().expect("a folder");
    for (task, method, iterations) in
        [("delayed-choice", "eprop", "60"), ("memory-maze", "eprop", "80"), ("memory-maze", "bptt", "3")]
    {
        let run = folder.path().join(format!("{task}-{method}"));
        let arguments = ["train", task, "--method", method, "--iterations", iterations, "--out", text(&run)];
        let said = succeed(&arguments);
        let evaluation = evaluation(&run);
        let number = |name: &str| evaluation[name].as_f64().unwrap_or_else(|| panic!("{name}: {evaluation}"));
        assert!((0.3..0.7).contains(&number("random_solved")), "{evaluation}");
        if method == "eprop" {
            assert!(number("solved") > 0.75 && number("reward") > number("random_reward") + 0.3, "{said}");
        }
        assert_eq!(
            evaluation,
            serde_json::from_str::<Value>(&succeed(&["eval", text(&run), "--json"])).expect("JSON")
        );
        let again = folder.path().join("again");
        succeed(&[&arguments[..7], &[text(&again)]].concat());
        assert_eq!(read(&again.join("metrics.csv")), read(&run.join("metrics.csv")));
        std::fs::remove_dir_all(again).expect("removed");
    }
    // Entropy is learnt from beside rewards, online and from whole episodes, and is not told as a reward.
    for method in ["eprop", "bptt"] {
        let [settings, run] = ["entropy.toml", "entropy"].map(|name| folder.path().join(name));
        std::fs::write(&settings, "[reward]\nentropy_weight = 0.5\n").expect("written");
        let train = ["train", "delayed-choice", "--method", method, "--iterations", "1", "--out", text(&run)];
        let first = |more: &[&str]| {
            succeed(&[&train[..], more].concat());
            let metrics = read(&run.join("metrics.csv"));
            std::fs::remove_dir_all(&run).expect("removed");
            let row = metrics.lines().nth(1).expect("an iteration").split(',').map(str::to_owned);
            row.collect::<Vec<String>>()
        };
        let (without, with) = (first(&[]), first(&["--config", text(&settings)]));
        assert_ne!(with[1], without[1], "the loss");
        if method == "bptt" {
            assert_eq!(with[3], without[3], "the reward");
        }
    }
    let run = folder.path().join("memory-maze-eprop");
    refuse(&["eval", text(&run), "--split", "train"], &["--split"]);
    let online = folder.path().join("online.toml");
    std::fs::write(&online, "update = 'window'\n").expect("written");
    let arguments = ["train", "memory-maze", "--method", "bptt", "--config", text(&online)];
    refuse(&arguments, &["eprop alone", "update"]);
    std::fs::write(&online, "[reward]\ndiscount = 2.0\n").expect("written");
    refuse(&["train", "memory-maze", "--config", text(&online)], &["discount", "between 0 and 1"]);
    std::fs::write(&online, "[reward.memory_maze]\ncorridor = 1\n").expect("written");
    refuse(&["train", "memory-maze", "--config", text(&online)], &["corridor", "2 to 50"]);
}
