//! Events out: tells receivers of runs and writes figures for Prometheus, beside the run. What it cannot do it leaves
//! to the next process; nothing here delays a run or makes it fail.

mod courier;
mod target;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use self::courier::{Courier, Ring};
use self::target::targets;
use super::config::Config;
use super::error::{AppError, Exit};
use super::metrics;
use super::open::store;
use super::settings::Settings;
use crate::engine::ports::{Clock, Observer};
use crate::event::{Event, Fact};
use crate::journal::{Mail, MailState, Outbox, Store, SystemClock};
use crate::model::ids::RunId;
use crate::report;
use crate::secrets::Redactor;

pub use courier::Tried;

/// How long a process stays for deliveries after its run is over.
const GRACE: Duration = Duration::from_secs(5);
/// For a program that is asked for a secret while a run goes on: nobody may be there to type.
const PATIENCE: Duration = Duration::from_secs(10);

/// Tells of one run while this process drives it. Where nothing is configured it does nothing.
#[derive(Default)]
pub struct Notifier {
    open: Option<Open>,
}

struct Open {
    store: Arc<Store>,
    outbox: Arc<Outbox>,
    keys: Vec<String>,
    bells: Vec<mpsc::UnboundedSender<Ring>>,
    couriers: Vec<JoinHandle<()>>,
    page: Option<PathBuf>,
}

impl Notifier {
    /// Begins to deliver what earlier processes left, and gets ready for a run. `run`: one that is gone on with, and
    /// how many events it has.
    pub fn start(settings: &Settings, config: &Config, redactor: &Redactor, run: Option<(&RunId, u64)>) -> Self {
        let page = metrics::page(settings, config);
        let targets = targets(config, redactor);
        if targets.is_empty() && page.is_none() {
            return Self::default();
        }
        // A journal that cannot be opened is the run's own trouble, and said there.
        let Ok(store) = store(settings) else { return Self::default() };
        let Ok(outbox) = store.outbox().map(Arc::new) else { return Self::default() };
        let keys: Vec<String> = targets.iter().map(|target| target.key.clone()).collect();
        if let Some((run, events)) = run {
            note_failure(outbox.watch(run, &keys, events));
        }
        let config = Arc::new(config.clone());
        let (mut bells, mut couriers) = (Vec::new(), Vec::new());
        for target in targets {
            let (bell, rung) = mpsc::unbounded_channel();
            let courier = Courier {
                settings: settings.clone(),
                config: config.clone(),
                store: store.clone(),
                outbox: outbox.clone(),
                redactor: redactor.clone(),
                target,
                patience: PATIENCE,
            };
            bells.push(bell);
            couriers.push(tokio::spawn(courier.work(rung)));
        }
        if let Some(page) = page.clone() {
            let (bell, rung) = mpsc::unbounded_channel();
            bells.push(bell);
            couriers.push(tokio::spawn(keep_page(store.clone(), page, rung)));
        }
        Self { open: Some(Open { store, outbox, keys, bells, couriers, page }) }
    }

    /// `inner`, with the receivers told of what it sees.
    pub fn observer(&self, inner: Box<dyn Observer>) -> Box<dyn Observer> {
        match &self.open {
            None => inner,
            Some(open) => Box::new(Watching {
                inner,
                outbox: open.outbox.clone(),
                keys: open.keys.clone(),
                bells: open.bells.clone(),
            }),
        }
    }

    /// After the run, and after it was said how it ended: stays a little for deliveries. What a person should know.
    pub async fn finish(self) -> Vec<String> {
        let Some(Open { store, outbox, keys, bells, couriers, page }) = self.open else { return Vec::new() };
        ring(&bells, Ring::End);
        let until = tokio::time::Instant::now() + GRACE;
        for mut courier in couriers {
            if tokio::time::timeout_at(until, &mut courier).await.is_err() {
                courier.abort();
            }
        }
        let mut notes = Vec::new();
        let left = outbox.pending().unwrap_or_default();
        notes.extend(left_over(&left.iter().filter(|mail| keys.contains(&mail.target)).collect::<Vec<_>>()));
        if let Some(page) = page
            && let Err(error) = metrics::write(&store, &page)
        {
            notes.push(format!("metrics could not be written: {}", error.message));
        }
        notes
    }
}

fn ring(bells: &[mpsc::UnboundedSender<Ring>], word: Ring) {
    for bell in bells {
        // A courier that is gone has nothing more to hear.
        let _ = bell.send(word);
    }
}

fn left_over(left: &[&Mail]) -> Option<String> {
    let first = left.first()?;
    let why = first.why.as_deref().unwrap_or("no answer in time");
    let count = if left.len() == 1 { "1 notification".into() } else { format!("{} notifications", left.len()) };
    Some(format!(
        "{count} could not be delivered yet ({}: {why}); the next run or `runbook notify flush` tries again",
        first.label
    ))
}

fn note_failure(done: Result<(), crate::journal::StoreError>) {
    if let Err(error) = done {
        tracing::warn!(%error, "nobody is told of this run");
    }
}

/// Writes the page of figures whenever something happened that changes them much.
async fn keep_page(store: Arc<Store>, page: PathBuf, mut rung: mpsc::UnboundedReceiver<Ring>) {
    while let Some(Ring::Fact) = rung.recv().await {
        let (store, page) = (store.clone(), page.clone());
        let written = tokio::task::spawn_blocking(move || metrics::write(&store, &page)).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(%error, "no metrics");
        }
    }
}

struct Watching {
    inner: Box<dyn Observer>,
    outbox: Arc<Outbox>,
    keys: Vec<String>,
    bells: Vec<mpsc::UnboundedSender<Ring>>,
}

impl Observer for Watching {
    fn see(&mut self, event: &Event) {
        self.inner.see(event);
        if !Outbox::concerns(event) {
            return;
        }
        // Durable at once: from here on the run is told of, whatever becomes of this process.
        if let Some(Fact::RunCreated { run, .. }) = event.fact() {
            note_failure(self.outbox.watch(run, &self.keys, 0));
        }
        ring(&self.bells, Ring::Fact);
    }
}

/// All letters of the outbox, oldest first.
///
/// # Errors
/// The journal cannot be read.
pub fn list(settings: &Settings) -> Result<Vec<Mail>, AppError> {
    Ok(store(settings)?.outbox()?.all()?)
}

/// Delivers what is pending for the configured receivers, also what is to wait.
///
/// # Errors
/// Nobody is configured, or the journal cannot be used.
pub async fn flush(settings: &Settings, redactor: &Redactor) -> Result<Vec<Tried>, AppError> {
    let mut tried = Vec::new();
    let mut rounds = tokio::task::JoinSet::new();
    for courier in couriers(settings, redactor)? {
        rounds.spawn(async move { courier.round(true).await });
    }
    while let Some(round) = rounds.join_next().await {
        tried.extend(round.map_err(|e| AppError::new(Exit::Failed, "runbook::internal", e.to_string()))??.0);
    }
    tried.sort_by(|a, b| (a.mail.at, &a.mail.run, a.mail.seq).cmp(&(b.mail.at, &b.mail.run, b.mail.seq)));
    Ok(tried)
}

/// What one receiver made of a test.
#[derive(Debug)]
pub struct Rehearsed {
    pub label: String,
    pub error: Option<String>,
}

/// Sends a test to each configured receiver.
///
/// # Errors
/// Nobody is configured, or the journal cannot be used.
pub async fn test(settings: &Settings, redactor: &Redactor) -> Result<Vec<Rehearsed>, AppError> {
    let mut all = Vec::new();
    for courier in couriers(settings, redactor)? {
        let notice = report::rehearsal(&courier.config.site.cluster.name, &settings.actor);
        let id = format!("test-{}", SystemClock.now());
        let error = courier.try_out(&notice, &id).await.err();
        all.push(Rehearsed { label: courier.target.label, error });
    }
    Ok(all)
}

fn couriers(settings: &Settings, redactor: &Redactor) -> Result<Vec<Courier>, AppError> {
    let config = Arc::new(Config::load(settings)?);
    let targets = targets(&config, redactor);
    if targets.is_empty() {
        let message = format!("{} names nobody under `notify`", config.path.display());
        return Err(AppError::new(Exit::Configuration, "notify::none", message)
            .hint("notify: [{ntfy: https://HOST/TOPIC, on: [failed, waiting]}]"));
    }
    let store = store(settings)?;
    let outbox = Arc::new(store.outbox()?);
    let courier = |target| Courier {
        settings: settings.clone(),
        config: config.clone(),
        store: store.clone(),
        outbox: outbox.clone(),
        redactor: redactor.clone(),
        target,
        patience: Duration::from_secs(120),
    };
    Ok(targets.into_iter().map(courier).collect())
}

/// How many letters are still to be delivered, to anybody.
pub(super) fn pending(store: &Store) -> Result<usize, AppError> {
    Ok(store.outbox()?.all()?.iter().filter(|mail| mail.state == MailState::Pending).count())
}
