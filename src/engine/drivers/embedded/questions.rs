//! People: what they are asked, what they answer here, and what is said to the run from another process.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::dispatcher::Dispatcher;
use super::ports::{DriverError, Told};
use crate::engine::machine::{Awaiting, StepIx};
use crate::engine::ports::{Answer, Approver};
use crate::event::{Decision, Fact, Note, Question, Request, RunStatus};
use crate::model::ids::StepPath;

/// The questions that wait for somebody. Nobody waits for them when the run is given up.
pub struct Questions {
    approver: Arc<dyn Approver>,
    asked: JoinSet<()>,
    /// Questions that there is nobody here to answer.
    unattended: BTreeSet<StepIx>,
    answer: mpsc::UnboundedSender<(StepIx, Answer)>,
    pub answers: mpsc::UnboundedReceiver<(StepIx, Answer)>,
}

impl Questions {
    pub fn new(approver: Arc<dyn Approver>) -> Self {
        let (answer, answers) = mpsc::unbounded_channel();
        Self { approver, asked: JoinSet::new(), unattended: BTreeSet::new(), answer, answers }
    }

    fn ask(&mut self, ix: StepIx, path: StepPath, question: Question) {
        let (approver, answer) = (self.approver.clone(), self.answer.clone());
        self.asked.spawn(async move {
            let _ = answer.send((ix, approver.ask(&path, &question).await));
        });
    }
}

impl Dispatcher {
    pub(super) fn ask(&mut self, ix: StepIx) -> Result<(), DriverError> {
        let node = self.state.node(ix);
        // Answered since, from elsewhere.
        if !matches!(node.awaiting, Awaiting::Answer | Awaiting::Decision) {
            return Ok(());
        }
        let Some(question) = node.question.clone() else { return Ok(()) };
        let path = node.path.clone();
        self.feed(Fact::Asked { path, question: question.clone() })?;
        // A person may take hours: nothing is left undurable meanwhile.
        self.ledger.commit()?;
        let node = self.state.node(ix);
        self.questions.ask(ix, node.path.clone(), question);
        Ok(())
    }

    pub(super) fn answered(&mut self, ix: StepIx, answer: Answer) -> Result<(), DriverError> {
        let node = self.state.node(ix);
        let (path, attempt) = (node.path.clone(), node.attempt);
        self.feed(match answer {
            Answer::Approved { who, word } => {
                Fact::Approved { path, who, word, hash: Some(self.state.hash().to_owned()) }
            }
            Answer::Declined { who, why } => Fact::Declined { path, who, why },
            Answer::Decided { who, decision } => Fact::Decided { path, attempt, who, decision },
            // What to do about a failure is asked at a terminal or not at all.
            Answer::Nobody if node.awaiting == Awaiting::Decision => {
                Fact::Decided { path, attempt, who: "nobody to ask".into(), decision: Decision::Stop }
            }
            Answer::Nobody => {
                self.questions.unattended.insert(ix);
                return Ok(());
            }
        })
    }

    /// All that is left waits for a person who is not here: the run needs no process until somebody answers.
    pub(super) fn waits_for_others(&self) -> bool {
        !self.questions.unattended.is_empty()
            && self.crew.units.is_empty()
            && self.requests.is_empty()
            && self.state.status() == RunStatus::Waiting
            && self.state.active().all(|ix| self.questions.unattended.contains(&ix))
    }

    /// What somebody says from another process.
    pub(super) fn told(&mut self, told: Told) -> Result<(), DriverError> {
        let Told { who, key, request } = told;
        let (path, attempt, answer) = match request {
            Request::Signal(signal) => return self.feed(Fact::Signalled { key, signal }),
            Request::Approve { path, attempt, word } => (path, attempt, Answer::Approved { who, word }),
            Request::Decline { path, attempt, why } => (path, attempt, Answer::Declined { who, why }),
            Request::Decide { path, attempt, decision } => (path, attempt, Answer::Decided { who, decision }),
        };
        let decides = matches!(answer, Answer::Decided { .. });
        let fits = |ix: &StepIx| {
            let node = self.state.node(*ix);
            let wanted = if decides { Awaiting::Decision } else { Awaiting::Answer };
            node.awaiting == wanted
                && path.as_ref().is_none_or(|path| *path == node.path)
                && attempt.is_none_or(|attempt| attempt == node.attempt)
        };
        let waiting: Vec<StepIx> = self.state.active().filter(fits).take(2).collect();
        let &[ix] = waiting.as_slice() else {
            let line = "an answer came for a question that is not, or not alone, waiting: it was dropped".to_owned();
            self.note(Note::Message { line });
            return Ok(());
        };
        let word = self.state.node(ix).question.as_ref().and_then(|q| q.word.clone());
        if let Answer::Approved { word: said, .. } = &answer
            && word.is_some()
            && *said != word
        {
            let line = format!("an approval of {} without its word was dropped", self.state.node(ix).path);
            self.note(Note::Message { line });
            return Ok(());
        }
        self.answered(ix, answer)
    }
}
