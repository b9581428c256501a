//! The graph as a Mermaid flowchart, which forges and wikis draw in a page.

use std::fmt::Write;

use super::dot::lines;
use super::{Graph, Kind, Node};
use crate::report::text::clean;

impl Graph {
    /// A flowchart with a subgraph for each scope.
    pub fn mermaid(&self) -> String {
        let mut out = format!("---\ntitle: {}\n---\nflowchart TD\n", title(&self.title));
        let mut count = 0;
        siblings(&mut out, &self.nodes, 1, &mut count);
        out
    }
}

fn siblings(out: &mut String, nodes: &[Node], depth: usize, count: &mut usize) {
    let names: Vec<usize> = nodes.iter().map(|node| one(out, node, depth, count)).collect();
    for (to, node) in nodes.iter().enumerate() {
        let arrow = if node.finally { "-.->" } else { "-->" };
        for from in &node.needs {
            let _ = writeln!(out, "{}n{} {arrow} n{}", "  ".repeat(depth), names[*from], names[to]);
        }
    }
}

fn one(out: &mut String, node: &Node, depth: usize, count: &mut usize) -> usize {
    let own = *count;
    *count += 1;
    let indent = "  ".repeat(depth);
    let label = lines(node).iter().map(|line| escaped(line)).collect::<Vec<_>>().join("<br/>");
    let Some(inner) = node.inner.as_deref().filter(|inner| !inner.is_empty()) else {
        let (open, close) = match (node.kind, node.many) {
            (Kind::Ask, _) => ("{{", "}}"),
            (_, true) => ("[[", "]]"),
            _ => ("[", "]"),
        };
        let _ = writeln!(out, "{indent}n{own}{open}\"{label}\"{close}");
        return own;
    };
    let _ = writeln!(out, "{indent}subgraph n{own}[\"{label}\"]");
    siblings(out, inner, depth + 1, count);
    let _ = writeln!(out, "{indent}end");
    own
}

/// Mermaid takes entities with `#` for `&`; with these nothing in a label means anything.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for sign in text.chars() {
        match sign {
            '#' | '"' | '<' | '>' | '&' | '`' | '\\' | '{' | '}' | '[' | ']' | ';' => {
                let _ = write!(out, "#{};", sign as u32);
            }
            other => out.push(other),
        }
    }
    out
}

/// The title stands in YAML.
fn title(text: &str) -> String {
    format!("\"{}\"", clean(text).replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::super::samples;

    /// Reads what we write of the language; returns steps, edges and subgraphs.
    fn parsed(text: &str) -> (usize, usize, usize) {
        let (mut names, mut edges, mut open, mut subgraphs) = (Vec::new(), Vec::new(), 0, 0);
        let body = text.split_once("flowchart TD\n").unwrap().1;
        for line in body.lines().map(str::trim) {
            if line == "end" {
                open -= 1;
                assert!(open >= 0);
                continue;
            }
            assert!(line.matches('"').count() % 2 == 0, "{line}");
            let words: Vec<&str> = line.split(' ').collect();
            if let [from, "-->" | "-.->", to] = words[..] {
                edges.push((from.to_owned(), to.to_owned()));
                continue;
            }
            let line = match line.strip_prefix("subgraph ") {
                Some(rest) => {
                    (open, subgraphs) = (open + 1, subgraphs + 1);
                    rest
                }
                None => line,
            };
            let (name, label) = line.split_once(['[', '{']).unwrap();
            assert!(name[1..].parse::<usize>().is_ok(), "{line}");
            let inner = label.split('"').nth(1).unwrap();
            assert!(!inner.replace("<br/>", "").contains(['<', '>', '[', ']', '{', '}', '"', '`']), "{line}");
            names.push(name.to_owned());
        }
        assert_eq!(open, 0);
        edges.iter().for_each(|(from, to)| assert!(names.contains(from) && names.contains(to), "{from} {to}"));
        (names.len() - subgraphs, edges.len(), subgraphs)
    }

    #[test]
    fn what_is_written_is_the_language() {
        let graph = samples::whole();
        let (steps, edges, subgraphs) = parsed(&graph.mermaid());
        assert_eq!((steps, subgraphs), (graph.steps(), 5));
        assert!(edges > 8);
        assert_eq!(parsed(&samples::hundred().mermaid()).0, 100);
        assert_eq!(parsed(&samples::nasty().mermaid()).0, 1);
    }
}
