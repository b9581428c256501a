//! The graph as programs read it.

use serde_json::{Value, json};

use super::{Graph, Node};
use crate::report::FORMAT_VERSION;

impl Graph {
    /// `format_version`, `runbook`, `title`, `steps`. A scope has its `steps`; `needs` are paths of its siblings.
    pub fn json(&self) -> Value {
        json!({
            "format_version": FORMAT_VERSION,
            "runbook": self.name,
            "title": self.title,
            "steps": siblings(&self.nodes),
        })
    }
}

fn siblings(nodes: &[Node]) -> Vec<Value> {
    let of = |node: &Node| {
        let needs: Vec<&str> = node.needs.iter().map(|i| nodes[*i].path.as_str()).collect();
        let (sign, word) = node.kind.words();
        let mut value = json!({
            "path": node.path,
            "what": node.what,
            "kind": if word.is_empty() { "scope" } else { word },
            "notes": node.notes,
            "needs": needs,
        });
        if !sign.is_empty() {
            value["sign"] = sign.into();
        }
        if node.many {
            value["each"] = true.into();
        }
        if node.finally {
            value["finally"] = true.into();
        }
        if let Some(inner) = &node.inner {
            value["steps"] = siblings(inner).into();
        }
        value
    };
    nodes.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::super::samples;

    #[test]
    fn needs_are_paths_and_scopes_hold_their_steps() {
        let graph = samples::whole().json();
        assert_eq!(graph["format_version"], "1.0");
        let steps = graph["steps"].as_array().unwrap();
        let by = |path: &str| steps.iter().find(|s| s["path"] == path).unwrap();
        assert_eq!(by("maintenance")["needs"], serde_json::json!(["stops"]));
        assert_eq!((&by("move")["each"], &by("move")["sign"]), (&true.into(), &"!".into()));
        assert_eq!(by("checks")["steps"][0]["path"], "checks/still_fits");
        assert_eq!(by("drain")["steps"][0]["path"], "drain/cordon");
    }
}
