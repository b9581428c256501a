//! The picture of a runbook: its steps in layers, from top to bottom, with what needs what.
//!
//! Groups are drawn as their steps, a fan-out as a stack of cards. It needs no catalogue: who calls says what an action's effect is.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;

use super::picture::escape;
use super::style::Style;
use super::text::{self, clip};
use crate::model::effect::Effect;
use crate::model::runbook::{Runbook, Step, Verb};

const CARD: (f64, f64) = (240.0, 50.0);
/// A place that an edge passes through beside the cards.
const LANE: f64 = 24.0;
const GAP: (f64, f64) = (28.0, 44.0);
const PAD: f64 = 24.0;
const TITLE: usize = 24;
/// A sign of the picture's title at most, in pixels: fonts differ.
const TITLE_SIGN: f64 = 9.5;

const CSS: &str = "text{font-family:ui-sans-serif,system-ui,'Segoe UI',sans-serif;fill:#1f2430}.m{font-size:13px;font-weight:600}\
.s{font-size:11px;fill:#5b6270}.h{font-size:15px;font-weight:600}.y{font-family:ui-monospace,Menlo,Consolas,monospace;font-size:15px;font-weight:700}\
.c{fill:#fff;stroke:#8a93a3;stroke-width:1.3}.e{fill:none;stroke:#8a93a3;stroke-width:1.4}.a{fill:#8a93a3}\
.read{stroke:#2f7fb8}.change{stroke:#a8791a}.disrupt,.destroy{stroke:#c2372f;stroke-width:2}.gate{stroke:#7a4fc0;stroke-dasharray:5 3}\
@media(prefers-color-scheme:dark){text{fill:#e4e7ed}.s{fill:#a2aab8}.c{fill:#1d2129}.e{stroke:#717a8b}.a{fill:#717a8b}}";

/// A drawn step.
struct Card {
    title: String,
    subtitle: String,
    sign: &'static str,
    class: &'static str,
    stacked: bool,
}

/// A step or a place that an edge passes through.
struct Spot {
    card: Option<Card>,
    layer: usize,
    x: f64,
}

/// The steps of a runbook as an SVG, legible on light and dark pages. `effect_of` says what an action does at most;
/// `None`: it is not known.
pub fn graph_svg(runbook: &Runbook, effect_of: &dyn Fn(&str) -> Option<Effect>) -> String {
    let mut graph = Graph { cards: Vec::new(), edges: Vec::new(), effect_of };
    let (_, exits) = graph.sequence(&runbook.steps, "", false);
    if !runbook.finally.is_empty() {
        let first = graph.cards.len();
        let (entries, _) = graph.sequence(&runbook.finally, "", false);
        graph.cards[first..].iter_mut().for_each(|c| c.subtitle = format!("finally: {}", c.subtitle));
        graph.join(&exits, &entries);
    }
    let title = runbook.title.as_deref().unwrap_or(&runbook.name);
    let mut layout = Layout::of(graph.cards, graph.edges);
    layout.least = text::width(title) as f64 * TITLE_SIGN;
    layout.order();
    layout.place();
    layout.draw(title)
}

struct Graph<'a> {
    cards: Vec<Card>,
    edges: Vec<(usize, usize)>,
    effect_of: &'a dyn Fn(&str) -> Option<Effect>,
}

/// Where one comes into a step or group and where one leaves it.
type Ends = (Vec<usize>, Vec<usize>);

impl Graph<'_> {
    /// Siblings; the ends of the whole are those that no sibling leads to, or from.
    fn sequence(&mut self, steps: &[Step], prefix: &str, stacked: bool) -> Ends {
        let ends: BTreeMap<&str, Ends> =
            steps.iter().map(|step| (step.id.as_str(), self.step(step, prefix, stacked))).collect();
        let mut needed: Vec<&str> = Vec::new();
        for step in steps {
            for need in step.needs.iter().filter(|n| ends.contains_key(n.as_str())) {
                needed.push(need);
                self.join(&ends[need.as_str()].1, &ends[step.id.as_str()].0);
            }
        }
        let of = |step: &Step| &ends[step.id.as_str()];
        let first = |s: &&Step| !s.needs.iter().any(|n| ends.contains_key(n.as_str()));
        let entries = steps.iter().filter(first).flat_map(|s| of(s).0.clone()).collect();
        let last = |s: &&Step| !needed.contains(&s.id.as_str());
        let exits = steps.iter().filter(last).flat_map(|s| of(s).1.clone()).collect();
        (entries, exits)
    }

    fn step(&mut self, step: &Step, prefix: &str, stacked: bool) -> Ends {
        let stacked = stacked || step.for_each.is_some();
        let path = format!("{prefix}{}", step.id);
        match &step.verb {
            Verb::Steps(inner) | Verb::Parallel(inner) if !inner.is_empty() => {
                self.sequence(inner, &format!("{path}/"), stacked)
            }
            _ => {
                let card = self.card(step, path, stacked);
                self.cards.push(card);
                (vec![self.cards.len() - 1], vec![self.cards.len() - 1])
            }
        }
    }

    fn card(&self, step: &Step, path: String, stacked: bool) -> Card {
        let (subtitle, known) = match &step.verb {
            Verb::Uses { action, .. } => (action.clone(), (self.effect_of)(action)),
            Verb::Call { procedure, .. } => (procedure.clone(), None),
            Verb::Confirm(_) => {
                return Card { title: path, subtitle: "asks a person".into(), sign: "*", class: "gate", stacked };
            }
            Verb::Steps(_) | Verb::Parallel(_) => ("nothing".into(), None),
        };
        let (sign, class) = match known.max(step.effect) {
            Some(Effect::Read) => ("<=", "read"),
            Some(Effect::Change) => ("~", "change"),
            Some(Effect::Disrupt) => ("!", "disrupt"),
            Some(Effect::Destroy) => ("-", "destroy"),
            None => ("·", "change"),
        };
        let each = step.for_each.as_ref().map(|f| format!(" × each {}", f.binding)).unwrap_or_default();
        Card { title: path, subtitle: subtitle + &each, sign, class, stacked }
    }

    fn join(&mut self, from: &[usize], to: &[usize]) {
        self.edges.extend(from.iter().flat_map(|f| to.iter().map(move |t| (*f, *t))));
    }
}

struct Layout {
    spots: Vec<Spot>,
    /// Each from one layer to the next.
    edges: Vec<(usize, usize)>,
    layers: Vec<Vec<usize>>,
    /// What the title needs of width.
    least: f64,
}

impl Layout {
    /// Layers by the longest way from the start; a longer edge gets a spot in each layer that it passes.
    fn of(cards: Vec<Card>, edges: Vec<(usize, usize)>) -> Self {
        let depth = depths(cards.len(), &edges);
        let mut spots: Vec<Spot> = cards
            .into_iter()
            .zip(&depth)
            .map(|(card, layer)| Spot { card: Some(card), layer: *layer, x: 0.0 })
            .collect();
        let mut short = Vec::new();
        for (from, to) in edges {
            let mut at = from;
            for layer in depth[from] + 1..depth[to] {
                spots.push(Spot { card: None, layer, x: 0.0 });
                short.push((at, spots.len() - 1));
                at = spots.len() - 1;
            }
            short.push((at, to));
        }
        let mut layers = vec![Vec::new(); spots.iter().map(|s| s.layer + 1).max().unwrap_or(0)];
        spots.iter().enumerate().for_each(|(i, s)| layers[s.layer].push(i));
        Self { spots, edges: short, layers, least: 0.0 }
    }

    /// Puts each spot near the middle of those that lead to it, so that few edges cross.
    fn order(&mut self) {
        let mut rank = vec![0.0; self.spots.len()];
        let mut before: Vec<Vec<usize>> = vec![Vec::new(); self.spots.len()];
        self.edges.iter().for_each(|(from, to)| before[*to].push(*from));
        for layer in &mut self.layers {
            let middle = |i: &usize| {
                let from = &before[*i];
                from.iter().map(|f| rank[*f]).sum::<f64>() / from.len().max(1) as f64
            };
            layer.sort_by(|a, b| middle(a).total_cmp(&middle(b)).then(a.cmp(b)));
            let half = (layer.len() as f64 - 1.0) / 2.0;
            layer.iter().enumerate().for_each(|(n, i)| rank[*i] = n as f64 - half);
        }
    }

    fn place(&mut self) {
        let wide = self.width();
        for layer in &self.layers {
            let mut x = PAD + (wide - self.span(layer)) / 2.0;
            for i in layer {
                let own = self.spots[*i].width();
                self.spots[*i].x = x + own / 2.0;
                x += own + GAP.0;
            }
        }
    }

    fn span(&self, layer: &[usize]) -> f64 {
        layer.iter().map(|i| self.spots[*i].width() + GAP.0).sum::<f64>() - GAP.0
    }

    fn width(&self) -> f64 {
        self.layers.iter().map(|l| self.span(l)).fold(self.least.max(CARD.0 + 2.0 * GAP.0), f64::max)
    }

    fn draw(&self, title: &str) -> String {
        let (w, h) = (self.width() + 2.0 * PAD, top(self.layers.len()) - GAP.1 + PAD);
        let title = escape(title);
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w:.0}\" height=\"{h:.0}\" viewBox=\"0 0 {w:.0} {h:.0}\" \
             role=\"img\" aria-label=\"{title}\">\n<style>{CSS}</style>\n\
             <defs><marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" orient=\"auto\">\
             <path class=\"a\" d=\"M0 0 8 4 0 8z\"/></marker></defs>\n\
             <text class=\"h\" x=\"{:.0}\" y=\"26\" text-anchor=\"middle\">{title}</text>\n",
            w / 2.0
        );
        self.edges.iter().for_each(|edge| self.edge(&mut out, *edge));
        self.spots.iter().for_each(|spot| spot.draw(&mut out));
        out + "</svg>\n"
    }

    fn edge(&self, out: &mut String, (from, to): (usize, usize)) {
        let (a, b) = (&self.spots[from], &self.spots[to]);
        // Through a spot without a card the line goes on straight, for the card's height.
        let (y1, y2) = (top(a.layer) + CARD.1, top(b.layer));
        let middle = (y1 + y2) / 2.0;
        let arrow = if b.card.is_some() { " marker-end=\"url(#arrow)\"" } else { "" };
        let through = if b.card.is_none() { format!("V{:.0}", y2 + CARD.1) } else { String::new() };
        let _ = writeln!(
            out,
            "<path class=\"e\" d=\"M{:.0} {y1:.0}C{:.0} {middle:.0} {:.0} {middle:.0} {:.0} {y2:.0}{through}\"{arrow}/>",
            a.x, a.x, b.x, b.x
        );
    }
}

fn top(layer: usize) -> f64 {
    PAD + 24.0 + layer as f64 * (CARD.1 + GAP.1)
}

impl Spot {
    fn width(&self) -> f64 {
        if self.card.is_some() { CARD.0 } else { LANE }
    }

    fn draw(&self, out: &mut String) {
        let Some(card) = &self.card else { return };
        let (x, y) = (self.x - CARD.0 / 2.0, top(self.layer));
        let unicode = Style { color: false, unicode: true };
        // The cards behind the first one, drawn first.
        for shift in if card.stacked { vec![8.0, 4.0, 0.0] } else { vec![0.0] } {
            let _ = writeln!(
                out,
                "<rect class=\"c {}\" x=\"{:.0}\" y=\"{:.0}\" width=\"{}\" height=\"{}\" rx=\"7\"/>",
                card.class,
                x + shift,
                y + shift,
                CARD.0,
                CARD.1
            );
        }
        let title = escape(&clip(&card.title, TITLE, unicode));
        let subtitle = escape(&clip(&card.subtitle, TITLE + 8, unicode));
        let sign = escape(card.sign);
        let _ = writeln!(
            out,
            "<text class=\"y\" x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"middle\">{sign}</text>\
             <text class=\"m\" x=\"{:.0}\" y=\"{:.0}\">{title}</text><text class=\"s\" x=\"{:.0}\" y=\"{:.0}\">{subtitle}</text>",
            x + 20.0,
            y + 30.0,
            x + 40.0,
            y + 21.0,
            x + 40.0,
            y + 38.0
        );
    }
}

/// The longest way to each from a start. What lies on a cycle (the loader refuses those) stays where it is.
fn depths(count: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let mut depth = vec![0; count];
    let mut waits = vec![0; count];
    let mut after: Vec<Vec<usize>> = vec![Vec::new(); count];
    for (from, to) in edges {
        waits[*to] += 1;
        after[*from].push(*to);
    }
    let mut ready: VecDeque<usize> = (0..count).filter(|i| waits[*i] == 0).collect();
    while let Some(i) = ready.pop_front() {
        for to in &after[i] {
            depth[*to] = depth[*to].max(depth[i] + 1);
            waits[*to] -= 1;
            if waits[*to] == 0 {
                ready.push_back(*to);
            }
        }
    }
    depth
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn effect(action: &str) -> Option<Effect> {
        match action {
            "proxmox.guest_migrate" => Some(Effect::Disrupt),
            "proxmox.ha_maintenance" => Some(Effect::Change),
            "site.notify" => None,
            _ => Some(Effect::Read),
        }
    }

    #[test]
    fn the_picture_of_an_evacuation() {
        insta::assert_snapshot!(graph_svg(&sample::runbook(), &effect));
    }

    #[test]
    fn a_long_edge_has_a_lane_of_its_own() {
        let layout = Layout::of(Vec::new(), Vec::new());
        assert!(layout.layers.is_empty());
        assert_eq!(depths(4, &[(0, 1), (1, 2), (0, 2), (3, 2)]), [0, 1, 2, 0]);
        assert_eq!(depths(2, &[(0, 1), (1, 0)]), [0, 0], "a cycle does not hang it");
    }
}
