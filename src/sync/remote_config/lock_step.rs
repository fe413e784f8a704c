//! Steps that are taken one after the other, for tests.

use super::{ConfigStep, StepId, StepOutcome, Steps};

/// Begins a step once the one before it is over.
#[derive(Debug)]
pub(crate) struct LockStep<S> {
    pub(crate) steps: S,
    under_way: Option<(StepId, ConfigStep)>,
}

impl<S: Steps> LockStep<S> {
    pub(crate) fn new(steps: S) -> Self {
        Self { steps, under_way: None }
    }

    /// What to do next; the same again until [`after`](Self::after) was told what has come of it. `None` at the end.
    pub(crate) fn next_step(&mut self) -> Option<ConfigStep> {
        self.under_way().map(|(_, step)| step)
    }

    /// Takes what has come of the next step.
    pub(crate) fn after(&mut self, outcome: StepOutcome) {
        if let Some((id, _)) = self.under_way() {
            self.under_way = None;
            self.steps.after(id, outcome);
        }
    }

    fn under_way(&mut self) -> Option<(StepId, ConfigStep)> {
        if self.under_way.is_none() {
            self.under_way = self.steps.begin();
            assert_eq!(self.under_way.is_none(), self.steps.is_finished(), "nothing else is under way");
        }
        self.under_way.clone()
    }
}
