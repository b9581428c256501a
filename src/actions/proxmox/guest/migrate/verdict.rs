//! What a look at the guest says of a move whose end was not seen, or which failed.

use super::order::Order;
use crate::actions::proxmox::object::Guest;
use crate::model::ids::NodeName;

/// The object's own answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// There, as it should be.
    Done,
    /// Where and as it was.
    Untouched,
    /// Something was done: what, and whether the guest is still held by a lock.
    Partial { what: String, locked: bool },
    /// It cannot be told: what was seen.
    Unclear(String),
}

/// As a person reads it: `on pve3, running, locked (migrate)`.
pub(super) fn seen(guest: &Guest) -> String {
    let mut text = format!("on {}, {}", guest.node, guest.status);
    if let Some(qmp) = guest.qmpstatus.as_deref().filter(|qmp| *qmp != guest.status) {
        text.push_str(&format!(" ({qmp})"));
    }
    if let Some(lock) = &guest.lock {
        text.push_str(&format!(", locked ({lock})"));
    }
    text
}

/// What keeps it from being on `to`, `wanted` and free; `None`: nothing.
pub(super) fn amiss(guest: Option<&Guest>, to: &NodeName, wanted: &str) -> Option<String> {
    let Some(guest) = guest else { return Some("it is on no node".to_owned()) };
    let runs = guest.qmpstatus.as_deref().is_none_or(|qmp| wanted != "running" || matches!(qmp, "running" | "paused"));
    let right = &guest.node == to && guest.status == wanted && guest.lock.is_none() && runs;
    (!right).then(|| seen(guest))
}

pub(super) fn judge(order: &Order, before: &Guest, now: Option<&Guest>) -> Verdict {
    let (title, to, from) = (before.title(), &order.to, &before.node);
    let Some(now) = now else { return Verdict::Unclear(format!("{title} is on no node")) };
    if !now.is_same_as(before) {
        return Verdict::Unclear(format!("{} is another guest now: {}", order.vmid, now.title()));
    }
    if amiss(Some(now), to, order.wanted(before)).is_none() {
        return Verdict::Done;
    }
    let here = format!("{title} is {}", seen(now));
    if &now.node == from {
        let as_before = now.status == before.status && now.lock == before.lock;
        return if as_before {
            Verdict::Untouched
        } else {
            Verdict::Partial { what: here, locked: now.lock.is_some() }
        };
    }
    if &now.node == to {
        return Verdict::Partial { what: here, locked: now.lock.is_some() };
    }
    Verdict::Unclear(format!("{here}, neither {from} nor {to}"))
}
