//! An act that is one request about one object: what each such action must say. [`One`](super::one::One) makes an
//! action of it: sends the request once, waits for its task, looks at the object, finds out what was not seen.

use async_trait::async_trait;
use serde_json::Value;

use super::resource::Resource;
use super::typed;
use crate::actions::deps::Timing;
use crate::clients::proxmox::{Params, Site, Upload, Verb};
use crate::engine::ports::{Call, Mutate, Prediction, Probe, Reading, Unreadable, World};
use crate::event::Invocation;
use crate::model::action_spec::ActionSpec;
use crate::model::failure::{Class, Failure};
use crate::model::ids::{NodeName, Vmid};

/// The request that makes the change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub verb: Verb,
    /// Without `/api2/json`; segments encoded.
    pub path: String,
    pub params: Params,
    pub ends: Ends,
    /// A file of this machine that goes with it.
    pub upload: Option<Upload>,
}

/// How the end of the work is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ends {
    /// With the answer.
    WithAnswer,
    /// With a task, which the answer names; null where it was done at once.
    WithTask(Trail),
    /// With the answer, or with the task that it names: only the answer says which.
    AsAnswered,
}

/// Where a task shows whose id was not heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trail {
    /// The lists that would have it.
    pub lists: Vec<Resource>,
    /// `qmstart`, `hastart`: the types that the request may start.
    pub kinds: &'static [&'static str],
    /// What its task is about (`104@local`), where the lists have tasks about other things, too.
    pub about: Option<String>,
    /// Tasks of others, or of other steps of ours, show there that cannot be told from this one: none is taken for it,
    /// and the object is looked at when all have ended.
    pub shared: bool,
}

impl Request {
    /// A POST that starts a task about a guest on its node.
    pub fn about_guest(
        node: &NodeName,
        vmid: Vmid,
        path: String,
        params: Params,
        kinds: &'static [&'static str],
    ) -> Self {
        let lists = vec![Resource::GuestTasks(node.clone(), vmid)];
        Self {
            verb: Verb::Post,
            path,
            params,
            ends: Ends::WithTask(Trail { lists, kinds, about: None, shared: false }),
            upload: None,
        }
    }

    /// A POST that starts a task on a node about no guest, or about one that is not there yet.
    pub fn on_node(node: &NodeName, path: String, params: Params, kinds: &'static [&'static str]) -> Self {
        let lists = kinds.iter().map(|kind| Resource::TasksOf(node.clone(), (*kind).to_owned())).collect();
        Self {
            verb: Verb::Post,
            path,
            params,
            ends: Ends::WithTask(Trail { lists, kinds, about: None, shared: false }),
            upload: None,
        }
    }

    /// A request that is done when it is answered.
    pub fn at_once(verb: Verb, path: String, params: Params) -> Self {
        Self { verb, path, params, ends: Ends::WithAnswer, upload: None }
    }

    /// The same where its task is told from others by what it is about.
    pub fn about(mut self, id: String) -> Self {
        if let Ends::WithTask(trail) = &mut self.ends {
            trail.about = Some(id);
        }
        self
    }

    /// The same where its task cannot be told from others: see [`Trail::shared`].
    pub fn among_others(mut self) -> Self {
        if let Ends::WithTask(trail) = &mut self.ends {
            trail.shared = true;
        }
        self
    }

    pub fn with_verb(self, verb: Verb) -> Self {
        Self { verb, ..self }
    }

    /// As a person types it.
    pub fn typed(&self) -> String {
        if let Some(upload) = &self.upload {
            let file = upload.path.display();
            return format!(
                "# no command does POST {} with {file}: upload it in the web interface, or copy it there",
                self.path
            );
        }
        typed::call(self.verb, &self.path, &self.params)
    }
}

/// What a look at the object says.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    /// As wanted: the outputs.
    Done(Value),
    /// As before; in words, what it is like.
    Untouched(String),
    /// Between the two.
    Partial(String),
    /// Not the object that it was, or nothing that the act explains.
    Strange(String),
    /// Another's work is in its place: the act was certainly not done.
    Theirs(String),
}

impl Seen {
    /// Of an object that one request makes so: the outputs where it is as asked for, and in words what it is like.
    pub fn compared(wanted: Option<Value>, as_before: bool, is: String) -> Self {
        match wanted {
            Some(outputs) => Self::Done(outputs),
            None if as_before => Self::Untouched(is),
            None => Self::Strange(format!("it is neither as before nor as asked for: {is}")),
        }
    }

    /// `Ok` where it is as wanted, else what is seen.
    pub fn into_wanted(self) -> Result<Value, String> {
        match self {
            Self::Done(outputs) => Ok(outputs),
            Self::Untouched(is) | Self::Partial(is) | Self::Strange(is) | Self::Theirs(is) => Err(is),
        }
    }
}

/// One request about one object.
#[async_trait]
pub trait Act: Send + Sync {
    fn spec(&self) -> &ActionSpec;

    fn timing(&self) -> Timing;

    /// `start VM 104 (web-1) on pve2`: what failures say was attempted. `before` is the probe's.
    fn attempted(&self, call: &Call, before: &Value) -> String;

    /// For a call that only reads.
    ///
    /// # Errors
    /// As any reading.
    async fn read(&self, call: &Call, world: &dyn World) -> Result<Reading, Unreadable> {
        let _ = world;
        Err(Failure::new(Class::Internal, format!("read for step {}", call.path), "this act is not a reading").into())
    }

    /// Looks at the object; `before` of the probe is all that [`Act::request`] and [`Act::judge`] go by.
    ///
    /// # Errors
    /// What makes it impossible, as a precondition.
    async fn look(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable>;

    /// # Errors
    /// Parameters that do not fit together.
    fn request(&self, call: &Call, before: &Value) -> Result<Request, Failure>;

    /// Completes the request right before it is sent with what no plan, journal or typed command may hold.
    ///
    /// # Errors
    /// That cannot be had.
    async fn complete(
        &self,
        call: &Call,
        before: &Value,
        request: Request,
        mutate: &Mutate,
    ) -> Result<Request, Failure> {
        let _ = (call, before, mutate);
        Ok(request)
    }

    /// Right before the request is sent, or its task is waited for again.
    fn begins(&self, before: &Value, site: &Site) {
        let _ = (before, site);
    }

    /// Once it has failed with nothing done. Where that is not certain, what was begun may still show.
    fn nothing_done(&self, before: &Value, site: &Site) {
        let _ = (before, site);
    }

    /// Once it has ended well.
    ///
    /// # Errors
    /// What follows from it cannot be done.
    fn ended(&self, before: &Value, outputs: &Value, site: &Site, mutate: &Mutate) -> Result<(), Failure> {
        let _ = (before, outputs, site, mutate);
        Ok(())
    }

    /// How the object is now. `answer` is what the request gave back, (its task's id, where that has ended well), or what
    /// the step puts out, where that was heard: then the request has been carried out.
    ///
    /// # Errors
    /// It cannot be read.
    async fn judge(
        &self,
        call: &Call,
        before: &Value,
        answer: Option<&Value>,
        world: &dyn World,
    ) -> Result<Seen, Failure>;

    /// How many looks in a row must find it as wanted.
    fn looks(&self) -> u32 {
        1
    }

    /// For how long it must then be seen as wanted without a break.
    fn steady(&self, call: &Call) -> std::time::Duration {
        let _ = call;
        std::time::Duration::ZERO
    }

    /// How long the object may take to be as it should after its task has ended.
    fn settles_in(&self, call: &Call) -> std::time::Duration {
        let _ = call;
        self.timing().settle
    }

    fn predict(&self, call: &Call, before: &Probe) -> Prediction {
        let _ = (call, before);
        Prediction::default()
    }

    fn undo(&self, call: &Call, before: &Value, outputs: Option<&Value>) -> Option<Invocation> {
        let _ = (call, before, outputs);
        None
    }

    fn undo_summary(&self, call: &Call, before: &Probe) -> Option<String> {
        let _ = (call, before);
        None
    }

    /// Where a person sees that it is done, for `plan --as commands`: see [`typed::check`].
    fn check(&self, call: &Call, before: &Value) -> Option<String> {
        let _ = (call, before);
        None
    }

    /// Whether a request that is refused since somebody changed the object in between may be made anew from another look:
    /// where what is wanted does not depend on what was changed.
    fn looks_again(&self) -> bool {
        false
    }

    /// What kind of failure these words are, where the act knows better than the client.
    fn class(&self, call: &Call, cause: &str) -> Option<Class> {
        let _ = (call, cause);
        None
    }

    /// What to do about a failure with these words, where the act knows.
    fn remedy(&self, cause: &str) -> Option<String> {
        let _ = cause;
        None
    }
}
