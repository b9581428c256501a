//! What an HA rule or group is to say, from the parameters of a call; and back again. By the server's own names.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::rule::Rule;
use crate::actions::proxmox::look;
use crate::clients::proxmox::loose;
use crate::engine::ports::{Call, Unreadable, World};
use crate::model::ids::Vmid;

pub(super) const GROUP: &str = "group";
pub(super) const KINDS: [&str; 3] = ["node-affinity", "resource-affinity", GROUP];

/// What is compared of a row.
const FIELDS: [&str; 9] =
    ["type", "resources", "nodes", "strict", "affinity", "disable", "comment", "restricted", "nofailback"];

/// A cause and what to do about it.
type Refusal = (String, String);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Nodes,
    Resources,
    Group,
}

impl Kind {
    fn of(text: &str) -> Option<Self> {
        match text {
            "node-affinity" => Some(Self::Nodes),
            "resource-affinity" => Some(Self::Resources),
            GROUP => Some(Self::Group),
            _ => None,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Nodes => KINDS[0],
            Self::Resources => KINDS[1],
            Self::Group => GROUP,
        }
    }

    /// Parameters that say something about this kind.
    fn takes(self, param: &str) -> bool {
        match param {
            "guests" | "disabled" => self != Self::Group,
            "nodes" | "strict" => self != Self::Resources,
            "affinity" => self == Self::Resources,
            "failback" => self == Self::Group,
            _ => true,
        }
    }
}

/// A list of the server's in one order, without priorities that say nothing.
fn in_order(text: &str) -> String {
    let all: BTreeSet<String> = loose::split_list(text).into_iter().collect();
    all.iter().map(|one| one.strip_suffix(":0").unwrap_or(one)).collect::<Vec<_>>().join(",")
}

/// A row of the server's, as it is compared: what is off is not there.
pub(super) fn of_row(row: &Value) -> Rule {
    let each = FIELDS.iter().filter_map(|name| Some((*name, loose::plain(row.get(*name)?))));
    let said = each.filter(|(name, value)| {
        let says_nothing = match *name {
            "strict" | "disable" | "restricted" | "nofailback" => value == "0",
            // Each group says that it is one.
            "type" => value == GROUP,
            _ => false,
        };
        !value.is_empty() && !says_nothing
    });
    said.map(|(name, value)| match name {
        "resources" | "nodes" => (name.to_owned(), in_order(&value)),
        _ => (name.to_owned(), value),
    })
    .collect()
}

/// Which kind is asked for, and that this site has such; nothing where it is to go.
pub(super) fn kind(call: &Call, eight: bool) -> Result<Option<Kind>, Refusal> {
    let params = ["kind", "guests", "nodes", "strict", "affinity", "failback", "disabled", "comment"];
    let given = || params.into_iter().filter(|name| !call.get(name).is_null());
    let kind = call.get("kind").as_str().and_then(Kind::of);
    let gate = |kind: Kind| match (kind == Kind::Group, eight) {
        (true, false) => {
            Err(("Proxmox VE 9 has rules instead of groups".into(), "say kind=node-affinity, with its guests".into()))
        }
        (false, true) => Err((
            "HA rules are there from Proxmox VE 9 on, once every node is on it".into(),
            "say kind=group, and put guests into it with proxmox.ha_resource".into(),
        )),
        _ => Ok(()),
    };
    kind.map_or(Ok(()), gate)?;
    if call.get("present").as_bool() == Some(false) {
        return match given().find(|name| *name != "kind") {
            None => Ok(None),
            Some(name) => Err((
                format!("present=false removes it, and {name} says what it is to be"),
                "give its name alone".into(),
            )),
        };
    }
    let Some(kind) = kind else {
        return Err(("nothing says what it is to be".into(), format!("say kind: one of {}", KINDS.join(", "))));
    };
    match given().find(|name| !kind.takes(name)) {
        None => Ok(Some(kind)),
        Some(name) => Err((format!("a {} has no {name}", kind.as_str()), format!("take {name} off"))),
    }
}

/// `vm:104` of each guest.
pub(super) async fn members(world: &dyn World, call: &Call) -> Result<Vec<String>, Unreadable> {
    let vmids: Vec<Vmid> = call.arg::<Option<Vec<Vmid>>>("guests")?.unwrap_or_default();
    let mut sids = Vec::new();
    for vmid in vmids {
        let guest = look::guest(world, vmid).await?;
        sids.push(format!("{}:{vmid}", guest.kind.ha_prefix()));
    }
    Ok(sids)
}

/// What it is to say; an empty text: that is to be absent.
pub(super) fn rule(call: &Call, kind: Kind, members: Vec<String>, now: Option<&Rule>) -> Result<Rule, Refusal> {
    let mut rule = Rule::new();
    let mut set = |name: &str, value: String| rule.insert(name.to_owned(), value);
    if kind != Kind::Group {
        set("type", kind.as_str().to_owned());
    }
    if !members.is_empty() {
        set("resources", in_order(&members.join(",")));
    }
    if let Some(nodes) = call.get("nodes").as_array() {
        let nodes: Vec<String> = nodes.iter().map(loose::plain).collect();
        set("nodes", in_order(&nodes.join(",")));
    }
    if let Some(affinity) = call.get("affinity").as_str() {
        set("affinity", affinity.to_owned());
    }
    if let Some(comment) = call.get("comment").as_str() {
        set("comment", comment.to_owned());
    }
    let strict = if kind == Kind::Group { "restricted" } else { "strict" };
    for (param, name, on) in
        [("strict", strict, true), ("disabled", "disable", true), ("failback", "nofailback", false)]
    {
        if let Some(said) = call.get(param).as_bool() {
            set(name, if said == on { "1".to_owned() } else { String::new() });
        }
    }
    let needs: &[&str] = match kind {
        Kind::Nodes => &["resources", "nodes"],
        Kind::Resources => &["resources", "affinity"],
        Kind::Group => &["nodes"],
    };
    let there = |name: &&&str| now.is_some() || rule.get(**name).is_some_and(|value| !value.is_empty());
    if let Some(name) = needs.iter().find(|name| !there(name)) {
        let name = if *name == "resources" { "guests" } else { name };
        return Err((format!("a new {} needs {name}", kind.as_str()), format!("give {name}")));
    }
    if kind == Kind::Resources && rule.get("resources").is_some_and(|all| !all.contains(',')) {
        return Err(("a resource-affinity is about at least two guests".into(), "name another one".into()));
    }
    Ok(rule)
}

/// The call that makes it say again what it said.
pub(super) fn invocation(name: &str, was: &Rule, will: Option<&Rule>, eight: bool) -> Value {
    let kind = if eight { GROUP } else { was.get("type").map_or(KINDS[0], String::as_str) };
    let mut with = json!({"name": name, "kind": kind});
    let text = |field: &str| was.get(field).map(String::as_str);
    // What was not there is taken away again only where the act has set it.
    let touched = |field: &str| was.contains_key(field) || will.is_some_and(|will| will.contains_key(field));
    if let Some(sids) = text("resources") {
        let vmids = sids.split(',').filter_map(|sid| sid.split_once(':')?.1.parse::<u32>().ok());
        with["guests"] = json!(vmids.collect::<Vec<_>>());
    }
    if let Some(nodes) = text("nodes") {
        with["nodes"] = json!(nodes.split(',').collect::<Vec<_>>());
    }
    if let Some(affinity) = text("affinity") {
        with["affinity"] = json!(affinity);
    }
    if touched("comment") {
        with["comment"] = json!(text("comment").unwrap_or_default());
    }
    let flags = [("strict", "strict", true), ("restricted", "strict", true), ("disable", "disabled", true)];
    for (field, param, on) in flags.into_iter().chain([("nofailback", "failback", false)]) {
        if touched(field) {
            with[param] = json!((text(field) == Some("1")) == on);
        }
    }
    with
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::proxmox::testing::call;

    fn asked(with: Value, eight: bool) -> Result<Rule, Refusal> {
        let call = call(with);
        let kind = kind(&call, eight)?.expect("it is to be there");
        let members = call.get("guests").as_array().into_iter().flatten().map(|id| format!("vm:{id}")).collect();
        rule(&call, kind, members, None)
    }

    #[test]
    fn each_kind_is_refused_where_the_site_has_none_of_it() {
        let rule = json!({"name": "r", "kind": "node-affinity", "guests": [104], "nodes": ["pve2:1", "pve1:0"]});
        let made = asked(rule.clone(), false).unwrap();
        assert_eq!((made["nodes"].as_str(), made["resources"].as_str()), ("pve1,pve2:1", "vm:104"));
        assert!(asked(rule, true).unwrap_err().0.contains("from Proxmox VE 9 on"));
        let group = json!({"name": "g", "kind": "group", "nodes": ["pve1"], "strict": true, "failback": false});
        let made = asked(group.clone(), true).unwrap();
        assert_eq!((made["restricted"].as_str(), made["nofailback"].as_str()), ("1", "1"));
        assert!(asked(group, false).unwrap_err().0.contains("rules instead of groups"));
    }

    #[test]
    fn what_says_nothing_about_a_kind_is_refused() {
        let said = |with: Value| asked(with, false).unwrap_err().0;
        assert!(said(json!({"name": "r", "kind": "resource-affinity", "nodes": ["a"]})).contains("has no nodes"));
        assert!(said(json!({"name": "r", "kind": "node-affinity", "guests": [1]})).contains("needs nodes"));
        assert!(said(json!({"name": "r"})).contains("nothing says what it is to be"));
        let one = json!({"name": "r", "kind": "resource-affinity", "guests": [1], "affinity": "negative"});
        assert!(said(one).contains("at least two"));
        let gone = call(json!({"name": "r", "present": false, "nodes": ["a"]}));
        assert!(kind(&gone, false).unwrap_err().0.contains("present=false removes it"));
    }

    #[test]
    fn a_row_reads_back_as_the_call_that_makes_it() {
        let row = json!({"rule": "r", "type": "node-affinity", "resources": "vm:104,vm:101", "nodes": "pve2:0,pve1:2",
            "strict": 1, "order": 1, "digest": "d", "comment": "why"});
        let was = of_row(&row);
        assert_eq!(was["resources"], "vm:101,vm:104");
        let will = Rule::from([("disable".to_owned(), "1".to_owned())]);
        let with = invocation("r", &was, Some(&will), false);
        let wanted = json!({"name": "r", "kind": "node-affinity", "guests": [101, 104], "nodes": ["pve1:2", "pve2"],
            "strict": true, "comment": "why", "disabled": false});
        assert_eq!(with, wanted);
        let again = asked(with, false).unwrap();
        assert!(was.iter().all(|(name, value)| again.get(name) == Some(value)), "{again:?}");
    }
}
