//! `eprop align`: a run that also tells, over training, how its gradients lie to those of BPTT.

use std::sync::atomic::AtomicBool;

use anyhow::{Result, bail, ensure};
use burn::module::{ModuleVisitor, Param};
use burn::tensor::Tensor;
use burn_eprop::Batch;
use burn_eprop::alignment::alignment;
use clap::Args;
use eprop_tasks::plot::{self, AlignmentCurve};
use serde::{Deserialize, Serialize};

use crate::cli::{TrainArgs, positive};
use crate::config::{RunConfig, read_table};
use crate::method::{Method, MethodName, Model};
use crate::one_shot;
use crate::run_folder::RunFolder;
use crate::table::Table;
use crate::train::{self, CONFIG, Ending};

/// How often gradients are compared in a run, at most, where it is not said.
const COMPARISONS: usize = 50;

/// Options of `eprop align`.
#[derive(Debug, Clone, Args)]
pub struct AlignArgs {
    /// The run.
    #[command(flatten)]
    pub train: TrainArgs,
    /// Iterations from one comparison to the next (default: so that there are at most 50 comparisons in the run)
    #[arg(long, value_parser = positive, conflicts_with = "resume")]
    pub every: Option<usize>,
}

/// When gradients are compared with those of BPTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlignmentSettings {
    /// Iterations from one comparison to the next.
    pub every: usize,
}

impl AlignmentSettings {
    /// Checks that there is something to compare.
    ///
    /// # Errors
    ///
    /// If there is not.
    pub(crate) fn validate(&self, config: &RunConfig) -> Result<()> {
        ensure!(self.every > 0, "alignment.every is 0, but must be at least 1");
        ensure!(!config.task.has_rewards(), "[alignment] is for tasks without rewards");
        match config.method {
            MethodName::Bptt => bail!("[alignment] compares a method with bptt, but the method is bptt"),
            MethodName::Readout => bail!("[alignment] is for methods that train more than the readout"),
            MethodName::Eprop
            | MethodName::Eprop3
            | MethodName::TruncatedBptt
            | MethodName::TruncatedBpttSg => {}
        }
        Ok(())
    }
}

/// Trains a network and compares gradients as it goes.
///
/// # Errors
///
/// As [`train::run`].
pub fn run(args: &AlignArgs, interrupted: &AtomicBool) -> Result<Ending> {
    if let Some(path) = &args.train.resume {
        let settings = read_table(&RunFolder::open(path).file(CONFIG))?;
        let begun = settings.contains_key("alignment");
        ensure!(begun, "{} was not begun by align; eprop train --resume goes on with it", path.display());
        return train::resume(path, interrupted);
    }
    let one_shot = one_shot::config::asked_for(&args.train)?.is_some();
    ensure!(!one_shot, "align is for tasks that are learnt from sequences, not from one presentation");
    let mut config = RunConfig::resolve(&args.train)?;
    let default = || AlignmentSettings { every: config.iterations.div_ceil(COMPARISONS) };
    let asked = args.every.map(|every| AlignmentSettings { every });
    let settings = asked.or(config.alignment).unwrap_or_else(default);
    settings.validate(&config)?;
    config.alignment = Some(settings);
    train::start(&config, args.train.out.as_deref(), interrupted)
}

/// Compares a run's method with BPTT.
pub(crate) struct Comparison {
    settings: AlignmentSettings,
    method: Method,
    bptt: Method,
    parameters: Vec<String>,
}

impl Comparison {
    pub(crate) fn new(config: &RunConfig, model: &impl Model) -> Result<Option<Self>> {
        let Some(settings) = config.alignment else {
            return Ok(None);
        };
        let method = |name| Method::of(config, name).map(Method::without_outputs);
        let mut parameters = Parameters::default();
        model.visit(&mut parameters);
        Ok(Some(Self {
            settings,
            method: method(config.method)?,
            bptt: method(MethodName::Bptt)?,
            parameters: parameters.learnt,
        }))
    }

    /// The names of columns: the cosine of each parameter, and then its norm's ratio.
    pub(crate) fn columns(&self) -> Vec<String> {
        [COSINE, NORM_RATIO].into_iter().flat_map(|what| self.columns_of(what)).collect()
    }

    fn columns_of(&self, what: &str) -> impl Iterator<Item = String> {
        self.parameters.iter().map(move |parameter| format!("{what}{parameter}"))
    }

    /// A row of the columns; between two comparisons, that of the last.
    pub(crate) fn row(
        &mut self,
        iteration: usize,
        model: &impl Model,
        batch: &Batch,
        metrics: &Table,
    ) -> Vec<f64> {
        if !(iteration - 1).is_multiple_of(self.settings.every) {
            return self.columns().iter().map(|column| metrics.last(column)).collect();
        }
        // ANCHOR: compare
        let [found, exact] =
            [&mut self.method, &mut self.bptt].map(|method| model.estimate(method, batch).gradients);
        let found = alignment(model, &found, &exact);
        let of = |parameter| found.iter().find(|alignment| &alignment.parameter == parameter);
        let cosines =
            self.parameters.iter().map(|parameter| of(parameter).map_or(f64::NAN, |found| found.cosine));
        let ratios =
            self.parameters.iter().map(|parameter| of(parameter).map_or(f64::NAN, |found| found.norm_ratio));
        // ANCHOR_END: compare
        cosines.chain(ratios).collect()
    }

    /// Draws the figure, and returns what a person is told.
    pub(crate) fn conclude(&self, metrics: &Table, title: &str, folder: &RunFolder) -> Result<Vec<String>> {
        let column = |name: String| metrics.column(&name).unwrap_or_default();
        let curve = |parameter: &String| AlignmentCurve {
            parameter: parameter.clone(),
            cosine: column(format!("{COSINE}{parameter}")),
            norm_ratio: column(format!("{NORM_RATIO}{parameter}")),
        };
        let curves: Vec<AlignmentCurve> = self.parameters.iter().map(curve).collect();
        let file = folder.file("alignment.svg");
        plot::alignment(&file, title, &column("iteration".into()), &curves)?;
        let line = |curve: &AlignmentCurve| {
            let ends = |values: &[f64]| match values {
                [first, .., last] => format!("{first:.3} to {last:.3}"),
                _ => values.iter().map(|value| format!("{value:.3}")).collect(),
            };
            let AlignmentCurve { parameter, cosine, norm_ratio } = curve;
            format!("{parameter:<28} cosine {}, norm ratio {}", ends(cosine), ends(norm_ratio))
        };
        let said = curves.iter().map(line);
        Ok(said.chain([format!("alignment with BPTT: {}", file.display())]).collect())
    }
}

/// Prefix of the columns with cosines.
const COSINE: &str = "cosine ";
/// Prefix of the columns with norms in units of BPTT's.
const NORM_RATIO: &str = "norm_ratio ";

/// Whether a column is one of a comparison.
pub(crate) fn is_column(name: &str) -> bool {
    name.starts_with(COSINE) || name.starts_with(NORM_RATIO)
}

/// The parameters that a loss reaches, by their paths.
#[derive(Default)]
struct Parameters {
    path: Vec<String>,
    learnt: Vec<String>,
}

impl ModuleVisitor for Parameters {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let aside = ["feedback", "synthetic_gradient"];
        if param.val().is_require_grad() && !self.path.iter().any(|name| aside.contains(&name.as_str())) {
            self.learnt.push(self.path.join("."));
        }
    }
}
