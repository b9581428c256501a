//! Delivers what is in the outbox for one receiver, beside the run and never in its way.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::target::{Resolver, Target};
use crate::app::config::Config;
use crate::app::settings::Settings;
use crate::clients::notify::{Letter, SendError, Sender};
use crate::engine::ports::Clock;
use crate::event::Event;
use crate::journal::{Mail, Outbox, Store, StoreError, SystemClock, Watched};
use crate::model::notify::Receiver;
use crate::report::{Notice, RunView, moments, notice};
use crate::secrets::{Redactor, Secrets};

/// How long a courier without work sleeps at most.
const IDLE: Duration = Duration::from_secs(3600);

/// What a courier is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ring {
    /// Something was recorded that may be told.
    Fact,
    /// The run is over or parked: deliver what there is and go.
    End,
}

/// What became of a letter that was tried.
#[derive(Debug, Clone)]
pub struct Tried {
    pub mail: Mail,
    /// Why it was not delivered.
    pub error: Option<String>,
}

#[derive(Clone)]
pub(super) struct Courier {
    pub settings: Settings,
    pub config: Arc<Config>,
    pub store: Arc<Store>,
    pub outbox: Arc<Outbox>,
    pub redactor: Redactor,
    pub target: Target,
    /// For a program that has to be asked for a secret.
    pub patience: Duration,
}

/// Why one try failed, and whether all further would.
struct Failed {
    why: String,
    refused: bool,
}

impl Failed {
    fn now(why: impl Into<String>) -> Self {
        Self { why: why.into(), refused: false }
    }
}

impl From<SendError> for Failed {
    fn from(error: SendError) -> Self {
        Self { refused: error.is_refusal(), why: error.to_string() }
    }
}

impl Courier {
    /// Works until it is told to end.
    pub async fn work(self, mut bell: mpsc::UnboundedReceiver<Ring>) {
        loop {
            let wait = self.round(false).await.map_or(IDLE, |(_, wait)| wait);
            let rung = tokio::select! {
                rung = bell.recv() => rung,
                () = tokio::time::sleep(wait) => Some(Ring::Fact),
            };
            if rung != Some(Ring::Fact) {
                break;
            }
        }
        // Also what was to wait: the next process may be long in coming. What fails here stays for it.
        let _ = self.round(true).await;
    }

    /// Makes the letters that are due and delivers them, oldest first, until one cannot be delivered: those behind it
    /// would fail too, and come in order later. `force`: also those that are to wait. And how long to wait then.
    pub async fn round(&self, force: bool) -> Result<(Vec<Tried>, Duration), StoreError> {
        let mut tried = Vec::new();
        let mut sender = None;
        for mail in self.letters().await? {
            let now = SystemClock.now();
            if mail.due > now && !force {
                return Ok((tried, Duration::from_millis(mail.due - now)));
            }
            let claimed = self.blocking({
                let mail = mail.clone();
                move |courier| courier.outbox.claim(&mail, now)
            });
            if !claimed.await? {
                continue;
            }
            let sent = self.deliver(&mail, &mut sender).await;
            let error = sent.as_ref().err().map(|failed| self.redactor.redact(&failed.why).into_owned());
            let refused = sent.err().is_some_and(|failed| failed.refused);
            self.settle(mail.clone(), error.clone(), refused).await?;
            let stop = error.is_some() && !refused;
            tried.push(Tried { mail, error });
            if stop {
                break;
            }
        }
        let due = self.letters().await?.first().map(|mail| mail.due.saturating_sub(SystemClock.now()));
        Ok((tried, due.map_or(IDLE, Duration::from_millis)))
    }

    /// Letters of this receiver that are to be delivered, oldest first.
    async fn letters(&self) -> Result<Vec<Mail>, StoreError> {
        self.blocking(|courier| {
            let on = &courier.target.notify.on;
            let wants = |event: &Event| {
                let moments = moments(event);
                moments.iter().any(|moment| on.contains(moment)).then(|| moments[0].as_str())
            };
            courier.outbox.expire(SystemClock.now())?;
            let Target { key, label, .. } = &courier.target;
            courier.outbox.collect(&Watched { target: key, label, wants: &wants })?;
            Ok(courier.outbox.pending()?.into_iter().filter(|mail| mail.target == *key).collect())
        })
        .await
    }

    async fn settle(&self, mail: Mail, error: Option<String>, refused: bool) -> Result<(), StoreError> {
        self.blocking(move |courier| match error {
            None => courier.outbox.delivered(&mail),
            Some(why) => courier.outbox.failed(&mail, SystemClock.now(), &why, refused),
        })
        .await
    }

    async fn deliver(&self, mail: &Mail, sender: &mut Option<Sender>) -> Result<(), Failed> {
        let (run, seq) = (mail.run.clone(), mail.seq);
        let notice = self.blocking(move |courier| {
            let mut view = RunView::default();
            for event in courier.store.events(&run)? {
                let event = event?;
                view.see(&event);
                if event.seq >= seq {
                    return Ok(notice(&view, &event));
                }
            }
            Ok(None)
        });
        let notice = notice.await.map_err(|e| Failed::now(e.to_string()))?;
        let Some(notice) = notice else {
            return Err(Failed { why: "its run is no longer in the journal".into(), refused: true });
        };
        self.send(&notice, &mail.id(), sender).await
    }

    async fn send(&self, notice: &Notice, id: &str, sender: &mut Option<Sender>) -> Result<(), Failed> {
        let sender = match sender {
            Some(sender) => sender,
            None => sender.insert(self.sender().await.map_err(Failed::now)?),
        };
        Ok(sender.send(&self.letter(notice, id)).await?)
    }

    async fn sender(&self) -> Result<Sender, String> {
        let secrets = Secrets::new(self.redactor.clone()).with_timeout(self.patience);
        let resolver = Resolver { config: &self.config, settings: &self.settings, secrets };
        resolver.sender(&self.target.notify).await
    }

    /// Sends something that no run has caused.
    pub async fn try_out(&self, notice: &Notice, id: &str) -> Result<(), String> {
        let sent = self.send(notice, id, &mut None).await;
        sent.map_err(|failed| self.redactor.redact(&failed.why).into_owned())
    }

    fn letter(&self, notice: &Notice, id: &str) -> Letter {
        let mut json = notice.json.clone();
        json["id"] = id.into();
        json["sent"] = SystemClock.now().into();
        self.redactor.redact_json(&mut json);
        let event = json["event"].as_str().unwrap_or_default().to_owned();
        let priority = match &self.target.notify.to {
            Receiver::Ntfy { priority, .. } => priority.get(&notice.moment).copied(),
            _ => None,
        };
        Letter {
            id: id.to_owned(),
            event,
            title: self.redactor.redact(&notice.title).into_owned(),
            text: self.redactor.redact(&notice.text).into_owned(),
            priority: priority.unwrap_or(notice.priority),
            json,
        }
    }

    /// The journal may make its callers wait for another process: never on a thread that runs need.
    async fn blocking<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Self) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let courier = self.clone();
        match tokio::task::spawn_blocking(move || act(&courier)).await {
            Ok(done) => done,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}
