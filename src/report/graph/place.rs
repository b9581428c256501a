//! Where everything stands: scopes are laid out from the inside out, so that a scope is a box like any other to those
//! beside it.

use super::Node;
use super::layers::Rows;
use super::order::{middles, order};
use crate::report::text::width;

pub(super) const CARD: f64 = 262.0;
/// Of a title and of any other line: pixels.
pub(super) const TITLE: f64 = 20.0;
pub(super) const LINE: f64 = 15.0;
const CARD_PAD: f64 = 18.0;
/// Between the rows, for the edges.
const BETWEEN: f64 = 38.0;
const SCOPE_PAD: f64 = 16.0;
/// Lines of notes that a card shows; all are in its tooltip.
pub(super) const NOTES: usize = 2;
/// A sign of a scope's heading at most: fonts differ.
const SIGN: f64 = 7.6;

pub(super) type Point = (f64, f64);

/// A node with its place: `at` is its upper left corner.
pub(super) struct Placed<'a> {
    pub node: &'a Node,
    pub at: Point,
    pub size: Point,
    pub inner: Vec<Placed<'a>>,
    /// Of the scope's inner edges.
    pub edges: Vec<Route>,
}

/// An edge: from the lower side of a box to the upper side of another.
pub(super) struct Route {
    pub from: usize,
    pub to: usize,
    /// Where it stands upright: the x, and the y from and to.
    pub uprights: Vec<(f64, f64, f64)>,
    pub dashed: bool,
}

/// Lays siblings out below `top` and right of `left`; returns the room that they take.
pub(super) fn siblings(nodes: &[Node], (left, top): Point, least: f64) -> (Vec<Placed<'_>>, Vec<Route>, Point) {
    let mut placed: Vec<Placed<'_>> = nodes.iter().map(one).collect();
    let edges: Vec<(usize, usize)> =
        nodes.iter().enumerate().flat_map(|(to, node)| node.needs.iter().map(move |from| (*from, to))).collect();
    let widths: Vec<f64> = placed.iter().map(|p| p.size.0).collect();
    let mut rows = Rows::of(&widths, &edges);
    order(&mut rows);
    let wide = rows.width().max(least);
    let x = middles(&rows, wide);
    let mut tops = Vec::new();
    let mut y = top;
    for row in &rows.rows {
        let boxes = row.iter().filter_map(|i| rows.spots[*i].of);
        let high = boxes.map(|i| placed[i].size.1).fold(0.0, f64::max);
        tops.push((y, y + high));
        y += high + BETWEEN;
    }
    for (i, box_) in placed.iter_mut().enumerate() {
        box_.shift((left + x[i] - box_.size.0 / 2.0, tops[rows.spots[i].row].0));
    }
    let routes = edges.iter().zip(&rows.ways).map(|((from, to), way)| {
        let upright = |spot: &usize| {
            let (above, below) = tops[rows.spots[*spot].row];
            let above = if spot == from { above + placed[*from].size.1 } else { above };
            (left + x[*spot], above, if spot == to { above } else { below })
        };
        let uprights = way.iter().map(upright).collect();
        Route { from: *from, to: *to, uprights, dashed: nodes[*to].finally }
    });
    let routes = routes.collect();
    (placed, routes, (wide, (y - BETWEEN).max(top) - top))
}

fn one(node: &Node) -> Placed<'_> {
    let Some(nodes) = &node.inner else {
        let notes = node.notes.len().min(NOTES) as f64;
        let size = (CARD, TITLE + LINE + notes * LINE + CARD_PAD);
        return Placed { node, at: (0.0, 0.0), size, inner: Vec::new(), edges: Vec::new() };
    };
    let head = SCOPE_PAD + TITLE + node.notes.len().min(NOTES) as f64 * LINE;
    let heading = heading(node);
    let least = (width(&heading) as f64 * SIGN).min(CARD * 2.0);
    let (inner, edges, room) = siblings(nodes, (SCOPE_PAD, head), least);
    let size = (room.0 + 2.0 * SCOPE_PAD, head + room.1 + SCOPE_PAD);
    Placed { node, at: (0.0, 0.0), size, inner, edges }
}

/// The first line of a scope.
pub(super) fn heading(node: &Node) -> String {
    format!("{} · {}", node.name, node.what)
}

impl Placed<'_> {
    fn shift(&mut self, by: Point) {
        self.at = (self.at.0 + by.0, self.at.1 + by.1);
        self.inner.iter_mut().for_each(|placed| placed.shift(by));
        for (x, from, to) in self.edges.iter_mut().flat_map(|edge| &mut edge.uprights) {
            (*x, *from, *to) = (*x + by.0, *from + by.1, *to + by.1);
        }
    }
}
