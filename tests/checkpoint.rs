//! Checkpoints: training goes on as if it had not stopped, and what is damaged or does not belong together is refused.

use std::fs;
use std::path::{Path, PathBuf};

use burn::lr_scheduler::cosine::CosineAnnealingLrSchedulerConfig;
use burn::lr_scheduler::module_lr_scheduler::ModuleLrScheduler;
use burn::module::Module;
use burn::optim::{AdamConfig, ModuleOptimizer, SgdConfig};
use burn::tensor::DType;
use burn_eprop::bidirectional::Bidirectional;
use burn_eprop::carried::{Carried, entries};
use burn_eprop::cell::{Alif, AlifConfig};
use burn_eprop::checkpoint::{Checkpoint, CheckpointError, Misfit};
use burn_eprop::constant::Constant;
use burn_eprop::estimator::{BoundaryLearning, Eprop, Eprop3};
use burn_eprop::readout::LeakyReadoutConfig;
use burn_eprop::record::RecordError;
use burn_eprop::signal::{Learned, Symmetric};
use burn_eprop::synthetic_gradient::SyntheticGradientConfig;
use burn_eprop::{Loss, Network, NetworkConfig, Objective, OnlineEstimator, OptimizerHook};
use eprop_tests::findings::values;
use eprop_tests::streams::{BATCH, batch, device, hook, learnt, network, schedule, weights};
use eprop_tests::{streams, warnings};
use tempfile::TempDir;

/// A folder, and the path of a file in it.
fn place(name: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(name);
    (folder, path)
}

/// A saved stream goes on as if it had not stopped, with a hook and a network that are made anew.
fn goes_on<E: OnlineEstimator<Alif>>(hook: fn() -> OptimizerHook<E>, network: fn() -> Network<Alif>)
where
    E::State: Carried,
{
    let (_folder, path) = place("stream.bpk");
    let piece = |range| batch(None).piece(range);
    let (start, mut scheduler) = (network(), schedule());
    let mut stream = hook().into_stream(&start, BATCH);
    let (start, report) = stream.feed(scheduler.step(), start, &piece(0..25));
    assert!(report.gradient_norm > 0.0);
    let (before, _) = stream.feed(scheduler.step(), start, &piece(25..28));
    // ANCHOR: save
    stream.save_checkpoint(&before, Some(&scheduler), &path).expect("saved");
    // ANCHOR_END: save
    let (straight, first) = stream.feed(scheduler.step(), before, &piece(28..60));

    // ANCHOR: load
    let mut scheduler = schedule();
    let mut stream = hook().into_stream(&network(), BATCH);
    let before = stream.load_checkpoint(&network(), Some(&mut scheduler), &path).expect("loaded");
    // ANCHOR_END: load
    assert_eq!(stream.updates(), 2);
    let rate = scheduler.step();
    assert!((rate.base() - 1e-2 * 0.81).abs() < 1e-12, "{}", rate.base());
    let (again, second) = stream.feed(rate, before.clone(), &piece(28..60));
    assert_eq!((first.loss, first.gradient_norm), (second.loss, second.gradient_norm));
    assert_eq!(weights(&straight), weights(&again));
    assert_eq!(stream.updates(), 3);

    // Without the stream's state, and without the optimizer's, the same piece teaches something else.
    let mut fresh = hook().into_stream(&before, BATCH);
    let (fresh, _) = fresh.feed(1e-2 * 0.81, before.clone(), &piece(28..60));
    assert_ne!(weights(&straight), weights(&fresh));
    let mut whole = hook();
    let refused = whole.load_checkpoint(&before, Some(&mut schedule()), &path);
    assert!(matches!(part(refused), ("state", RecordError::Mismatch { .. })));
}

#[test]
fn a_stream_of_eprop_goes_on() {
    goes_on(hook, network);
}

/// The error module's state is the stream's.
#[test]
fn a_stream_of_a_learned_signal_goes_on() {
    let learned = || {
        let cells = vec![AlifConfig::mixed(5, 3, 0.1).init(&device())];
        let module = NetworkConfig::new(3 + 12 + 4, 12).with_seed(5).init(cells, &device());
        let objective = Objective::sum(Loss::MeanSquaredError);
        OptimizerHook::new(adam(), Eprop::new(objective, Learned::new(&module)).with_chunk(7))
    };
    goes_on(learned, network);
}

fn adam() -> ModuleOptimizer {
    AdamConfig::new().init()
}

/// e-prop 3 in short windows, with BP(λ).
fn windows() -> OptimizerHook<Eprop3> {
    let learning = BoundaryLearning { lambda: 0.7, discount: 0.9 };
    let eprop3 = Eprop3::new(Objective::sum(Loss::MeanSquaredError), 3).with_boundary_learning(learning);
    OptimizerHook::new(adam(), eprop3)
}

/// With factors of traces, and with what BP(λ) remembers.
#[test]
fn a_stream_of_windows_goes_on() {
    goes_on(windows, || network().with_synthetic_gradient(&SyntheticGradientConfig::new()));
}

/// Whole sequences, in both directions, without a schedule.
#[test]
fn a_hook_for_whole_sequences_goes_on() {
    let (_folder, path) = place("both.bpk");
    let both = || Bidirectional::new(network(), network());
    let (mut learner, mut fresh) = (hook(), hook());
    let (before, _) = learner.step(1e-2, both(), &batch(None));
    learner.save_checkpoint(&before, None, &path).expect("saved");
    let loaded = fresh.load_checkpoint(&both(), None, &path).expect("loaded");
    let [straight, again] = [(&mut learner, before), (&mut fresh, loaded)]
        .map(|(hook, model)| hook.step(1e-2, model, &batch(None)).0);
    assert_eq!(weights(&straight.backward), weights(&again.backward));
    assert_eq!((learner.updates(), fresh.updates()), (2, 2));
}

/// Gradients that wait for an update are not lost.
#[test]
fn accumulated_gradients_are_carried_along() {
    let (_folder, path) = place("accumulated.bpk");
    let hook = || streams::hook().with_accumulation(3);
    let pieces = |hook: &mut OptimizerHook<Eprop>, mut model: Network<Alif>, count| {
        for _ in 0..count {
            model = hook.step(1e-2, model, &batch(None)).0;
        }
        model
    };
    let mut learner = hook();
    let model = pieces(&mut learner, network(), 5);
    assert_eq!(learner.updates(), 1);
    learner.save_checkpoint(&model, None, &path).expect("saved");
    let straight = pieces(&mut learner, model, 1);
    // What waits in the hook that is filled is gone.
    let mut fresh = hook();
    let other = pieces(&mut fresh, network(), 1);
    let model = fresh.load_checkpoint(&other, None, &path).expect("loaded");
    assert_eq!(weights(&pieces(&mut fresh, model, 1)), weights(&straight));
    assert_eq!((learner.updates(), fresh.updates()), (2, 2));
}

/// What was refused.
fn misfit<T>(result: Result<T, CheckpointError>) -> Misfit {
    match result.map(|_| ()).expect_err("refused") {
        CheckpointError::Misfit { misfit, .. } => misfit,
        other => panic!("{other}"),
    }
}

/// Which part was refused, and why.
fn part<T>(result: Result<T, CheckpointError>) -> (&'static str, RecordError) {
    match misfit(result) {
        Misfit::Part { part, error } => (part, error),
        other => panic!("{other}"),
    }
}

/// Loads `path` where nothing may change.
fn refused(path: &Path) -> CheckpointError {
    let (mut other, model, mut scheduler) = learnt(1);
    let (mut twin, mut twins_scheduler) = (other.clone(), scheduler.clone());
    let error = other.load_checkpoint(&model, Some(&mut scheduler), path).expect_err("refused");
    assert_eq!((other.updates(), entries(other.state())), (1, entries(twin.state())));
    let piece = batch(None).piece(10..20);
    let (untouched, _) = twin.feed(twins_scheduler.step(), model.clone(), &piece);
    let (model, _) = other.feed(scheduler.step(), model, &piece);
    assert_eq!(weights(&model), weights(&untouched), "optimizer and schedule are what they were");
    error
}

#[test]
fn what_is_torn_or_damaged_is_refused_and_changes_nothing() {
    let (_folder, path) = place("run.bpk");
    let (learner, model, scheduler) = learnt(2);
    learner.save_checkpoint(&model, Some(&scheduler), &path).expect("saved");
    let whole = fs::read(&path).expect("saved");
    assert!(Checkpoint::from_bytes(whole.clone()).is_ok());
    let is_damaged = |bytes: Vec<u8>| matches!(Checkpoint::from_bytes(bytes), Err(Misfit::Damaged(_)));
    assert!((0..whole.len()).step_by(97).all(|length| is_damaged(whole[..length].to_vec())));
    for place in (0..whole.len()).step_by(13).chain(whole.len() - 4..whole.len()) {
        let mut damaged = whole.clone();
        damaged[place] ^= 1 << (place % 8);
        assert!(is_damaged(damaged), "byte {place}");
    }
    for damaged in [&whole[..whole.len() - 1], &[], &[whole.clone(), vec![0]].concat()] {
        fs::write(&path, damaged).expect("written");
        let message = refused(&path).to_string();
        assert!(message.contains("run.bpk: not a whole checkpoint"), "{message}");
    }
}

#[test]
fn another_step_is_refused_as_a_mixed_pair() {
    let (_folder, path) = place("mixed.bpk");
    let [early, late] = [1, 3].map(|pieces| {
        let (learner, model, scheduler) = learnt(pieces);
        learner.save_checkpoint(&model, Some(&scheduler), &path).expect("saved");
        (learner, model, Checkpoint::load(&path).expect("whole"))
    });
    let model = late.2.part("model").expect("there");
    early.2.clone().with_part("model", model).save(&path).expect("saved");
    let message = refused(&path).to_string();
    assert!(
        message.contains("mixed.bpk: a mixed pair: what was saved beside the network (updates: 1)"),
        "{message}"
    );

    // The stream's state alone belongs to a network, too.
    let (mut stream, model) = (early.0.clone(), late.1);
    early.0.save_state(&early.1, &path).expect("saved");
    assert!(matches!(misfit(stream.load_state(&model, &path)), Misfit::MixedPair { updates: 1 }));
    assert!(matches!(misfit(stream.load_state(&network(), &path)), Misfit::MixedPair { updates: 1 }));
    assert!(stream.load_state(&early.1, &path).is_ok());
    assert!(matches!(misfit(stream.load_checkpoint(&model, None, &path)), Misfit::Missing("configuration")));
}

#[test]
fn another_network_is_refused_by_what_differs() {
    let (_folder, path) = place("run.bpk");
    let (learner, model, scheduler) = learnt(2);
    learner.save_checkpoint(&model, Some(&scheduler), &path).expect("saved");
    let message = |other: &Network<Alif>| {
        let mut stream = hook().into_stream(other, BATCH);
        let error = stream.load_checkpoint(other, Some(&mut schedule()), &path);
        error.map(|_| ()).expect_err("refused").to_string()
    };
    let alif = || AlifConfig::mixed(6, 3, 0.1);
    let of = |config: NetworkConfig, cell: AlifConfig, layers| {
        config.init(vec![cell.init(&device()); layers], &device())
    };
    let config = || NetworkConfig::new(4, 2);
    let slower = message(&of(config(), alif().with_tau_membrane_ms(30.0.into()), 2));
    assert!(
        slower.ends_with("`layers.0.constants.tau_membrane_ms` is 20.0 in the file, but 30.0 in the network"),
        "{slower}"
    );
    let readout = LeakyReadoutConfig::new().with_tau_ms(Some(5.0));
    let other = message(&of(config().with_readout(Some(readout)), alif(), 2));
    assert!(other.ends_with("`readout.tau_ms` is 20.0 in the file, but 5.0 in the network"), "{other}");
    let higher = message(&of(config(), alif().with_threshold(0.7), 2));
    assert!(higher.contains("`layers.0.constants.threshold` is 0.6"), "{higher}");
    let each = alif().with_tau_membrane_ms(Constant::PerNeuron(vec![20.0; 6]));
    assert!(message(&of(config(), each, 2)).contains("but \"per neuron\" in the network"));
    let lower = message(&of(config(), alif(), 1));
    assert!(lower.contains("`layers.1` is {") && lower.contains("but missing in the network"), "{lower}");
    // Of the same constants, but other sizes, or one synthetic gradient more.
    assert!(message(&of(NetworkConfig::new(5, 2), alif(), 2)).contains("model: `layers.0.w_in`"));
    let more = network().with_synthetic_gradient(&SyntheticGradientConfig::new());
    assert!(message(&more).contains("model: `synthetic_gradient."), "{}", message(&more));
    let options = (&device(), DType::F64);
    let wide = config().init(vec![alif().init(options); 2], options);
    assert!(message(&wide).contains("model: `"), "{}", message(&wide));
}

#[test]
fn another_hook_or_schedule_is_refused() {
    let (_folder, path) = place("run.bpk");
    let (learner, model, scheduler) = learnt(2);
    learner.save_checkpoint(&model, Some(&scheduler), &path).expect("saved");
    let network = network();
    let objective = Objective::sum(Loss::MeanSquaredError);
    let load = |hook: OptimizerHook<Eprop>, batch: usize, mut scheduler: Option<ModuleLrScheduler>| {
        hook.into_stream(&network, batch).load_checkpoint(&network, scheduler.as_mut(), &path)
    };
    let (named, error) = part(load(hook(), BATCH + 1, Some(schedule())));
    assert!(named == "state" && error.to_string().contains("`network.layers.0.hidden.0`"), "{error}");
    let other_signal = OptimizerHook::new(adam(), Eprop::new(objective, Symmetric));
    assert_eq!(part(load(other_signal, BATCH, Some(schedule()))).0, "state");
    let sgd: ModuleOptimizer = SgdConfig::new().init();
    let other_optimizer = OptimizerHook::new(sgd, learner.estimator().clone());
    assert_eq!(part(load(other_optimizer, BATCH, Some(schedule()))).0, "optimizer");

    let cosine = CosineAnnealingLrSchedulerConfig::new(1e-2, 10).init().expect("a schedule");
    assert_eq!(part(load(hook(), BATCH, Some(cosine.clone()))).0, "scheduler");
    // A constant rate has no state.
    assert_eq!(part(load(hook(), BATCH, Some(1e-2.into()))).0, "scheduler");
    assert!(matches!(misfit(load(hook(), BATCH, None)), Misfit::Unexpected("scheduler")));
    learner.save_checkpoint(&model, None, &path).expect("saved");
    assert!(matches!(misfit(load(hook(), BATCH, Some(cosine))), Misfit::Missing("scheduler")));
    learner.save_checkpoint(&model, Some(&1e-2.into()), &path).expect("saved");
    assert_eq!(part(load(hook(), BATCH, Some(schedule()))).0, "scheduler");
    assert!(load(hook(), BATCH, Some(1e-2.into())).is_ok());
}

#[test]
fn foreign_windows_are_refused_by_name() {
    let (_folder, path) = place("windows.bpk");
    let module = SyntheticGradientConfig::new();
    let model = network().with_synthetic_gradient(&module);
    let mut stream = windows().into_stream(&model, BATCH);
    let (model, _) = stream.feed(1e-2, model, &batch(None).piece(0..25));
    stream.save_state(&model, &path).expect("saved");
    let state = Checkpoint::load(&path).expect("whole");
    let named = |network: &Network<Alif>| {
        let other = windows().into_stream(network, BATCH);
        match state.state(other.state(), network.options()).map(|_| ()) {
            Err(Misfit::Part { part: "state", error: RecordError::Mismatch { part } }) => part,
            other => panic!("{other:?}"),
        }
    };
    // Neurons of the same number, but each with a time constant of its own.
    let taus = Constant::PerNeuron((0..6).map(|neuron| 10.0 + f64::from(neuron)).collect());
    let cell = AlifConfig::mixed(6, 3, 0.1).with_tau_membrane_ms(taus).init(&device());
    let other = NetworkConfig::new(4, 2).with_seed(3).init(vec![cell; 2], &device());
    assert_eq!(named(&other.with_synthetic_gradient(&module)), "traces.0.components");
    // Another module.
    let other = network().with_synthetic_gradient(&module.with_hidden(vec![5]));
    assert!(named(&other).starts_with("boundary."), "{}", named(&other));
}

#[test]
fn a_stream_can_be_looked_at() {
    let (stream, _, _) = learnt(2);
    let parts = entries(stream.state());
    let numbers = |name: &str| -> Vec<f64> { parts[name].iter().collect() };
    assert_eq!(numbers("time"), [20.0]);
    assert_eq!(parts["network.layers.1.hidden.0"].shape().as_slice(), [BATCH, 6]);
    // The readout's output is that of the second piece, by the weights that the first one left.
    let (start, after, piece) = (network(), learnt(1).1, |range| batch(None).piece(range).inputs().clone());
    let (_, state) = start.forward_from(piece(0..10), start.initial_state(BATCH));
    let (outputs, _) = after.forward_from(piece(10..20), state.detach());
    let last = values(&outputs.slice([0..BATCH, 9..10]));
    let found = numbers("network.output");
    assert_eq!(last.len(), found.len());
    assert!(last.iter().zip(&found).all(|(last, found)| (last - found).abs() < 1e-4), "{last:?} {found:?}");
}

#[test]
fn files_are_written_as_a_whole() {
    let (folder, path) = place("run.bpk");
    let (learner, model, _) = learnt(1);
    let none = folder.path().join("none").join("run.bpk");
    let unwritten = learner.save_checkpoint(&model, None, &none).expect_err("no folder");
    assert!(matches!(&unwritten, CheckpointError::Write { path, .. } if *path == none));
    assert!(unwritten.to_string().contains("none/run.bpk") && unwritten.to_string().contains("No such file"));
    let unread = Checkpoint::load(&none).expect_err("no file");
    assert!(matches!(&unread, CheckpointError::Read { path, .. } if *path == none), "{unread}");
    fs::write(&path, "an earlier file").expect("written");
    learner.save_checkpoint(&model, None, &path).expect("saved");
    assert!(Checkpoint::load(&path).is_ok());
    assert_eq!(fs::read_dir(folder.path()).expect("there").count(), 1, "something beside the file");
}

/// As all files of the process.
#[cfg(unix)]
#[test]
fn the_mode_of_files_follows_from_the_umask() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, path) = place("run.bpk");
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode();
    let plain = folder.path().join("plain");
    fs::write(&plain, "").expect("written");
    let (learner, model, _) = learnt(1);
    learner.save_checkpoint(&model, None, &path).expect("saved");
    assert_eq!(mode(&path), mode(&plain));
    // A file that was kept from others stays so.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("set");
    learner.save_checkpoint(&model, None, &path).expect("saved");
    assert_eq!(mode(&path) & 0o777, 0o600);
}

/// Two files as they were written before there were checkpoints.
#[test]
fn records_in_two_files_are_read_with_a_warning() {
    warnings::listen();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join("records");
    let [of_stream, of_network] = ["stream.bpk", "network.bpk"].map(|name| folder.join(name));
    let network = network().load_file(&of_network);
    let mut stream = hook().into_stream(&network, BATCH);
    let refused = stream.load_checkpoint(&network, None, &of_stream);
    assert!(matches!(misfit(refused), Misfit::HookAlone));

    #[allow(deprecated)]
    let mut loaded = hook().into_stream(&network, BATCH).load(&of_stream, &network).expect("loaded");
    let said = warnings::about("stream.bpk");
    assert!(said.iter().any(|line| line.starts_with("WARN") && line.contains("same step")), "{said:?}");
    let time: Vec<f64> = entries(loaded.state())["time"].iter().collect();
    assert_eq!(time, [28.0]);
    // Neither the stream's state nor the optimizer's is that of a fresh one.
    let piece = batch(None).piece(28..60);
    let (resumed, report) = loaded.feed(1e-2, network.clone(), &piece);
    let (fresh, other) = stream.feed(1e-2, network.clone(), &piece);
    assert!(report.ensure_finite().is_ok() && other.ensure_finite().is_ok());
    assert_ne!(weights(&resumed), weights(&fresh));

    #[allow(deprecated)]
    let foreign = hook().load(&of_stream, &network);
    assert_eq!(part(foreign).0, "state");
}

/// A program's own parts are carried along, and a part that is missing is named.
#[test]
fn parts_of_ones_own() {
    let checkpoint = Checkpoint::new(u64::MAX).with_part("notes", "seen").with_part("empty", []);
    let again = Checkpoint::from_bytes(checkpoint.to_bytes().expect("written")).expect("whole");
    assert_eq!(again, checkpoint);
    assert_eq!((again.updates(), again.part("notes")), (u64::MAX, Some(&b"seen"[..])));
    assert!(matches!(again.module(&network()).map(|_| ()), Err(Misfit::Missing("model"))));
}
