//! One node's guests: configurations and the guests themselves, in the order of an [`Agenda`], and what is done when the
//! node does not answer.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::read::{Answered, OfNode, Why, facts, of_config, of_guest};
use super::{ATTEMPTED, Asking};
use crate::actions::proxmox::failures;
use crate::clients::proxmox::GuestRow;
use crate::inventory::{Agenda, Next, Told, host, without_noise};
use crate::model::failure::{Class, Failure};
use crate::model::ids::NodeName;
use crate::model::inventory::{DiscoveredHost, Missing, Reason, Unknown};

/// After so many calls in a row without an answer the node's other guests are not asked any more: each would cost its
/// deadline, and they would all end alike.
const PATIENCE: u32 = 3;

/// What one node gave.
#[derive(Default)]
pub struct Outcome {
    pub hosts: Vec<DiscoveredHost>,
    pub missing: Vec<Missing>,
    /// Not on this node any more.
    pub moved: Vec<GuestRow>,
}

/// A guest whose configuration is known.
type Known = (GuestRow, OfNode);

enum Ended {
    Config(GuestRow, Result<OfNode, Why>),
    Guest(Known, Result<Told, Why>),
}

/// Asks one node for all of `rows`.
///
/// # Errors
/// It does not know us any more: no other call could do better.
pub async fn ask_node(asking: Arc<Asking>, node: NodeName, rows: Vec<GuestRow>) -> Result<Outcome, Failure> {
    let mut work = Work {
        agenda: Agenda::new(rows, asking.how.at_once, asking.how.protected),
        running: JoinSet::new(),
        out: Outcome::default(),
        silent: 0,
        asking,
        node,
    };
    loop {
        while let Some(next) = work.agenda.begin() {
            work.begin(next);
        }
        match work.running.join_next().await {
            None => return Ok(work.out),
            Some(Ok(ended)) => work.end(ended)?,
            Some(Err(error)) => return Err(Failure::new(Class::Internal, ATTEMPTED, error.to_string())),
        }
    }
}

struct Work {
    asking: Arc<Asking>,
    node: NodeName,
    agenda: Agenda<GuestRow, Known>,
    running: JoinSet<Ended>,
    out: Outcome,
    /// Calls in a row that got no answer.
    silent: u32,
}

impl Work {
    fn begin(&mut self, next: Next<GuestRow, Known>) {
        let asking = self.asking.clone();
        match next {
            Next::Config(row) => self.running.spawn(async move {
                let read = of_config(&asking.site, asking.how.deadline, &row, asking.how.details).await;
                Ended::Config(row, read)
            }),
            Next::Guest(known) => self.running.spawn(async move {
                let told = of_guest(&asking.site, asking.how.deadline, &known.0).await;
                Ended::Guest(known, told)
            }),
        };
    }

    fn end(&mut self, ended: Ended) -> Result<(), Failure> {
        self.agenda.ended(matches!(ended, Ended::Guest(..)));
        match ended {
            Ended::Config(row, Ok(of_node)) => {
                self.silent = 0;
                self.configured(row, of_node);
            }
            Ended::Config(row, Err(why)) => self.not_read(row, None, why, "configuration")?,
            Ended::Guest(known, Ok(told)) => {
                self.silent = 0;
                self.told(known, told);
            }
            Ended::Guest((row, of_node), Err(why)) => self.not_read(row, Some(of_node), why, "addresses")?,
        }
        Ok(())
    }

    /// The configuration is there: is the guest to be asked itself?
    fn configured(&mut self, row: GuestRow, of_node: OfNode) {
        if let Some(why) = &of_node.lacking {
            self.out.missing.push(missing(&row, &Unknown::new(Reason::NotRead, why), "snapshots and status"));
        }
        match self.asking.is_answered(&row, &of_node.config) {
            Answered::Ask => self.agenda.then((row, of_node)),
            Answered::Told(told) => {
                self.note_missing(&row, &told);
                self.host(&row, Some(of_node), told, None);
            }
            Answered::Remembered(told, age) => self.host(&row, Some(of_node), told, Some(age)),
        }
    }

    fn told(&mut self, (row, of_node): Known, told: Told) {
        if let (Some(digest), Some(boot)) = (&of_node.config.digest, self.asking.boot(&row)) {
            self.asking.remembering().keep(row.vmid, digest, boot, &told);
        }
        self.note_missing(&row, &told);
        self.host(&row, Some(of_node), told, None);
    }

    fn note_missing(&mut self, row: &GuestRow, told: &Told) {
        if let Told::Nothing(unknown) = told
            && unknown.reason.is_missing()
        {
            self.out.missing.push(missing(row, unknown, "addresses"));
        }
    }

    fn host(&mut self, row: &GuestRow, of_node: Option<OfNode>, told: Told, cached: Option<u64>) {
        let config = of_node.as_ref().map(|of_node| &of_node.config.values);
        let mut host = host(facts(self.asking.site.name(), row), config, told);
        host.cached = cached;
        if !self.asking.how.details {
            // Of ten thousand guests this is more than all the rest.
            (host.lines, host.seen) = Default::default();
        }
        if !self.asking.how.all_addresses {
            without_noise(&mut host);
        }
        (host.snapshots, host.qmpstatus) =
            of_node.map(|of_node| (of_node.snapshots, of_node.qmpstatus)).unwrap_or_default();
        self.out.hosts.push(host);
    }

    fn not_read(
        &mut self,
        row: GuestRow,
        of_node: Option<OfNode>,
        why: Why,
        what: &'static str,
    ) -> Result<(), Failure> {
        let unknown = match why {
            Why::NotUs(error) => {
                let we = failures::we(&self.asking.site);
                return Err(failures::proxmox(&we, format!("read guest {}", row.vmid), &error));
            }
            Why::Elsewhere => {
                self.out.moved.push(row);
                return Ok(());
            }
            Why::Silent(text) => {
                self.silent += 1;
                Unknown::new(Reason::NodeSilent, text)
            }
            Why::Late => {
                // A guest that is slow to answer says nothing about its node.
                self.silent += u32::from(what == "configuration");
                let text = format!("no answer within {} s", self.asking.how.deadline.as_secs_f64());
                Unknown::new(Reason::Deadline, text)
            }
            Why::Said(unknown) => {
                self.silent = 0;
                unknown
            }
        };
        self.out.missing.push(missing(&row, &unknown, what));
        self.host(&row, of_node, Told::Nothing(unknown), None);
        if self.silent >= PATIENCE {
            self.give_up();
        }
        Ok(())
    }

    /// The guests that are left are listed with what is known of them.
    fn give_up(&mut self) {
        let (rows, known) = self.agenda.give_up();
        let text = format!("{} does not answer", self.node);
        let unknown = Unknown::new(Reason::NodeSilent, text);
        for (row, of_node) in known {
            self.out.missing.push(missing(&row, &unknown, "addresses"));
            self.host(&row, Some(of_node), Told::Nothing(unknown.clone()), None);
        }
        let rest = self.asking.unread(rows, &unknown, "configuration");
        self.out.hosts.extend(rest.hosts);
        self.out.missing.extend(rest.missing);
    }
}

fn missing(row: &GuestRow, unknown: &Unknown, what: &str) -> Missing {
    let name = row.name.as_deref().unwrap_or_default();
    Missing {
        node: Some(row.node.clone()),
        vmid: Some(row.vmid),
        what: what.to_owned(),
        reason: unknown.reason,
        why: format!("{} of {} ({name}) on {}: {}", what, row.vmid, row.node, unknown.text),
    }
}

impl Asking {
    /// Guests of which only the list is known.
    pub fn unread(&self, rows: Vec<GuestRow>, unknown: &Unknown, what: &str) -> Outcome {
        let mut out = Outcome::default();
        for row in rows {
            out.missing.push(missing(&row, unknown, what));
            out.hosts.push(host(facts(self.site.name(), &row), None, Told::Nothing(unknown.clone())));
        }
        out
    }

    /// Guests of a node that the cluster has lost: one thing is missing, the node.
    pub fn offline(&self, node: &NodeName, rows: Vec<GuestRow>) -> Outcome {
        let text = format!("node {node} is offline, as the cluster sees it");
        let unknown = Unknown::new(Reason::NodeOffline, &text);
        let mut out = self.unread(rows, &unknown, "configuration");
        let why = format!("{text}: {} guests", out.hosts.len());
        let (what, reason) = ("guests".to_owned(), Reason::NodeOffline);
        out.missing = vec![Missing { node: Some(node.clone()), vmid: None, what, reason, why }];
        out
    }
}
