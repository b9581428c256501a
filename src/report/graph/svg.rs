//! The picture: cards for steps, boxes for scopes, from top to bottom. It needs nothing from elsewhere, is legible on
//! light and dark pages, and says each effect as a sign and a word.

use std::fmt::Write;

use super::place::{CARD, LINE, NOTES, Placed, Route, TITLE, heading, siblings};
use super::{Graph, Kind, Node};
use crate::report::picture::escape;
use crate::report::style::Style;
use crate::report::text::{clean, clip, width};

const PAD: f64 = 24.0;
const HEAD: f64 = 62.0;
/// A sign of the picture's title at most, in pixels: fonts differ.
const TITLE_SIGN: f64 = 9.5;
/// Signs of a card's lines: the title shares its line with the effect.
const LINE_SIGNS: usize = 41;
const STYLE: Style = Style { color: false, unicode: true };

const CSS: &str = "text{font-family:ui-sans-serif,system-ui,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;fill:#1f2430}\
.h{font-size:17px;font-weight:600}.l{font-size:12px;fill:#5b6270}.m{font-size:13px;font-weight:600}.s{font-size:11px;fill:#464d5c}\
.n{font-size:10.5px;fill:#5b6270;font-style:italic}.k{font-size:11px;font-weight:700}\
.c{fill:#fff;stroke:#8a93a3;stroke-width:1.2}.g{fill:#6b7a99;fill-opacity:.07;stroke:#8a93a3;stroke-width:1;stroke-dasharray:6 4}\
.e{fill:none;stroke:#7c8696;stroke-width:1.4}.d{stroke-dasharray:5 4}.a{fill:#7c8696}\
.b-read{fill:#2f7fb8}.b-create{fill:#2a8a4a}.b-change{fill:#b3821a}.b-disrupt,.b-destroy{fill:#c2372f}.b-ask{fill:#7a4fc0}.b-unknown,.b-nothing{fill:#8a93a3}\
.k-read{fill:#1f6699}.k-create{fill:#1c7038}.k-change{fill:#855c00}.k-disrupt,.k-destroy{fill:#b3261e}.k-ask{fill:#6b3fb5}.k-unknown,.k-nothing{fill:#5b6270}\
@media(prefers-color-scheme:dark){text{fill:#e4e7ed}.l,.n{fill:#a2aab8}.s{fill:#bcc3cf}.c{fill:#1d2129;stroke:#5a6373}.g{stroke:#5a6373}\
.e{stroke:#717a8b}.a{fill:#717a8b}.k-read{fill:#79b8ff}.k-create{fill:#6fcf7c}.k-change{fill:#e5c15d}.k-disrupt,.k-destroy{fill:#ff8f86}\
.k-ask{fill:#d2a8ff}.k-unknown,.k-nothing{fill:#a2aab8}}";

impl Graph {
    /// The graph as an SVG of its own.
    pub fn svg(&self) -> String {
        let least = (width(&self.title) as f64 * TITLE_SIGN).max(width(&self.legend()) as f64 * 6.4);
        let (placed, edges, room) = siblings(&self.nodes, (PAD, HEAD), least);
        let (w, h) = (room.0 + 2.0 * PAD, HEAD + room.1 + PAD);
        let (title, described) = (escape(&clean(&self.title)), escape(&self.described()));
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w:.0}\" height=\"{h:.0}\" viewBox=\"0 0 {w:.0} {h:.0}\" \
             role=\"img\" aria-labelledby=\"graph-title graph-desc\">\n<title id=\"graph-title\">{title}</title>\n\
             <desc id=\"graph-desc\">{described}</desc>\n<style>{CSS}</style>\n\
             <defs><marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"7.5\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" \
             orient=\"auto\"><path class=\"a\" d=\"M0 0 8 4 0 8z\"/></marker></defs>\n\
             <text class=\"h\" x=\"{x:.0}\" y=\"28\" text-anchor=\"middle\">{title}</text>\n\
             <text class=\"l\" x=\"{x:.0}\" y=\"47\" text-anchor=\"middle\">{}</text>\n",
            escape(&self.legend()),
            x = w / 2.0
        );
        all(&mut out, &placed, &edges);
        out + "</svg>\n"
    }

    fn legend(&self) -> String {
        let said = |kind: &Kind| format!("{} {}", kind.words().0, kind.words().1);
        self.kinds().iter().map(said).collect::<Vec<_>>().join(" · ")
    }

    /// What somebody hears who does not see the picture.
    fn described(&self) -> String {
        let mut said = Vec::new();
        super::each(&self.nodes, &mut |node| {
            let word = node.kind.words().1;
            said.push(if word.is_empty() {
                format!("{}: {}", node.path, node.what)
            } else {
                format!("{}: {word}", node.path)
            });
        });
        clean(&format!("{} steps, each below what it needs. {}", self.steps(), said.join("; ")))
    }
}

/// Scopes first, then edges, then what they lead to: nothing covers what is above it.
fn all(out: &mut String, placed: &[Placed<'_>], edges: &[Route]) {
    edges.iter().for_each(|edge| route(out, edge, placed));
    for one in placed {
        if one.node.inner.is_some() { scope(out, one) } else { card(out, one) }
    }
}

fn route(out: &mut String, edge: &Route, among: &[Placed<'_>]) {
    let mut path = String::new();
    for (n, (x, from, to)) in edge.uprights.iter().enumerate() {
        if n == 0 {
            let _ = write!(path, "M{x:.1} {from:.1}");
        } else {
            let (before, _, y) = edge.uprights[n - 1];
            let middle = (y + from) / 2.0;
            let _ = write!(path, "C{before:.1} {middle:.1} {x:.1} {middle:.1} {x:.1} {from:.1}");
        }
        if to > from {
            let _ = write!(path, "V{to:.1}");
        }
    }
    let dashed = if edge.dashed { " d" } else { "" };
    let joined = format!("{} then {}", among[edge.from].node.path, among[edge.to].node.path);
    let joined = escape(&clean(&joined));
    let _ = writeln!(
        out,
        "<path class=\"e{dashed}\" d=\"{path}\" marker-end=\"url(#arrow)\"><title>{joined}</title></path>"
    );
}

fn scope(out: &mut String, placed: &Placed<'_>) {
    let ((x, y), (w, h)) = (placed.at, placed.size);
    let node = placed.node;
    let signs = (w / 7.0) as usize;
    let _ = writeln!(
        out,
        "<g>{}<rect class=\"g\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" height=\"{h:.1}\" rx=\"10\"/>\
         <text class=\"m\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
        tooltip(node),
        x + 12.0,
        y + TITLE,
        line(&heading(node), signs)
    );
    notes(out, node, (x + 12.0, y + TITLE), signs);
    all(out, &placed.inner, &placed.edges);
    out.push_str("</g>\n");
}

fn card(out: &mut String, placed: &Placed<'_>) {
    let ((x, y), (w, h)) = (placed.at, placed.size);
    let node = placed.node;
    let (sign, word) = node.kind.words();
    let class = class(node.kind);
    let _ = write!(out, "<g>{}", tooltip(node));
    // The cards behind the first one, drawn first.
    for shift in if node.many { vec![6.0, 3.0, 0.0] } else { vec![0.0] } {
        let (x, y) = (x + shift, y + shift);
        let _ =
            write!(out, "<rect class=\"c\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" height=\"{h:.1}\" rx=\"7\"/>");
    }
    let badge = format!("{sign} {word}");
    let room = LINE_SIGNS.saturating_sub(width(&badge) + 8);
    let _ = writeln!(
        out,
        "<path class=\"b-{class}\" d=\"M{x:.1} {:.1}a7 7 0 0 1 5 -6.7V{:.1}a7 7 0 0 1 -5 -6.7z\"/>\
         <text class=\"m\" x=\"{:.1}\" y=\"{:.1}\">{}</text>\
         <text class=\"k k-{class}\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
         <text class=\"s\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
        y + 7.0,
        y + h - 0.3,
        x + 14.0,
        y + TITLE + 1.0,
        line(&node.name, room),
        x + CARD - 10.0,
        y + TITLE + 1.0,
        escape(&badge),
        x + 14.0,
        y + TITLE + LINE + 3.0,
        line(&node.what, LINE_SIGNS)
    );
    notes(out, node, (x + 14.0, y + TITLE + LINE + 3.0), LINE_SIGNS + 1);
    out.push_str("</g>\n");
}

fn notes(out: &mut String, node: &Node, (x, mut y): (f64, f64), signs: usize) {
    for note in node.notes.iter().take(NOTES) {
        y += LINE;
        let _ = writeln!(out, "<text class=\"n\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", line(note, signs));
    }
}

/// All that is known of it, uncut.
fn tooltip(node: &Node) -> String {
    let said = [&node.path, &node.what].into_iter().chain(&node.notes).map(|text| escape(&clean(text)));
    format!("<title>{}</title>", said.collect::<Vec<_>>().join("\n"))
}

fn line(text: &str, signs: usize) -> String {
    escape(&clip(&clean(text), signs, STYLE))
}

fn class(kind: Kind) -> &'static str {
    match kind {
        Kind::Read => "read",
        Kind::Create => "create",
        Kind::Change => "change",
        Kind::Destroy => "destroy",
        Kind::Disrupt => "disrupt",
        Kind::Ask => "ask",
        Kind::Unknown => "unknown",
        Kind::Nothing | Kind::Scope => "nothing",
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    fn boxes<'a>(
        placed: &'a [Placed<'a>],
        cards: &mut Vec<&'a Placed<'a>>,
        edges: &mut Vec<(&'a Route, &'a [Placed<'a>])>,
    ) {
        for one in placed {
            cards.push(one);
            edges.extend(one.edges.iter().map(|edge| (edge, one.inner.as_slice())));
            boxes(&one.inner, cards, edges);
        }
    }

    fn overlap(a: &Placed<'_>, b: &Placed<'_>) -> bool {
        let apart = |a0: f64, a1: f64, b0: f64, b1: f64| a0 + a1 <= b0 || b0 + b1 <= a0;
        !apart(a.at.0, a.size.0, b.at.0, b.size.0) && !apart(a.at.1, a.size.1, b.at.1, b.size.1)
    }

    #[test]
    fn a_hundred_steps_do_not_overlap_and_every_edge_ends_at_a_box() {
        let graph = samples::hundred();
        assert_eq!(graph.steps(), 100);
        let (placed, top, room) = siblings(&graph.nodes, (PAD, HEAD), 0.0);
        let (mut cards, mut edges) = (Vec::new(), top.iter().map(|e| (e, placed.as_slice())).collect());
        boxes(&placed, &mut cards, &mut edges);
        let steps: Vec<_> = cards.iter().filter(|c| c.node.inner.is_none()).collect();
        assert_eq!(steps.len(), 100);
        for (n, a) in steps.iter().enumerate() {
            steps[n + 1..].iter().for_each(|b| assert!(!overlap(a, b), "{} {}", a.node.path, b.node.path));
        }
        for (edge, among) in &edges {
            let (from, to) = (&among[edge.from], &among[edge.to]);
            let (first, last) = (edge.uprights.first().unwrap(), edge.uprights.last().unwrap());
            let within = |x: f64, b: &Placed<'_>| x >= b.at.0 && x <= b.at.0 + b.size.0;
            assert!(within(first.0, from) && (first.1 - from.at.1 - from.size.1).abs() < 0.01, "{}", from.node.path);
            assert!(within(last.0, to) && (last.2 - to.at.1).abs() < 0.01, "{}", to.node.path);
            // An upright of an edge runs through no box but those that it joins.
            for (x, y0, y1) in &edge.uprights {
                let hit = among.iter().find(|b| within(*x, b) && *y0 < b.at.1 + b.size.1 - 0.1 && *y1 > b.at.1 + 0.1);
                assert!(
                    hit.is_none(),
                    "{} to {} runs through {}",
                    from.node.path,
                    to.node.path,
                    hit.unwrap().node.path
                );
            }
        }
        for scope in cards.iter().filter(|c| c.node.inner.is_some()) {
            for inner in &scope.inner {
                assert!(overlap(scope, inner) && inner.at.1 + inner.size.1 < scope.at.1 + scope.size.1);
            }
        }
        assert!(room.0 < 1600.0, "{}", room.0);
    }

    #[test]
    fn a_parallel_group_of_a_hundred_is_as_wide_as_a_page() {
        let mut graph = samples::hundred();
        graph.nodes.iter_mut().for_each(|node| node.needs.clear());
        let (_, _, room) = siblings(&graph.nodes, (PAD, HEAD), 0.0);
        assert!(room.0 < 1300.0, "{}", room.0);
    }

    #[test]
    fn strangers_text_stays_text_and_nothing_is_fetched() {
        let svg = samples::nasty().svg();
        assert!(!svg.contains("<script") && !svg.contains("<b>"), "{svg}");
        assert!(!svg.contains("href") && !svg.contains("@import") && svg.matches("http").count() == 1, "{svg}");
        assert!(svg.contains("<title id=") && svg.contains("<desc id="));
    }

    #[test]
    fn each_effect_has_a_sign_and_a_word() {
        let svg = samples::hundred().svg();
        for (sign, word) in
            [("+", "create"), ("~", "change"), ("-", "destroy"), ("!", "disrupt"), ("&lt;=", "read"), ("*", "asks")]
        {
            assert!(svg.contains(&format!(">{sign} {word}</text>")), "{sign} {word}");
        }
    }
}
