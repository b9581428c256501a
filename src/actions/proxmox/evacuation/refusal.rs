//! Why there is no plan, as a failure: a line for each guest and node, and what would help most cheaply.

use crate::model::failure::{Class, Failure};
use crate::placement::evacuation::{Blocker, Limit, Refusal};

/// How much each kind of remedy costs; cheaper first.
fn cost(limit: Limit) -> u8 {
    match limit {
        Limit::Lock => 0,
        Limit::LocalIso => 1,
        Limit::NeedsStop => 2,
        Limit::HaState | Limit::HaOwner => 3,
        Limit::Snapshot => 4,
        Limit::Cluster => 5,
        Limit::NotFound => 6,
        Limit::Passthrough | Limit::LinkedClone | Limit::Storage => 7,
        Limit::NoTarget | Limit::Impossible => 8,
    }
}

/// The remedy that costs least, with whom it is about. All of them are in the details.
fn cheapest(blockers: &[Blocker]) -> Option<String> {
    let first = blockers.iter().filter(|b| !b.remedy.is_empty()).min_by_key(|b| cost(b.limit))?;
    let same: Vec<&Blocker> = blockers.iter().filter(|b| b.remedy == first.remedy).collect();
    let who = same.iter().filter_map(|b| b.vmid.map(|v| format!("{v} ({})", b.name))).collect::<Vec<_>>().join(", ");
    let more = blockers.len() - same.len();
    let more = if more > 0 { format!("; {more} more, each with a remedy of its own") } else { String::new() };
    Some(if who.is_empty() { format!("{}{more}", first.remedy) } else { format!("{who}: {}{more}", first.remedy) })
}

pub(super) fn failure(refusal: &Refusal) -> Failure {
    let node = &refusal.node;
    let (n, attempted) = (refusal.blockers.len(), format!("plan to empty {node}"));
    let cause = match &refusal.blockers[..] {
        [only] => format!("{node} cannot be emptied: {}", only.to_string().lines().next().unwrap_or_default()),
        _ => format!("{node} cannot be emptied: {n} things stand in the way; nothing was moved"),
    };
    let blockers =
        refusal.blockers.iter().flat_map(|b| b.to_string().lines().map(ToOwned::to_owned).collect::<Vec<_>>());
    let notes = refusal.warnings.iter().map(|warning| format!("note: {warning}"));
    let failure = Failure::new(Class::Precondition, attempted, cause).details(blockers.chain(notes).collect());
    match cheapest(&refusal.blockers) {
        Some(remedy) => failure.remedy(remedy),
        None => failure,
    }
}
