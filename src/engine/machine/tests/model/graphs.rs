//! Shapes of graphs: all of so many steps and scopes, each once.

use std::collections::BTreeSet;

/// A step, or a scope with its own list of steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    Leaf,
    Scope(List),
}

/// Steps with what each needs of those before it, a bit each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    pub items: Vec<Shape>,
    pub needs: Vec<u8>,
}

impl List {
    /// The same for two lists exactly when they are the same but for the order in which steps are written.
    fn canon(&self) -> String {
        let n = self.items.len();
        let inner: Vec<String> = self.items.iter().map(Shape::canon).collect();
        let closed = closure(&self.needs);
        let spelled = |order: &[usize]| {
            let rows = order.iter().map(|at| {
                let needs: String = order.iter().map(|b| if closed[*at] & 1 << b != 0 { '1' } else { '0' }).collect();
                format!("{}{needs}", inner[*at])
            });
            rows.collect::<Vec<_>>().join(",")
        };
        orders(n).iter().map(|order| spelled(order)).min().unwrap_or_default()
    }
}

impl List {
    /// For each item the first of those that are the same, need the same and are needed by the same: steps alone.
    pub fn twins(&self) -> Vec<usize> {
        let closed = closure(&self.needs);
        let by = |at: usize| (0..closed.len()).filter(|b| closed[*b] & 1 << at != 0).fold(0u8, |all, b| all | 1 << b);
        let alike = |a: usize, b: usize| {
            let leaves = self.items[a] == Shape::Leaf && self.items[b] == Shape::Leaf;
            leaves && closed[a] == closed[b] && by(a) == by(b)
        };
        (0..self.items.len()).map(|at| (0..at).find(|before| alike(*before, at)).unwrap_or(at)).collect()
    }

    /// Roughly in how many ways it can be under way, or not begun, or over; `scope` makes of what is in a scope what
    /// the scope comes to, an inner one before the one round it.
    pub fn ways(&self, scope: &mut dyn FnMut(usize) -> usize) -> usize {
        let inside = |item: &Shape, scope: &mut dyn FnMut(usize) -> usize| match item {
            // Evaluated, asked for, sent.
            Shape::Leaf => 3,
            Shape::Scope(list) => {
                let inside = list.ways(scope);
                scope(inside)
            }
        };
        let ways: Vec<usize> = self.items.iter().map(|item| inside(item, scope)).collect();
        let closed = closure(&self.needs);
        // Each step is over (2), under way (1) or not begun (0), and begun only when all that it needs is over.
        let place = |code: usize, at: usize| code / 3usize.pow(at as u32) % 3;
        let n = ways.len();
        let fits = |code: &usize| {
            (0..n).all(|at| place(*code, at) == 0 || (0..n).all(|b| closed[at] & 1 << b == 0 || place(*code, b) == 2))
        };
        let product = |code| (0..n).filter(|at| place(code, *at) == 1).map(|at| ways[at]).product::<usize>();
        (0..3usize.pow(n as u32)).filter(fits).map(product).sum()
    }
}

impl Shape {
    fn canon(&self) -> String {
        match self {
            Self::Leaf => "s".into(),
            Self::Scope(list) => format!("({})", list.canon()),
        }
    }
}

/// All lists of exactly so many steps in exactly so many scopes; each scope holds at least one step.
pub fn lists(steps: usize, scopes: usize) -> Vec<List> {
    let mut seen = BTreeSet::new();
    let mut out = Vec::new();
    for items in rows(steps, scopes) {
        for needs in relations(items.len()) {
            let list = List { items: items.clone(), needs };
            if seen.insert(list.canon()) {
                out.push(list);
            }
        }
    }
    out
}

fn rows(steps: usize, scopes: usize) -> Vec<Vec<Shape>> {
    let mut out = if steps == 0 && scopes == 0 { vec![vec![]] } else { vec![] };
    let mut firsts: Vec<(Shape, usize, usize)> = Vec::new();
    if steps > 0 {
        firsts.push((Shape::Leaf, 1, 0));
    }
    for inner_scopes in 0..scopes {
        for inner_steps in 1..=steps {
            let inside = lists(inner_steps, inner_scopes);
            firsts.extend(inside.into_iter().map(|list| (Shape::Scope(list), inner_steps, inner_scopes + 1)));
        }
    }
    for (first, taken_steps, taken_scopes) in firsts {
        for mut rest in rows(steps - taken_steps, scopes - taken_scopes) {
            rest.insert(0, first.clone());
            out.push(rest);
        }
    }
    out
}

/// All needs of so many steps, without those that follow from others.
fn relations(n: usize) -> Vec<Vec<u8>> {
    let mut out = vec![vec![]];
    for i in 0..n {
        out = out
            .into_iter()
            .flat_map(|needs: Vec<u8>| (0..1u8 << i).map(move |mask| needs.iter().copied().chain([mask]).collect()))
            .collect();
    }
    let reduced = |needs: &Vec<u8>| {
        let closed = closure(needs);
        let follows = |mask: u8| (0..n).filter(|b| mask & 1 << b != 0).fold(0, |all, b| all | closed[b]);
        needs.iter().all(|mask| mask & follows(*mask) == 0)
    };
    out.retain(reduced);
    out
}

/// What each step needs, directly or through others.
fn closure(needs: &[u8]) -> Vec<u8> {
    let mut closed: Vec<u8> = Vec::new();
    for mask in needs {
        let through = (0..closed.len()).filter(|b| mask & 1 << b != 0).fold(0, |all, b| all | closed[b]);
        closed.push(mask | through);
    }
    closed
}

fn orders(n: usize) -> Vec<Vec<usize>> {
    let mut out: Vec<Vec<usize>> = vec![vec![]];
    for next in 0..n {
        let place = |order: &Vec<usize>| {
            let order = order.clone();
            (0..=order.len()).map(move |at| {
                let mut order = order.clone();
                order.insert(at, next);
                order
            })
        };
        out = out.iter().flat_map(place).collect();
    }
    out
}

#[test]
fn there_are_as_many_orders_as_mathematics_says() {
    assert_eq!((1..=4).map(|n| lists(n, 0).len()).collect::<Vec<_>>(), [1, 2, 5, 16]);
}
