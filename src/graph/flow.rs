//! Readiness, computed by walking the petgraph graph as its points are settled.
//!
//! A unit is one point; a scope is two, `enter` and `leave`. `needs` edges pass on whether the source satisfied;
//! `ends` edges lead from a scope's children to its `leave` and pass on only that the child is over.

use std::collections::{BTreeSet, VecDeque};

use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;

/// A place in the graph; ordered by when it was added, which is the order of the file.
pub type Point = NodeIndex<u32>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edge {
    Needs,
    Ends,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// For so many edges and holds.
    Waits(u32),
    Ready,
    Settled,
}

/// A graph that grows while it is walked (scopes open late).
#[derive(Debug, Clone, Default)]
pub struct Flow {
    graph: DiGraph<Stage, Edge, u32>,
    ready: BTreeSet<Point>,
}

impl Flow {
    /// Adds a point that waits for `holds` releases beside its edges.
    pub fn add(&mut self, holds: u32) -> Point {
        let point = self.graph.add_node(Stage::Waits(holds));
        if holds == 0 {
            self.make_ready(point);
        }
        point
    }

    /// `after` starts only when `before` is settled and has satisfied.
    pub fn needs(&mut self, after: Point, before: Point) {
        self.link(before, after, Edge::Needs);
    }

    /// `leave` is reached only when `child` is over, however it ended.
    pub fn ends(&mut self, child: Point, leave: Point) {
        self.link(child, leave, Edge::Ends);
    }

    fn link(&mut self, from: Point, to: Point, edge: Edge) {
        debug_assert!(self.graph[from] != Stage::Settled, "edges are added before their source is settled");
        self.graph.add_edge(from, to, edge);
        match self.graph[to] {
            Stage::Waits(n) => self.graph[to] = Stage::Waits(n + 1),
            Stage::Ready => {
                self.ready.remove(&to);
                self.graph[to] = Stage::Waits(1);
            }
            Stage::Settled => debug_assert!(false, "a settled point gets no new edge"),
        }
    }

    /// Takes one hold off.
    pub fn release(&mut self, point: Point) {
        if let Stage::Waits(n) = self.graph[point] {
            if n <= 1 { self.make_ready(point) } else { self.graph[point] = Stage::Waits(n - 1) }
        }
    }

    fn make_ready(&mut self, point: Point) {
        self.graph[point] = Stage::Ready;
        self.ready.insert(point);
    }

    /// The first of the points that may go on now, taken off the ready set.
    pub fn pop_ready(&mut self) -> Option<Point> {
        self.ready.pop_first()
    }

    /// Puts a point that was popped back among the ready ones.
    pub fn put_back(&mut self, point: Point) {
        if self.graph[point] == Stage::Ready {
            self.ready.insert(point);
        }
    }

    /// What may go on now, without taking it.
    pub fn ready(&self) -> impl Iterator<Item = Point> + '_ {
        self.ready.iter().copied()
    }

    /// Takes `point` off the ready set, if it is there.
    pub fn take_ready(&mut self, point: Point) -> bool {
        self.ready.remove(&point)
    }

    pub fn is_settled(&self, point: Point) -> bool {
        self.graph[point] == Stage::Settled
    }

    /// How each point stands, as a number that means the same in every flow: for the model check.
    #[cfg(test)]
    pub fn marks(&self) -> impl Iterator<Item = u8> + '_ {
        self.graph.node_weights().map(|stage| match stage {
            Stage::Settled => u8::MAX,
            Stage::Ready => 0,
            Stage::Waits(n) => u8::try_from(*n).unwrap_or(u8::MAX - 1).max(1),
        })
    }

    /// Records that `point` is over. Returns the points that can now never run because they need it, directly or
    /// through others, in the order in which they stand; scopes among them settle with their `leave`.
    pub fn settle(&mut self, point: Point, satisfied: bool) -> Vec<Point> {
        let mut blocked = Vec::new();
        let mut work = VecDeque::from([(point, satisfied)]);
        while let Some((at, satisfied)) = work.pop_front() {
            if self.graph[at] == Stage::Settled {
                continue;
            }
            self.graph[at] = Stage::Settled;
            self.ready.remove(&at);
            for (to, edge) in self.out_edges(at) {
                match (edge, satisfied) {
                    (Edge::Needs, false) => {
                        if self.graph[to] != Stage::Settled {
                            blocked.push(to);
                            work.push_back((to, false));
                        }
                    }
                    _ => self.release(to),
                }
            }
        }
        blocked.sort();
        blocked.dedup();
        blocked
    }

    fn out_edges(&self, point: Point) -> Vec<(Point, Edge)> {
        let mut edges: Vec<_> =
            self.graph.edges_directed(point, Direction::Outgoing).map(|e| (e.target(), *e.weight())).collect();
        edges.sort_by_key(|(to, _)| *to);
        edges
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diamond_joins_after_both_arms() {
        let mut flow = Flow::default();
        let [a, b, c, d] = [0; 4].map(|_| flow.add(0));
        flow.needs(b, a);
        flow.needs(c, a);
        flow.needs(d, b);
        flow.needs(d, c);
        assert_eq!(flow.pop_ready(), Some(a));
        assert_eq!(flow.pop_ready(), None);
        flow.settle(a, true);
        assert_eq!(flow.ready().collect::<Vec<_>>(), [b, c]);
        flow.take_ready(b);
        flow.take_ready(c);
        flow.settle(b, true);
        assert_eq!(flow.pop_ready(), None);
        flow.settle(c, true);
        assert_eq!(flow.pop_ready(), Some(d));
    }

    #[test]
    fn what_needs_a_failed_point_is_blocked_with_all_that_needs_it() {
        let mut flow = Flow::default();
        let [a, b, c, other] = [0; 4].map(|_| flow.add(0));
        flow.needs(b, a);
        flow.needs(c, b);
        assert_eq!(flow.settle(a, false), [b, c]);
        assert_eq!(flow.ready().collect::<Vec<_>>(), [other]);
    }

    #[test]
    fn a_scope_is_left_when_its_children_are_over_however_they_ended() {
        let mut flow = Flow::default();
        let leave = flow.add(1);
        let [a, b] = [0; 2].map(|_| flow.add(0));
        flow.ends(a, leave);
        flow.ends(b, leave);
        flow.needs(b, a);
        flow.release(leave);
        assert_eq!(flow.settle(a, false), [b]);
        assert_eq!(flow.pop_ready(), Some(leave));
    }
}
