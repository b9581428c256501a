//! The graph in Graphviz's language: `runbook graph NAME --format dot | dot -Tsvg`.

use std::fmt::Write;

use super::{Graph, Kind, Node};
use crate::report::text::clean;

impl Graph {
    /// A digraph with a cluster for each scope.
    pub fn dot(&self) -> String {
        let mut dot = Dot { out: String::new(), count: 0 };
        let _ = writeln!(dot.out, "digraph {} {{", quoted(&self.name));
        let _ = writeln!(dot.out, "  label={}; labelloc=t; compound=true; rankdir=TB;", quoted(&self.title));
        dot.out.push_str("  node [shape=box, style=rounded, fontname=\"sans-serif\", fontsize=11];\n");
        dot.out.push_str("  graph [fontname=\"sans-serif\", fontsize=12];\n");
        dot.siblings(&self.nodes, 1);
        dot.out + "}\n"
    }
}

/// A node as edges name it.
struct Ends {
    /// The first and the last step in it, or itself.
    first: usize,
    last: usize,
    /// The cluster that an edge ends at, for a scope.
    cluster: Option<usize>,
}

struct Dot {
    out: String,
    count: usize,
}

impl Dot {
    fn siblings(&mut self, nodes: &[Node], depth: usize) -> Vec<Ends> {
        let ends: Vec<Ends> = nodes.iter().map(|node| self.node(node, depth)).collect();
        for (to, node) in nodes.iter().enumerate() {
            for from in &node.needs {
                self.edge(&ends[*from], &ends[to], node.finally, depth);
            }
        }
        ends
    }

    fn node(&mut self, node: &Node, depth: usize) -> Ends {
        let own = self.count;
        self.count += 1;
        let indent = "  ".repeat(depth);
        let Some(inner) = node.inner.as_deref().filter(|inner| !inner.is_empty()) else {
            let shape = if node.kind == Kind::Ask { ", shape=octagon" } else { "" };
            let more = if node.many { ", peripheries=2" } else { "" };
            let _ = writeln!(self.out, "{indent}n{own} [label={}{shape}{more}];", quoted(&label(node)));
            return Ends { first: own, last: own, cluster: None };
        };
        let _ = writeln!(self.out, "{indent}subgraph cluster_{own} {{");
        let _ = writeln!(self.out, "{indent}  label={}; style=dashed;", quoted(&label(node)));
        let ends = self.siblings(inner, depth + 1);
        let _ = writeln!(self.out, "{indent}}}");
        let (first, last) = (ends.first().map_or(own, |e| e.first), ends.last().map_or(own, |e| e.last));
        Ends { first, last, cluster: Some(own) }
    }

    fn edge(&mut self, from: &Ends, to: &Ends, dashed: bool, depth: usize) {
        let mut more = Vec::new();
        more.extend(from.cluster.map(|n| format!("ltail=cluster_{n}")));
        more.extend(to.cluster.map(|n| format!("lhead=cluster_{n}")));
        more.extend(dashed.then(|| "style=dashed".to_owned()));
        let more = if more.is_empty() { String::new() } else { format!(" [{}]", more.join(", ")) };
        let _ = writeln!(self.out, "{}n{} -> n{}{more};", "  ".repeat(depth), from.last, to.first);
    }
}

/// The lines of a label: the sign and name, what it is, and its notes.
pub(super) fn lines(node: &Node) -> Vec<String> {
    let (sign, word) = node.kind.words();
    let head = if sign.is_empty() { node.name.clone() } else { format!("{sign} {} ({word})", node.name) };
    [head, node.what.clone()].iter().chain(&node.notes).map(|line| clean(line)).collect()
}

fn label(node: &Node) -> String {
    lines(node).join("\n")
}

/// A quoted string: only the quote and the backslash mean something in it.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

#[cfg(test)]
mod tests {
    use super::super::samples;

    /// Reads what we write of the language: statements in braces, quoted labels, edges between known nodes.
    fn parsed(dot: &str) -> (usize, usize, usize) {
        let (mut depth, mut nodes, mut edges, mut clusters) = (0, Vec::new(), Vec::new(), 0);
        for line in dot.lines() {
            let bare = without_strings(line);
            depth += bare.matches('{').count() as i32 - bare.matches('}').count() as i32;
            assert!(depth >= 0, "{line}");
            clusters += usize::from(bare.trim_start().starts_with("subgraph cluster_"));
            let mut words = bare.split_whitespace();
            let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            if second == "->" {
                let to = words.next().unwrap_or_default().trim_end_matches(';');
                edges.push((first.to_owned(), to.to_owned()));
            } else if first.starts_with('n') && first[1..].parse::<usize>().is_ok() {
                nodes.push(first.to_owned());
            }
            assert!(bare.trim().is_empty() || bare.trim_end().ends_with(['{', '}', ';']), "{line}");
        }
        assert_eq!(depth, 0);
        for (from, to) in &edges {
            assert!(nodes.contains(from) && nodes.contains(to), "{from} -> {to}");
        }
        (nodes.len(), edges.len(), clusters)
    }

    /// The line with its strings emptied; fails where one is not closed.
    fn without_strings(line: &str) -> String {
        let (mut out, mut inside, mut signs) = (String::new(), false, line.chars());
        while let Some(sign) = signs.next() {
            match sign {
                '\\' if inside => drop(signs.next()),
                '"' => inside = !inside,
                _ if inside => {}
                other => out.push(other),
            }
        }
        assert!(!inside, "{line}");
        out
    }

    #[test]
    fn what_is_written_is_the_language() {
        let graph = samples::whole();
        let (nodes, edges, clusters) = parsed(&graph.dot());
        assert_eq!((nodes, clusters), (graph.steps(), 5));
        assert!(edges > 8, "{edges}");
        assert_eq!(parsed(&samples::hundred().dot()).0, 100);
    }

    #[test]
    fn a_label_cannot_leave_its_quotes() {
        let nasty = samples::nasty();
        parsed(&nasty.dot());
        assert!(nasty.dot().contains("say \\\"hi\\\" \\\\ <b>"), "{}", nasty.dot());
    }
}
