//! High availability: the manager's state joined with what is asked for, and rules as the planner takes them.

use std::collections::BTreeMap;

use super::ProxmoxSource;
use crate::actions::proxmox::object::{Ha, Lrm, Service};
use crate::clients::proxmox::{HaGroup, HaManagerStatus, HaResource, HaRule as Rule, HaRuleKind, ProxmoxError};
use crate::model::failure::Failure;
use crate::model::ids::{GuestKind, Vmid};
use crate::placement::evacuation::facts::HaRule;

/// `vm:104` -> a VM, 104.
pub(super) fn guest_of(sid: &str) -> Option<(GuestKind, Vmid)> {
    let (prefix, id) = sid.split_once(':')?;
    let kind = [GuestKind::Qemu, GuestKind::Lxc].into_iter().find(|k| k.ha_prefix() == prefix)?;
    Some((kind, id.parse().ok()?))
}

fn join(manager: HaManagerStatus, resources: Vec<HaResource>) -> Ha {
    let mut ha = Ha { quorate: manager.quorate, ..Ha::default() };
    for (node, state) in manager.nodes {
        if state.maintenance_requested {
            ha.node_request.insert(node.clone(), "maintenance".into());
        }
        ha.lrm.insert(node.clone(), Lrm { mode: state.lrm_mode, state: state.lrm_state });
        if let Some(state) = state.state {
            ha.node_status.insert(node, state);
        }
    }
    for resource in resources {
        let seen = manager.services.get(&resource.sid);
        let guest = guest_of(&resource.sid);
        let service = Service {
            vmid: guest.map(|(_, vmid)| vmid),
            kind: guest.map_or(GuestKind::Qemu, |(kind, _)| kind),
            node: seen.and_then(|s| s.node.clone()),
            state: seen.map_or_else(|| "queued".into(), |s| s.state.clone()),
            request_state: resource.state,
            home: seen.and_then(|s| s.maintenance_node.clone()),
        };
        ha.services.insert(resource.sid, service);
    }
    ha
}

/// Rules that bind; a kind that we do not know binds nobody here, and Proxmox's own precondition still refuses.
fn of_rules(rules: Vec<Rule>) -> Vec<HaRule> {
    let members = |sids: &[String]| sids.iter().filter_map(|sid| guest_of(sid)).map(|(_, vmid)| vmid).collect();
    let enabled = rules.into_iter().filter(|rule| !rule.disabled);
    let each = enabled.filter_map(|rule| match rule.kind {
        HaRuleKind::NodeAffinity { nodes, strict } => {
            let nodes = nodes.into_iter().map(|(n, p)| (n, u32::try_from(p).unwrap_or(0))).collect();
            Some(HaRule::NodeAffinity { resources: members(&rule.resources), nodes, strict })
        }
        HaRuleKind::ResourceAffinity { positive } => {
            Some(HaRule::ResourceAffinity { resources: members(&rule.resources), positive })
        }
        HaRuleKind::Other(_) => None,
    });
    each.collect()
}

/// 8.x: a group is a node affinity of all that are in it; `restricted` is what rules call strict.
fn of_groups(groups: Vec<HaGroup>, resources: &[HaResource]) -> Vec<HaRule> {
    let mut members: BTreeMap<&str, Vec<Vmid>> = BTreeMap::new();
    for resource in resources {
        if let (Some(group), Some((_, vmid))) = (&resource.group, guest_of(&resource.sid)) {
            members.entry(group).or_default().push(vmid);
        }
    }
    let rule = |group: HaGroup| {
        let resources = members.get(group.group.as_str())?.iter().copied().collect();
        let nodes = group.nodes.into_iter().map(|(n, p)| (n, u32::try_from(p).unwrap_or(0))).collect();
        Some(HaRule::NodeAffinity { resources, nodes, strict: group.restricted })
    };
    groups.into_iter().filter_map(rule).collect()
}

impl ProxmoxSource {
    pub(in crate::actions) async fn ha(&self) -> Result<Ha, Failure> {
        let both = async { tokio::try_join!(self.site.ha_manager_status(), self.site.ha_resources()) };
        let (manager, resources) = both.await.map_err(self.failed("read the HA manager's state"))?;
        Ok(join(manager, resources))
    }

    pub(super) async fn ha_rules(&self) -> Result<Vec<HaRule>, Failure> {
        // In the middle of an upgrade a node of 9.x has rules, and groups stay in force until every node is on 9.
        let read = async {
            let (rules, groups) = tokio::try_join!(self.site.ha_rules(), self.site.ha_groups())?;
            let mut all = of_rules(rules.unwrap_or_default());
            if let Some(groups) = groups.filter(|groups| !groups.is_empty()) {
                all.extend(of_groups(groups, &self.site.ha_resources().await?));
            }
            Ok::<_, ProxmoxError>(all)
        };
        read.await.map_err(self.failed("read the HA rules"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(sid: &str, state: &str, group: Option<&str>) -> HaResource {
        HaResource {
            sid: sid.into(),
            state: state.into(),
            group: group.map(Into::into),
            max_restart: None,
            max_relocate: None,
            failback: None,
            digest: None,
        }
    }

    #[test]
    fn a_service_is_what_is_asked_for_and_what_the_manager_makes_of_it() {
        let ha = join(HaManagerStatus::default(), vec![resource("ct:201", "started", None)]);
        let service = &ha.services["ct:201"];
        assert_eq!((service.vmid, service.kind, service.state.as_str()), (Some(Vmid(201)), GuestKind::Lxc, "queued"));
    }

    #[test]
    fn rules_that_are_off_bind_nobody_and_groups_bind_their_members() {
        let rule = |disabled| Rule {
            rule: "r".into(),
            kind: HaRuleKind::ResourceAffinity { positive: false },
            resources: vec!["vm:1".into(), "vm:104".into(), "ct:201".into()],
            disabled,
            comment: None,
        };
        let apart = HaRule::ResourceAffinity { resources: [Vmid(104), Vmid(201)].into(), positive: false };
        assert_eq!(of_rules(vec![rule(false), rule(true)]), [apart]);
        let nodes: BTreeMap<_, _> = [("pve1".into(), 2)].into();
        let group =
            |name: &str| HaGroup { group: name.into(), nodes: nodes.clone(), restricted: true, nofailback: false };
        let rules = of_groups(vec![group("a"), group("empty")], &[resource("vm:104", "started", Some("a"))]);
        let only =
            HaRule::NodeAffinity { resources: [Vmid(104)].into(), nodes: [("pve1".into(), 2)].into(), strict: true };
        assert_eq!(rules, [only]);
    }
}
