//! Saving a hook with its network, and going on from there.

use std::path::Path;

use burn::lr_scheduler::module_lr_scheduler::ModuleLrScheduler;
use burn::module::Module;
use burn::tensor::TensorCreationOptions;

use super::OptimizerHook;
use crate::accumulation::Accumulation;
use crate::carried::{Archive, Carried, from_entries};
use crate::checkpoint::{
    ACCUMULATED, Checkpoint, CheckpointError, HookRecord, Misfit, OPTIMIZER, SCHEDULER, STATE,
};
use crate::model::RecurrentModel;
use crate::record::{RecordError, load_optimizer};

impl<E, S> OptimizerHook<E, S> {
    /// Saves all that training goes on from as one [checkpoint](crate::checkpoint): the model, the optimizer's state, the stream's, the
    /// learning-rate schedule's, if there is one, gradients that accumulate, and the number of [updates](Self::updates). The file is written beside `path` and
    /// then renamed, so that an earlier one is never torn.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn save_checkpoint<M: RecurrentModel>(
        &self,
        model: &M,
        scheduler: Option<&ModuleLrScheduler>,
        path: impl AsRef<Path>,
    ) -> Result<(), CheckpointError>
    where
        S: Carried + Clone,
    {
        let checkpoint = || -> Result<Checkpoint, RecordError> {
            let checkpoint = Checkpoint::new(self.updates).with_model(model)?;
            let checkpoint = checkpoint.with_optimizer(&self.optimizer)?.with_state(&self.state)?;
            let waiting = Waiting { model, accumulated: self.accumulated.clone() };
            let checkpoint = checkpoint.with_carried(ACCUMULATED, &waiting)?;
            match scheduler {
                Some(scheduler) => checkpoint.with_scheduler(scheduler),
                None => Ok(checkpoint),
            }
        };
        save(checkpoint(), path.as_ref())
    }

    /// Goes on from a [checkpoint](Self::save_checkpoint), and returns the model as it was. Hook, model and schedule are made as those
    /// that were saved; whatever goes wrong, they stay as they are.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, is torn or damaged, or holds NaN or infinity; or if it is of another kind of hook, model or schedule: of other
    /// cells, constants, sizes or floating-point type, of another optimizer, or of a stream of another batch. A record in two files, as earlier
    /// versions wrote it, is what [`load`](Self::load) takes.
    pub fn load_checkpoint<M: RecurrentModel>(
        &mut self,
        model: &M,
        scheduler: Option<&mut ModuleLrScheduler>,
        path: impl AsRef<Path>,
    ) -> Result<M, CheckpointError>
    where
        S: Carried + Clone,
    {
        let path = path.as_ref();
        let checkpoint = Checkpoint::load(path)?;
        let filled = || -> Result<_, Misfit> {
            let model = checkpoint.model(model)?;
            let optimizer = checkpoint.optimizer(self.optimizer.clone(), &model)?;
            let state = checkpoint.state(&self.state, options(&model))?;
            let waiting = Waiting { model: &model, accumulated: Accumulation::default() };
            let accumulated = checkpoint.carried(ACCUMULATED, &waiting, options(&model))?.accumulated;
            let schedule = match (&scheduler, checkpoint.part(SCHEDULER)) {
                (Some(scheduler), _) => Some(checkpoint.scheduler((**scheduler).clone())?),
                (None, Some(_)) => return Err(Misfit::Unexpected(SCHEDULER)),
                (None, None) => None,
            };
            Ok((model, schedule, optimizer, state, accumulated))
        };
        let (model, schedule, optimizer, state, accumulated) =
            filled().map_err(|misfit| refused(path, misfit))?;
        (self.optimizer, self.state, self.accumulated) = (optimizer, state, accumulated);
        self.updates = checkpoint.updates();
        if let (Some(scheduler), Some(schedule)) = (scheduler, schedule) {
            *scheduler = schedule;
        }
        Ok(model)
    }

    /// What the stream carries from piece to piece; [`carried::entries`](crate::carried::entries) lists it by name.
    pub fn state(&self) -> &S {
        &self.state
    }

    /// Saves what the stream carries, and to which model it belongs, as a [checkpoint](crate::checkpoint) of no more than that.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn save_state<M: RecurrentModel>(
        &self,
        model: &M,
        path: impl AsRef<Path>,
    ) -> Result<(), CheckpointError>
    where
        S: Carried + Clone,
    {
        let checkpoint = Checkpoint::new(self.updates).with_fingerprint(model);
        save(checkpoint.and_then(|checkpoint| checkpoint.with_state(&self.state)), path.as_ref())
    }

    /// Takes over what a stream carried, from what [`save_state`](Self::save_state) or [`save_checkpoint`](Self::save_checkpoint) wrote. The model must
    /// have just the parameters that it had then; whatever goes wrong, the stream stays as it is.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, is torn or damaged, or holds NaN or infinity; if it is of a stream of another kind; or if state and model are a
    /// [mixed pair](Misfit::MixedPair).
    pub fn load_state<M: RecurrentModel>(
        &mut self,
        model: &M,
        path: impl AsRef<Path>,
    ) -> Result<(), CheckpointError>
    where
        S: Carried + Clone,
    {
        let path = path.as_ref();
        let checkpoint = Checkpoint::load(path)?;
        let paired = checkpoint.check_pair(model);
        let state = paired.and_then(|()| checkpoint.state(&self.state, options(model)));
        self.state = state.map_err(|misfit| refused(path, misfit))?;
        Ok(())
    }

    /// Resumes from a record of the hook alone, which earlier versions wrote beside a record of the network. Nothing in the two files tells
    /// whether they are of the same network at the same step: a warning to the [`log`] says so. Nor do they say how many
    /// [updates](Self::updates) there were.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or is of another kind of hook.
    #[deprecated(
        note = "two files may be of different steps, and nothing tells; `save_checkpoint` writes one"
    )]
    pub fn load(
        mut self,
        path: impl AsRef<Path>,
        model: &impl RecurrentModel,
    ) -> Result<Self, CheckpointError>
    where
        S: Carried + Clone,
    {
        let path = path.as_ref();
        let bytes =
            std::fs::read(path).map_err(|reason| CheckpointError::Read { path: path.into(), reason })?;
        let HookRecord { optimizer, state } =
            HookRecord::parse(bytes).map_err(|misfit| refused(path, misfit))?;
        let of = |part: &'static str| move |error| refused(path, Misfit::Part { part, error });
        self.state = from_entries(&self.state, state, options(model)).map_err(of(STATE))?;
        self.optimizer = load_optimizer(self.optimizer, model, optimizer).map_err(of(OPTIMIZER))?;
        log::warn!(
            "{}: a record of the hook alone does not tell whether the network beside it is of the same step; \
             `save_checkpoint` writes one file",
            path.display()
        );
        Ok(self)
    }
}

/// Gradients that wait for an update of a model.
#[derive(Clone)]
struct Waiting<'a, M> {
    model: &'a M,
    accumulated: Accumulation,
}

impl<M: Module> Carried for Waiting<'_, M> {
    fn visit(&mut self, archive: &mut Archive) {
        self.accumulated.visit(self.model, archive);
    }
}

fn options<M: RecurrentModel>(model: &M) -> TensorCreationOptions {
    model.networks()[0].valid().options()
}

fn save(checkpoint: Result<Checkpoint, RecordError>, path: &Path) -> Result<(), CheckpointError> {
    let failed = |error: RecordError| CheckpointError::Write { path: path.into(), reason: error.to_string() };
    checkpoint.map_err(failed)?.save(path)
}

fn refused(path: &Path, misfit: Misfit) -> CheckpointError {
    CheckpointError::Misfit { path: path.into(), misfit }
}
