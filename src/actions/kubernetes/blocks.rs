//! What a drain does with each pod, as `kubectl drain` decides it.

use super::On;
use crate::clients::kubernetes::{Budget, Pod};
use crate::engine::ports::Call;

/// What the operator allows to be lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Allowed {
    /// Pods that nothing makes again.
    pub bare: bool,
    /// What is in an emptyDir.
    pub emptydir: bool,
}

impl Allowed {
    pub fn of(call: &Call) -> Self {
        Self { bare: call.get("bare") == true, emptydir: call.get("emptydir") == true }
    }
}

/// What becomes of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It stays: a daemon's, or the node's own.
    Stays,
    Evict,
    /// It is not evicted without leave: why, and with which parameter.
    Forbidden(String),
}

pub(super) fn verdict(pod: &Pod, allowed: Allowed) -> Verdict {
    let kind = pod.owner.as_ref().map(|owner| owner.kind.as_str());
    if pod.mirror || kind == Some("DaemonSet") {
        return Verdict::Stays;
    }
    if ["Succeeded", "Failed"].contains(&pod.phase.as_str()) {
        return Verdict::Evict;
    }
    if kind.is_none() && !allowed.bare {
        return Verdict::Forbidden("nothing makes it again (bare: true evicts it nevertheless)".into());
    }
    if pod.empty_dir && !allowed.emptydir {
        return Verdict::Forbidden("its emptyDir goes with it (emptydir: true evicts it nevertheless)".into());
    }
    Verdict::Evict
}

/// Those that a drain evicts, whether or not they are on their way already.
pub(super) fn leaving(on: &On, allowed: Allowed) -> Vec<&Pod> {
    on.pods.iter().filter(|pod| verdict(pod, allowed) == Verdict::Evict).collect()
}

/// Pods that are not evicted without leave, and why.
pub(super) fn forbidden(on: &On, allowed: Allowed) -> Vec<(&Pod, String)> {
    let each = on.pods.iter().filter(|pod| !pod.ending).filter_map(|pod| match verdict(pod, allowed) {
        Verdict::Forbidden(why) => Some((pod, why)),
        _ => None,
    });
    each.collect()
}

/// Why an eviction would be refused at this moment.
pub(super) fn held(pod: &Pod, budgets: &[Budget]) -> Option<String> {
    let own: Vec<&Budget> = budgets.iter().filter(|budget| budget.holds(pod)).collect();
    if let [first, second, ..] = own[..] {
        let (first, second) = (&first.name, &second.name);
        return Some(format!("two disruption budgets are about it ({first}, {second}), which evictions do not know"));
    }
    let budget = own.first()?;
    // Often the reason why the budget has nothing to spare.
    let ill = if pod.ready { "" } else { ", and this pod is not ready" };
    match budget.allowed {
        Some(0) => Some(format!("{} allows no disruption{ill}", budget.title())),
        None => Some(format!("{} has not said what it allows{ill}", budget.title())),
        Some(_) => None,
    }
}
