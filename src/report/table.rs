//! A table that fits: a cell is never broken into lines; long ones are cut, and on a narrow terminal columns are left out.

use super::style::{Ink, Look};
use super::text::{clean, clip, fill, width};

/// A column that is cut goes no lower than this.
const LEAST: usize = 8;
const GAP: usize = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    pub title: &'static str,
    pub right: bool,
    /// May be cut.
    pub flexible: bool,
    /// Left out on a narrow terminal, the highest first; 0: never.
    pub expendable: u8,
}

impl Column {
    pub const fn new(title: &'static str) -> Self {
        Self { title, right: false, flexible: false, expendable: 0 }
    }

    pub const fn right(self) -> Self {
        Self { right: true, ..self }
    }

    pub const fn flexible(self) -> Self {
        Self { flexible: true, ..self }
    }

    pub const fn expendable(self, rank: u8) -> Self {
        Self { expendable: rank, ..self }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cell {
    text: String,
    ink: Ink,
}

impl Cell {
    pub fn new(text: impl AsRef<str>) -> Self {
        Self { text: clean(text.as_ref()), ink: Ink::Plain }
    }

    pub(super) fn ink(self, ink: Ink) -> Self {
        Self { ink, ..self }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    pub fn new(columns: &[Column]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// A row with a cell for each column.
    pub fn row(&mut self, cells: Vec<Cell>) {
        debug_assert_eq!(cells.len(), self.columns.len());
        self.rows.push(cells);
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The lines of the table, each with `indent` blanks before it. Columns without a title have none shown.
    pub fn render(&self, look: &Look, indent: usize) -> String {
        let widths = self.fit(look.width.saturating_sub(indent));
        let head: Vec<Cell> = self.columns.iter().map(|c| Cell { text: c.title.to_owned(), ink: Ink::Dim }).collect();
        let titled = self.columns.iter().any(|c| !c.title.is_empty());
        let mut out = String::new();
        for row in titled.then_some(&head).into_iter().chain(&self.rows) {
            let line = self.line(row, &widths, look);
            out.push_str(&" ".repeat(indent));
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }

    fn line(&self, row: &[Cell], widths: &[Option<usize>], look: &Look) -> String {
        let mut line = String::new();
        let shown =
            row.iter().zip(&self.columns).zip(widths).filter_map(|((cell, column), w)| Some((cell, column, (*w)?)));
        let mut blanks = 0;
        for (cell, column, to) in shown {
            let text = clip(&cell.text, to, look.style);
            let missing = to.saturating_sub(width(&text));
            // The blanks after the last cell are never written, coloured or not.
            line.push_str(&" ".repeat(blanks));
            if column.right {
                line.push_str(&fill("", missing, false));
            }
            line.push_str(&look.style.paint(cell.ink, &text));
            blanks = GAP + if column.right { 0 } else { missing };
        }
        line
    }

    /// The width of each column, `None` for one that is left out.
    fn fit(&self, room: usize) -> Vec<Option<usize>> {
        let natural = |i: usize| {
            let cells = self.rows.iter().filter_map(|r| r.get(i)).map(|c| width(&c.text));
            cells.chain([width(self.columns[i].title)]).max().unwrap_or(0)
        };
        let natural: Vec<usize> = (0..self.columns.len()).map(natural).collect();
        let mut kept: Vec<Option<usize>> = natural.iter().map(|w| Some(*w)).collect();
        loop {
            let over = total(&kept).saturating_sub(room);
            if over == 0 {
                return kept;
            }
            let slack: usize = self.flexible(&kept).map(|(_, w)| w.saturating_sub(LEAST)).sum();
            let expendable = (0..kept.len()).filter(|i| kept[*i].is_some() && self.columns[*i].expendable > 0);
            if slack < over
                && let Some(i) = expendable.max_by_key(|i| self.columns[*i].expendable)
            {
                kept[i] = None;
                continue;
            }
            self.shrink(&mut kept, over.min(slack));
            return kept;
        }
    }

    fn flexible<'a>(&'a self, kept: &'a [Option<usize>]) -> impl Iterator<Item = (usize, usize)> + 'a {
        kept.iter().enumerate().filter(|(i, _)| self.columns[*i].flexible).filter_map(|(i, w)| Some((i, (*w)?)))
    }

    /// Takes `over` columns off the flexible ones, from the widest first.
    fn shrink(&self, kept: &mut [Option<usize>], over: usize) {
        for _ in 0..over {
            let widest = self.flexible(kept).max_by_key(|(_, w)| *w);
            if let Some((i, w)) = widest {
                kept[i] = Some(w - 1);
            }
        }
    }
}

fn total(kept: &[Option<usize>]) -> usize {
    let widths = kept.iter().flatten();
    widths.clone().sum::<usize>() + GAP * widths.count().saturating_sub(1)
}
