//! Where a service may run and where it had best run: rules, groups, maintenance, load.

use super::Ha;
use crate::lab::scenario::HaRuleSpec;
use crate::lab::world::World;
use crate::model::ids::NodeName;

fn lists(list: &str, sid: &str) -> bool {
    list.split(',').any(|one| one == sid)
}

impl Ha {
    fn affinity<'a>(&'a self, sid: &'a str, sign: &'a str) -> impl Iterator<Item = &'a HaRuleSpec> {
        self.rules.iter().filter(move |rule| {
            !rule.disable && rule.kind == "resource-affinity" && rule.affinity == sign && lists(&rule.resources, sid)
        })
    }

    /// The other members of a service's rules of that sign.
    fn partners(&self, sid: &str, sign: &str) -> Vec<String> {
        let members = self.affinity(sid, sign).flat_map(|rule| rule.resources.split(','));
        let mut others: Vec<String> = members.filter(|other| *other != sid).map(str::to_owned).collect();
        others.sort();
        others.dedup();
        others
    }

    /// Services that go along when this one is migrated.
    pub fn dependent(&self, sid: &str) -> Vec<String> {
        self.partners(sid, "positive").into_iter().filter(|other| self.manages(other)).collect()
    }

    /// Services on that node that this one must be kept apart from.
    pub fn blocking(&self, world: &World, sid: &str, node: &NodeName) -> Vec<String> {
        if !self.manages(sid) {
            return Vec::new();
        }
        let mut apart: Vec<String> = std::iter::once(sid.to_owned())
            .chain(self.dependent(sid))
            .flat_map(|one| self.partners(&one, "negative"))
            .collect();
        apart.sort();
        apart.dedup();
        apart.retain(|other| self.manages(other) && self.occupies(world, other, node));
        apart
    }

    /// Whether a service is on a node, or on its way there.
    fn occupies(&self, world: &World, sid: &str, node: &NodeName) -> bool {
        let at = self.resources.get(sid).and_then(|resource| world.guests.get(&resource.vmid)).map(|guest| &guest.node);
        at == Some(node) || self.services.get(sid).is_some_and(|service| service.target.as_ref() == Some(node))
    }

    /// The node priorities that a rule or group gives a service, and whether other nodes are forbidden.
    fn preferred(&self, sid: &str) -> Option<(Vec<(NodeName, i32)>, bool)> {
        let rule =
            self.rules.iter().find(|rule| !rule.disable && rule.kind == "node-affinity" && lists(&rule.resources, sid));
        let (list, strict) = match rule {
            Some(rule) => (rule.nodes.clone(), rule.strict),
            None => {
                let group = self.groups.get(self.resources.get(sid)?.group.as_ref()?)?;
                (group.nodes.clone(), group.restricted)
            }
        };
        let nodes = list.split(',').map(|one| match one.split_once(':') {
            Some((name, priority)) => (NodeName::new(name), priority.parse().unwrap_or(0)),
            None => (NodeName::new(one), 0),
        });
        Some((nodes.collect(), strict))
    }

    /// Whether the rules let a service run on a node at all.
    pub fn allowed(&self, world: &World, sid: &str, node: &NodeName) -> bool {
        let strict = self.preferred(sid).filter(|(_, strict)| *strict);
        strict.is_none_or(|(nodes, _)| nodes.iter().any(|(name, _)| name == node))
            && self.blocking(world, sid, node).is_empty()
    }

    /// The best node for a service among those that work, without `not` (where it may not stay).
    pub fn choose(&self, world: &World, sid: &str, not: &NodeName) -> Option<NodeName> {
        let works = |name: &&NodeName| {
            world.node_up(name) && *name != not && !self.in_maintenance(name) && !self.maintenance_asked.contains(*name)
        };
        let mut fit: Vec<&NodeName> =
            world.nodes.keys().filter(works).filter(|name| self.allowed(world, sid, name)).collect();
        if let Some((nodes, _)) = self.preferred(sid) {
            let priority = |name: &NodeName| nodes.iter().find(|(other, _)| other == name).map(|(_, p)| *p);
            if let Some(best) = fit.iter().filter_map(|name| priority(name)).max() {
                fit.retain(|name| priority(name) == Some(best));
            }
        }
        let along = self.dependent(sid);
        if let Some(node) = along.iter().find_map(|other| fit.iter().find(|name| self.occupies(world, other, name))) {
            return Some((*node).clone());
        }
        // Least of its memory promised, ties by name.
        fit.into_iter().max_by_key(|name| (world.unpromised_memory(name), std::cmp::Reverse(*name))).cloned()
    }

    /// Where failback would bring a service: a node of higher priority than its own.
    pub fn better_home(&self, world: &World, sid: &str, node: &NodeName) -> Option<NodeName> {
        let (nodes, strict) = self.preferred(sid)?;
        let here = nodes.iter().find(|(name, _)| name == node).map(|(_, priority)| *priority);
        if here.is_none() && !strict && nodes.is_empty() {
            return None;
        }
        let usable = |name: &NodeName| {
            world.node_up(name) && !self.in_maintenance(name) && !self.maintenance_asked.contains(name)
        };
        let best =
            nodes.iter().filter(|(name, _)| usable(name) && self.allowed(world, sid, name)).max_by_key(|(_, p)| *p)?;
        (here.is_none_or(|here| best.1 > here)).then(|| best.0.clone())
    }
}
