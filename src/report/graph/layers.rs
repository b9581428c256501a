//! Boxes in rows: each below all that it needs, and no row much wider than a page. An edge that passes a row gets a
//! place in it, so that no line runs through a box.

use std::collections::{HashMap, VecDeque};

/// A row is broken into several where its boxes would need more: pixels.
pub(super) const WIDEST: f64 = 1130.0;
/// Between two boxes of a row.
pub(super) const GAP: f64 = 22.0;
/// A place that an edge passes through.
const LANE: f64 = 14.0;

/// A box, or a place that an edge passes through.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spot {
    pub width: f64,
    pub row: usize,
    /// The box that it is.
    pub of: Option<usize>,
}

/// What is placed: the boxes come first among the spots, in their own order.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Rows {
    pub spots: Vec<Spot>,
    /// The spots of each row, from left to right.
    pub rows: Vec<Vec<usize>>,
    /// Each from one row to the next, once.
    pub links: Vec<(usize, usize)>,
    /// The spots that each edge visits, both ends included.
    pub ways: Vec<Vec<usize>>,
}

impl Rows {
    pub fn of(widths: &[f64], edges: &[(usize, usize)]) -> Self {
        let (rows_of, count) = folded(widths, &depths(widths.len(), edges));
        let spots = widths.iter().zip(&rows_of).enumerate();
        let spots = spots.map(|(i, (width, row))| Spot { width: *width, row: *row, of: Some(i) }).collect();
        let mut rows = Self { spots, rows: vec![Vec::new(); count], ..Self::default() };
        rows.route(edges, widths.len());
        for (i, spot) in rows.spots.iter().enumerate() {
            rows.rows[spot.row].push(i);
        }
        rows.links.sort_unstable();
        rows.links.dedup();
        rows
    }

    /// Long edges of one source share their lanes, or those of one target where more come together there.
    fn route(&mut self, edges: &[(usize, usize)], count: usize) {
        let (mut out, mut into) = (vec![0; count], vec![0; count]);
        for (from, to) in edges {
            out[*from] += 1;
            into[*to] += 1;
        }
        let mut lanes: HashMap<(bool, usize, usize), usize> = HashMap::new();
        for (from, to) in edges {
            let fans_in = into[*to] > out[*from];
            let end = if fans_in { *to } else { *from };
            let mut way = vec![*from];
            for row in self.spots[*from].row + 1..self.spots[*to].row {
                let next = self.spots.len();
                let lane = *lanes.entry((fans_in, end, row)).or_insert(next);
                if lane == next {
                    self.spots.push(Spot { width: LANE, row, of: None });
                }
                way.push(lane);
            }
            way.push(*to);
            self.links.extend(way.windows(2).map(|pair| (pair[0], pair[1])));
            self.ways.push(way);
        }
    }

    /// What a row needs at least.
    pub fn span(&self, row: &[usize]) -> f64 {
        row.iter().map(|i| self.spots[*i].width + GAP).sum::<f64>() - GAP
    }

    /// What the widest row needs.
    pub fn width(&self) -> f64 {
        self.rows.iter().map(|row| self.span(row)).fold(0.0, f64::max)
    }
}

/// Breaks what stands at one depth into rows that fit; returns the row of each and how many there are.
fn folded(widths: &[f64], depths: &[usize]) -> (Vec<usize>, usize) {
    let mut rows = vec![0; widths.len()];
    let mut next = 0;
    for depth in 0..depths.iter().map(|d| d + 1).max().unwrap_or(0) {
        let level: Vec<usize> = (0..widths.len()).filter(|i| depths[*i] == depth).collect();
        let all: f64 = level.iter().map(|i| widths[*i] + GAP).sum();
        // As even as may be: nine are three rows of three and not four, four and one.
        let room = (all / (all / (WIDEST + GAP)).ceil().max(1.0)).max(1.0);
        let mut used = 0.0;
        for i in level {
            let own = widths[i] + GAP;
            if used > 0.0 && used + own > (room + own / 2.0).min(WIDEST + GAP) {
                (next, used) = (next + 1, 0.0);
            }
            rows[i] = next;
            used += own;
        }
        next += 1;
    }
    (rows, next)
}

/// The longest way to each from a start. What lies on a cycle (the loader refuses those) stays where it is.
fn depths(count: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let (mut depth, mut waits, mut after) = (vec![0; count], vec![0; count], vec![Vec::new(); count]);
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

    #[test]
    fn a_box_stands_below_all_that_it_needs() {
        assert_eq!(depths(4, &[(0, 1), (1, 2), (0, 2), (3, 2)]), [0, 1, 2, 0]);
        assert_eq!(depths(2, &[(0, 1), (1, 0)]), [0, 0], "a cycle does not hang it");
    }

    #[test]
    fn a_wide_row_is_broken_evenly() {
        let (rows, count) = folded(&[250.0; 9], &[0; 9]);
        assert_eq!((rows, count), (vec![0, 0, 0, 1, 1, 1, 2, 2, 2], 3));
    }

    #[test]
    fn long_edges_of_one_source_share_their_lanes() {
        let rows = Rows::of(&[10.0; 4], &[(0, 1), (1, 2), (2, 3), (0, 2), (0, 3)]);
        assert_eq!(rows.spots.iter().filter(|s| s.of.is_none()).count(), 2);
        assert_eq!(rows.ways[4].len(), 4);
        assert!(rows.links.iter().all(|(a, b)| rows.spots[*a].row + 1 == rows.spots[*b].row));
    }
}
