//! What happened at each step: its attempts, what people were asked, its log. The view keeps only the last of it.

use std::collections::HashMap;

use crate::event::{Body, Ending, Event, Fact, Note, Verdict};

/// Lines of a step's log on the page; the journal has them all.
const LINES: usize = 400;

/// An attempt, or a wait for a person.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Span<'a> {
    pub attempt: usize,
    /// Milliseconds since 1970.
    pub from: u64,
    /// `None`: it is not over.
    pub to: Option<u64>,
    pub ending: Option<&'a Ending>,
    /// For a person.
    pub waits: bool,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Story<'a> {
    pub spans: Vec<Span<'a>>,
    /// When, and what.
    pub log: Vec<(u64, &'a str)>,
    /// Lines that are left out before those.
    pub left_out: usize,
}

/// The stories by path, in the order in which they began.
#[derive(Debug, Default)]
pub(super) struct History<'a> {
    stories: HashMap<&'a str, Story<'a>>,
    pub order: Vec<&'a str>,
}

impl<'a> History<'a> {
    pub fn of(events: &'a [Event]) -> Self {
        let mut history = Self::default();
        events.iter().for_each(|event| history.see(event));
        history
    }

    pub fn story(&self, path: &str) -> Option<&Story<'a>> {
        self.stories.get(path)
    }

    fn at(&mut self, path: &'a str) -> &mut Story<'a> {
        self.stories.entry(path).or_insert_with(|| {
            self.order.push(path);
            Story::default()
        })
    }

    fn see(&mut self, event: &'a Event) {
        let at = event.at;
        match &event.body {
            Body::Note(Note::Log { path, line }) => self.at(path.as_str()).say(at, line),
            Body::Fact(Fact::Started { path, .. }) => self.at(path.as_str()).begin(at, false),
            Body::Fact(Fact::Evaluated { path, verdict: Verdict::Run { question: Some(_), .. } }) => {
                self.at(path.as_str()).begin(at, true);
            }
            Body::Fact(Fact::Finished { path, ending, .. }) => self.at(path.as_str()).end(at, Some(ending)),
            Body::Fact(Fact::Approved { path, .. } | Fact::Declined { path, .. } | Fact::Decided { path, .. }) => {
                self.at(path.as_str()).end(at, None);
            }
            _ => {}
        }
    }
}

impl<'a> Story<'a> {
    fn begin(&mut self, from: u64, waits: bool) {
        // The events' own numbers count recoveries too.
        let attempt = 1 + self.spans.iter().filter(|span| !span.waits).count();
        self.spans.push(Span { attempt, from, to: None, ending: None, waits });
    }

    fn end(&mut self, to: u64, ending: Option<&'a Ending>) {
        if let Some(span) = self.spans.last_mut() {
            span.to = Some(to);
            span.ending = ending.or(span.ending);
        }
    }

    fn say(&mut self, at: u64, line: &'a str) {
        if self.log.len() == LINES {
            self.log.remove(0);
            self.left_out += 1;
        }
        self.log.push((at, line));
    }
}
