//! Hears what other processes say to the run that this one drives.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::engine::drivers::embedded::Told;
use crate::engine::ports::Clock as _;
use crate::journal::{Inbox, Pending, Store, SystemClock};
use crate::model::ids::RunId;

/// How often the journal is looked at: one number is read where nobody has written.
const EVERY: Duration = Duration::from_millis(500);

/// Looks into a run's inbox until the run leaves this process.
pub struct Listener {
    heard: Arc<Mutex<Heard>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Heard {
    inbox: Option<Inbox>,
    /// Handed on at the last look: by the next one it is in the run's history.
    told: Vec<Pending>,
}

impl Heard {
    fn take(&mut self) {
        if let Some(inbox) = &mut self.inbox
            && inbox.taken(&self.told, SystemClock.now()).is_ok()
        {
            self.told.clear();
        }
    }
}

impl Listener {
    /// What was said before is there when this returns.
    pub fn start(store: Arc<Store>, run: RunId) -> (Self, mpsc::UnboundedReceiver<Told>) {
        let (say, requests) = mpsc::unbounded_channel();
        let heard = Arc::new(Mutex::new(Heard::default()));
        listen(&heard, &store, &run, &say);
        let shared = heard.clone();
        let task = tokio::spawn(async move {
            loop {
                tokio::time::sleep(EVERY).await;
                listen(&shared, &store, &run, &say);
            }
        });
        (Self { heard, task }, requests)
    }

    /// The run is over, or waits without a process: what was handed on is in its history.
    pub fn end(self) {
        self.task.abort();
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

fn listen(heard: &Mutex<Heard>, store: &Store, run: &RunId, say: &mpsc::UnboundedSender<Told>) {
    let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
    heard.take();
    if heard.inbox.is_none() {
        heard.inbox = store.inbox(run).ok();
    }
    // A journal that cannot be read now is looked at again; the run itself notices if it is gone.
    let pending = heard.inbox.as_mut().and_then(|inbox| inbox.look().ok()).unwrap_or_default();
    for said in pending {
        if heard.told.iter().all(|told| told.key != said.key) {
            let (who, key, request) = (said.actor.clone(), said.key.clone(), said.request.clone());
            let _ = say.send(Told { who, key, request });
            heard.told.push(said);
        }
    }
}
