//! The graph for a terminal: a tree of scopes in which an arrow says that a step waits for the one above it.

use super::{Graph, Kind, Node};
use crate::report::style::{Ink, Look};
use crate::report::text::{clean, fill, hang, width};

/// A name longer than this does not push what all others do to the right.
const WIDEST: usize = 26;

impl Graph {
    /// The graph in lines of at most `look.width` columns, with a legend.
    pub fn text(&self, look: &Look) -> String {
        let mut out = look.style.paint(Ink::Bold, &clean(&self.name));
        if self.title != self.name {
            out.push_str(&format!(": {}", clean(&self.title)));
        }
        out.push_str("\n\n");
        let tree = Tree { look, column: column(&self.nodes, 0).min(WIDEST).min(look.width / 2) };
        tree.siblings(&mut out, &self.nodes, "");
        out.push('\n');
        out.push_str(&self.legend_text(look));
        out
    }

    fn legend_text(&self, look: &Look) -> String {
        let words = self.kinds().into_iter().map(|kind| format!("{} {}", kind.words().0, kind.words().1));
        let arrow = look.style.pick("─▶", "->");
        let arrows = format!("{arrow} waits for the step above it");
        let text = words.chain([arrows]).collect::<Vec<_>>().join(", ");
        hang("", &text, look.width).lines().map(|line| look.style.paint(Ink::Dim, line) + "\n").collect()
    }
}

/// Where what the steps do begins.
fn column(nodes: &[Node], depth: usize) -> usize {
    let of = |node: &Node| {
        let own = depth * 3 + width(&node.name);
        own.max(column(node.inner.as_deref().unwrap_or_default(), depth + 1))
    };
    nodes.iter().map(of).max().unwrap_or(0)
}

struct Tree<'a> {
    look: &'a Look,
    column: usize,
}

impl Tree<'_> {
    fn siblings(&self, out: &mut String, nodes: &[Node], stem: &str) {
        for (n, node) in nodes.iter().enumerate() {
            let last = n + 1 == nodes.len();
            let above: Option<usize> = n.checked_sub(1);
            let follows = above.is_some_and(|above| node.needs.contains(&above));
            self.node(out, node, stem, last, follows);
            let below = format!("{stem}{}", if last { "   " } else { self.look.style.pick("│  ", "|  ") });
            let others: Vec<&str> =
                node.needs.iter().filter(|i| Some(**i) != above).map(|i| nodes[*i].name.as_str()).collect();
            // Where it waits for the one above it alone the arrow has said so.
            if !others.is_empty() {
                let also = if follows { "also after " } else { "after " };
                self.note(out, &below, node, &format!("{also}{}", others.join(", ")));
            }
            node.notes.iter().for_each(|note| self.note(out, &below, node, note));
            if let Some(inner) = &node.inner {
                self.siblings(out, inner, &below);
            }
        }
    }

    fn node(&self, out: &mut String, node: &Node, stem: &str, last: bool, follows: bool) {
        let style = self.look.style;
        let fork = match (last, follows) {
            (false, false) => style.pick("├─ ", "|- "),
            (false, true) => style.pick("├─▶", "|->"),
            (true, false) => style.pick("└─ ", "`- "),
            (true, true) => style.pick("└─▶", "`->"),
        };
        let (sign, ink) = ink(node.kind);
        let many = if node.many { " ×n" } else { "" };
        let name = format!("{}{}", clean(&node.name), style.pick(many, if node.many { " *n" } else { "" }));
        let used = width(stem);
        let name = fill(&name, self.column.saturating_sub(used), false);
        // A scope has no sign of its own: its name stands where signs do.
        let head = if node.kind == Kind::Scope {
            format!("{stem}{fork} {}", fill(&name, width(&name) + 3, false))
        } else {
            format!("{stem}{fork} {} {name}", fill(sign, 2, true))
        };
        let head = format!("{head}  ");
        let text = hang(&blank(&head), &node.what, self.look.width);
        let text = text.get(width(&head)..).unwrap_or("\n");
        // The lines after the first go on below the stem.
        let mut lines = text.lines();
        let first = lines.next().unwrap_or_default();
        let shown = head.replacen(sign, &style.paint(ink, sign), usize::from(!sign.is_empty()));
        let shown = if node.kind == Kind::Scope {
            shown.replacen(&node.name, &style.paint(Ink::Bold, &node.name), 1)
        } else {
            shown
        };
        out.push_str(format!("{shown}{first}").trim_end());
        out.push('\n');
        let bar = if last { "   " } else { style.pick("│  ", "|  ") };
        for line in lines {
            let line = line.get(width(stem) + 3..).unwrap_or_default();
            out.push_str(format!("{stem}{bar}{line}").trim_end());
            out.push('\n');
        }
    }

    fn note(&self, out: &mut String, below: &str, node: &Node, note: &str) {
        let style = self.look.style;
        let inner = if node.inner.is_some() { style.pick("│  ", "|  ") } else { "   " };
        let from = width(below) + 3 + 1 + self.column.saturating_sub(width(below).saturating_sub(3)) + 2;
        let room = self.look.width.saturating_sub(from);
        for line in hang("", note, room).lines() {
            let blanks = " ".repeat(from - width(below) - width(inner));
            out.push_str(&format!("{below}{inner}{blanks}{}\n", style.paint(Ink::Dim, line)));
        }
    }
}

fn blank(head: &str) -> String {
    " ".repeat(width(head))
}

fn ink(kind: Kind) -> (&'static str, Ink) {
    let ink = match kind {
        Kind::Read | Kind::Unknown => Ink::Info,
        Kind::Create => Ink::Good,
        Kind::Change | Kind::Ask => Ink::Warn,
        Kind::Destroy | Kind::Disrupt => Ink::Bad,
        Kind::Nothing | Kind::Scope => Ink::Dim,
    };
    (kind.words().0, ink)
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;
    use crate::report::style::Style;

    const UNICODE: Style = Style { color: false, unicode: true };

    #[test]
    fn a_tree_that_reads_well_at_80_columns() {
        let look = Look { style: UNICODE, width: 80, offset: 0 };
        insta::assert_snapshot!("graph_text", samples::whole().text(&look));
        insta::assert_snapshot!("graph_text_of_a_plan", samples::planned().text(&look));
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_and_colour_adds_no_meaning() {
        for graph in [samples::whole(), samples::hundred(), samples::planned()] {
            for at in [60, 80, 120] {
                for unicode in [true, false] {
                    let look = Look { style: Style { color: false, unicode }, width: at, offset: 0 };
                    let text = graph.text(&look);
                    text.lines().for_each(|line| assert!(width(line) <= at, "{at}: {line}"));
                    let coloured = graph.text(&Look { style: Style { color: true, unicode }, ..look });
                    assert!(text.lines().eq(coloured.lines().map(clean)), "{coloured}");
                }
            }
        }
    }
}
