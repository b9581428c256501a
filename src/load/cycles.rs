//! Cycles among the `needs` of siblings.

use std::collections::BTreeMap;

use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use super::diagnostic::{Span, code};
use super::reader::Reader;
use crate::model::runbook::Step;

/// Reports every cycle with all of its steps and their lines.
pub fn refuse_cycles(reader: &mut Reader<'_>, steps: &[Step]) {
    let mut graph: DiGraph<usize, ()> = DiGraph::with_capacity(steps.len(), steps.len());
    let nodes: Vec<NodeIndex> = (0..steps.len()).map(|i| graph.add_node(i)).collect();
    let index: BTreeMap<&str, usize> = steps.iter().enumerate().map(|(i, s)| (s.id.as_str(), i)).collect();
    if index.len() < steps.len() {
        return; // two of one id: reported already, and what needs which cannot be told
    }
    for (i, step) in steps.iter().enumerate() {
        for need in step.needs.iter().filter_map(|need| index.get(need.as_str())) {
            graph.add_edge(nodes[i], nodes[*need], ());
        }
    }
    for component in tarjan_scc(&graph) {
        let alone = component.len() == 1 && !graph.contains_edge(component[0], component[0]);
        if !alone {
            let mut members: Vec<usize> = component.iter().map(|node| graph[*node]).collect();
            members.sort_unstable();
            report(reader, steps, &index, &members);
        }
    }
}

fn report(reader: &mut Reader<'_>, steps: &[Step], index: &BTreeMap<&str, usize>, members: &[usize]) {
    // Following any need inside the component comes back sooner or later; the first step seen twice closes the cycle.
    let mut walk = vec![members[0]];
    let cycle = loop {
        let last = &steps[walk[walk.len() - 1]];
        let next = last.needs.iter().filter_map(|n| index.get(n.as_str()).copied()).find(|n| members.contains(n));
        let Some(next) = next else { return };
        if let Some(at) = walk.iter().position(|i| *i == next) {
            break walk.split_off(at);
        }
        walk.push(next);
    };
    let name = |i: usize| format!("`{}` (line {})", steps[i].id, steps[i].place.line);
    let mut path: Vec<String> = cycle.iter().map(|i| name(*i)).collect();
    path.push(name(cycle[0]));
    let span = |i: usize| Span { ..reader.source.span_of(steps[i].place, 1) };
    let labels: Vec<(Span, String)> = cycle
        .iter()
        .enumerate()
        .map(|(n, i)| (span(*i), format!("`{}` needs `{}`", steps[*i].id, steps[cycle[(n + 1) % cycle.len()]].id)))
        .collect();
    let first = span(cycle[0]);
    let message = format!("these steps wait for each other: {}", path.join(" -> "));
    let diagnostic = reader.error(code::CYCLE, first, message);
    for (span, text) in labels {
        diagnostic.label(span, text);
    }
    diagnostic.help("take one of these needs off");
}
