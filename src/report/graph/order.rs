//! The order within the rows, so that few edges cross (barycentres, down and up), and where each spot then stands.

use super::layers::{GAP, Rows};

const SWEEPS: usize = 12;
/// A place that an edge passes through holds its line straight.
const LANE_WEIGHT: f64 = 4.0;

/// What leads to each spot, and what leads away from it.
struct Sides {
    above: Vec<Vec<usize>>,
    below: Vec<Vec<usize>>,
}

impl Sides {
    fn of(rows: &Rows) -> Self {
        let none = vec![Vec::new(); rows.spots.len()];
        let mut sides = Self { above: none.clone(), below: none };
        for (from, to) in &rows.links {
            sides.above[*to].push(*from);
            sides.below[*from].push(*to);
        }
        sides
    }
}

/// Orders each row; the best order of all sweeps is kept.
pub(super) fn order(rows: &mut Rows) {
    let sides = Sides::of(rows);
    let mut best = (crossings(rows), rows.rows.clone());
    for sweep in 0..SWEEPS {
        let down = sweep % 2 == 0;
        let mut places = places(rows);
        for n in 0..rows.rows.len() {
            let n = if down { n } else { rows.rows.len() - 1 - n };
            let beside = if down { &sides.above } else { &sides.below };
            let middle = |i: usize, own: f64| mean(beside[i].iter().map(|j| places[*j])).unwrap_or(own);
            let mut row: Vec<(f64, usize)> = rows.rows[n].iter().map(|i| (middle(*i, places[*i]), *i)).collect();
            row.sort_by(|a, b| a.0.total_cmp(&b.0));
            rows.rows[n] = row.into_iter().map(|(_, i)| i).collect();
            set_places(&mut places, &rows.rows[n]);
        }
        let crossings = crossings(rows);
        if crossings < best.0 {
            best = (crossings, rows.rows.clone());
        }
        if best.0 == 0 {
            break;
        }
    }
    rows.rows = best.1;
}

/// Where each stands in its row, from 0 to 1.
fn places(rows: &Rows) -> Vec<f64> {
    let mut places = vec![0.0; rows.spots.len()];
    rows.rows.iter().for_each(|row| set_places(&mut places, row));
    places
}

fn set_places(places: &mut [f64], row: &[usize]) {
    let count = row.len() as f64;
    row.iter().enumerate().for_each(|(n, i)| places[*i] = (n as f64 + 0.5) / count);
}

fn mean(of: impl Iterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0.0);
    for one in of {
        (sum, count) = (sum + one, count + 1.0);
    }
    (count > 0.0).then(|| sum / count)
}

/// How many pairs of links cross.
fn crossings(rows: &Rows) -> usize {
    let mut places = vec![0; rows.spots.len()];
    rows.rows.iter().for_each(|row| row.iter().enumerate().for_each(|(n, i)| places[*i] = n));
    let mut by_row: Vec<Vec<(usize, usize)>> = vec![Vec::new(); rows.rows.len()];
    for (from, to) in &rows.links {
        by_row[rows.spots[*from].row].push((places[*from], places[*to]));
    }
    by_row.iter_mut().map(|links| inversions(links)).sum()
}

/// Pairs whose lower ends stand the other way round than their upper ends, counted with a Fenwick tree.
fn inversions(links: &mut [(usize, usize)]) -> usize {
    links.sort_unstable();
    let widest = links.iter().map(|(_, to)| to + 1).max().unwrap_or(0);
    let (mut tree, mut crossed) = (vec![0usize; widest + 1], 0);
    for (seen, (_, to)) in links.iter().enumerate() {
        let (mut at, mut not_right) = (to + 1, 0);
        while at > 0 {
            not_right += tree[at];
            at &= at - 1;
        }
        crossed += seen - not_right;
        let mut at = to + 1;
        while at <= widest {
            tree[at] += 1;
            at += at & at.wrapping_neg();
        }
    }
    crossed
}

/// The middle of each spot: as near as may be below and above what it is linked with, in its order and without overlap,
/// within `width`.
pub(super) fn middles(rows: &Rows, width: f64) -> Vec<f64> {
    let sides = Sides::of(rows);
    let mut x = vec![width / 2.0; rows.spots.len()];
    for row in &rows.rows {
        settle(rows, row, &mut x, width, &|_| None);
    }
    for sweep in 0..SWEEPS {
        let last = sweep + 1 == SWEEPS;
        for n in 0..rows.rows.len() {
            let n = if sweep % 2 == 0 { n } else { rows.rows.len() - 1 - n };
            let now = x.clone();
            let wish = |i: usize| {
                let (above, below) = (&sides.above[i], &sides.below[i]);
                let both = last || above.is_empty() || below.is_empty();
                let beside: Vec<usize> = match sweep % 2 {
                    _ if both => above.iter().chain(below).copied().collect(),
                    0 => above.clone(),
                    _ => below.clone(),
                };
                mean(beside.into_iter().map(|j| now[j]))
            };
            settle(rows, &rows.rows[n], &mut x, width, &wish);
        }
    }
    x
}

/// The positions nearest to the wishes that keep the order and the gaps: least squares, by pooling neighbours that
/// would overlap.
fn settle(rows: &Rows, row: &[usize], x: &mut [f64], width: f64, wish: &dyn Fn(usize) -> Option<f64>) {
    let mut offset = 0.0;
    let mut offsets = Vec::with_capacity(row.len());
    // Of each pool: its place, its weight, how many it holds.
    let mut pools: Vec<(f64, f64, usize)> = Vec::new();
    for (n, i) in row.iter().enumerate() {
        let spot = &rows.spots[*i];
        offset += if n == 0 { 0.0 } else { (rows.spots[row[n - 1]].width + spot.width) / 2.0 + GAP };
        offsets.push(offset);
        let weight = if spot.of.is_some() { 1.0 } else { LANE_WEIGHT };
        let mut pool = (wish(*i).unwrap_or(x[*i]) - offset, weight, 1);
        while let Some(last) = pools.pop_if(|last| last.0 > pool.0) {
            let weight = last.1 + pool.1;
            pool = ((last.0 * last.1 + pool.0 * pool.1) / weight, weight, last.2 + pool.2);
        }
        pools.push(pool);
    }
    let least = row.first().map_or(0.0, |i| rows.spots[*i].width / 2.0);
    let most = width - offset - row.last().map_or(0.0, |i| rows.spots[*i].width / 2.0);
    let places = pools.iter().flat_map(|(at, _, count)| std::iter::repeat_n(*at, *count));
    for ((i, offset), at) in row.iter().zip(offsets).zip(places) {
        x[*i] = at.clamp(least, most.max(least)) + offset;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crossings_are_counted_and_undone() {
        // Two to two, the wrong way round.
        let mut rows = Rows::of(&[10.0; 4], &[(0, 3), (1, 2)]);
        assert_eq!(crossings(&rows), 1);
        order(&mut rows);
        assert_eq!(crossings(&rows), 0);
        assert_eq!(inversions(&mut [(0, 2), (1, 1), (2, 0), (2, 2)]), 3);
    }

    #[test]
    fn a_chain_is_straight_and_nothing_overlaps() {
        let mut rows = Rows::of(&[100.0; 6], &[(0, 1), (1, 2), (3, 2), (3, 4), (4, 5)]);
        order(&mut rows);
        let x = middles(&rows, rows.width());
        for row in &rows.rows {
            for pair in row.windows(2) {
                let apart = (rows.spots[pair[0]].width + rows.spots[pair[1]].width) / 2.0 + GAP;
                assert!(x[pair[1]] - x[pair[0]] >= apart - 0.01, "{row:?} {x:?}");
            }
        }
        let chain = Rows::of(&[100.0; 3], &[(0, 1), (1, 2)]);
        assert_eq!(middles(&chain, 300.0), [150.0; 3]);
    }
}
