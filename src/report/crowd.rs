//! Long lists: what goes well of one with many items is told by the tenth, not one by one. What fails, is in doubt or asks
//! is always told by itself, and the journal has it all.

use std::collections::HashMap;

use super::view::RunView;
use crate::event::{Body, Event, Fact, Note, Outcome};
use crate::model::ids::StepPath;

/// From so many items on nobody reads a line for each.
const MANY: usize = 40;

/// How an event is told.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    ByItself,
    /// It is part of what is told by the tenth.
    Not,
    Instead(String),
}

#[derive(Debug, Default)]
pub(super) struct Crowds(HashMap<String, Crowd>);

#[derive(Debug, Default)]
struct Crowd {
    items: usize,
    over: usize,
    failed: usize,
    /// Tenths that were told.
    told: usize,
}

/// `wave[2]/start` of `wave[2]/start[104]`: the list whose item is this very step.
fn list_of(path: &StepPath) -> Option<&str> {
    let text = path.as_str().strip_suffix(']')?;
    text.rfind('[').map(|at| &text[..at])
}

fn is_well(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Ok | Outcome::Unchanged | Outcome::Skipped(_))
}

impl Crowd {
    /// Of a list that others have seen begin.
    fn of(list: &str, but: &StepPath, view: &RunView) -> Self {
        let mut crowd = Self::default();
        for step in view.steps().filter(|step| list_of(&step.path) == Some(list)) {
            crowd.items += 1;
            let over = step.outcome.is_final() && step.path != *but;
            crowd.over += usize::from(over);
            crowd.failed += usize::from(over && !is_well(&step.outcome));
        }
        crowd.told = crowd.tenths();
        crowd
    }

    fn tenths(&self) -> usize {
        self.over * 10 / self.items.max(1)
    }
}

impl Crowds {
    /// How to tell an event that `view` has seen.
    pub fn tell(&mut self, event: &Event, view: &RunView) -> Told {
        match &event.body {
            Body::Fact(Fact::Expanded { path, items, .. }) => {
                self.0.insert(path.as_str().to_owned(), Crowd { items: items.len(), ..Crowd::default() });
                Told::ByItself
            }
            Body::Fact(Fact::Started { path, .. }) if view.step(path).is_some_and(|step| step.attempts > 1) => {
                Told::ByItself
            }
            Body::Fact(Fact::Started { path, .. }) | Body::Note(Note::Progress { path, .. }) => {
                match self.crowd(path, view) {
                    Some(_) => Told::Not,
                    None => Told::ByItself,
                }
            }
            Body::Fact(Fact::Finished { path, .. } | Fact::Evaluated { path, .. }) => self.over(path, view),
            _ => Told::ByItself,
        }
    }

    fn over(&mut self, path: &StepPath, view: &RunView) -> Told {
        let Some(outcome) = view.step(path).filter(|step| step.outcome.is_final()).map(|step| step.outcome.clone())
        else {
            return Told::ByItself;
        };
        let Some(crowd) = self.crowd(path, view) else { return Told::ByItself };
        crowd.over += 1;
        if !is_well(&outcome) {
            crowd.failed += 1;
            return Told::ByItself;
        }
        if crowd.tenths() <= crowd.told {
            return Told::Not;
        }
        crowd.told = crowd.tenths();
        let failed = if crowd.failed > 0 { format!(", {} of them not well", crowd.failed) } else { String::new() };
        let list = list_of(path).unwrap_or_default();
        Told::Instead(format!("{list}: {} of {} over{failed}", crowd.over, crowd.items))
    }

    /// The list of a step, if it is a long one.
    fn crowd(&mut self, path: &StepPath, view: &RunView) -> Option<&mut Crowd> {
        let list = list_of(path)?;
        let crowd = self.0.entry(list.to_owned()).or_insert_with(|| Crowd::of(list, path, view));
        Some(crowd).filter(|crowd| crowd.items > MANY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    use crate::event::{Ending, Item};
    use crate::model::failure::{Class, Failure};
    use crate::report::sample;

    fn event(fact: Fact) -> Event {
        Event { seq: 1, at: sample::START, actor: "engine".into(), body: Body::Fact(fact) }
    }

    fn ended(item: usize, ending: Ending) -> Event {
        event(Fact::Finished { path: format!("tag[{item}]").into(), attempt: 1, ending })
    }

    /// What is told of a list of so many of which the fifth fails; each item's own line as `itself`.
    fn told(items: usize) -> Vec<String> {
        let (mut view, mut crowds, mut all) = (RunView::default(), Crowds::default(), Vec::new());
        let mut see = |event: Event| {
            view.see(&event);
            match crowds.tell(&event, &view) {
                Told::ByItself => all.push("itself".to_owned()),
                Told::Not => {}
                Told::Instead(text) => all.push(text),
            }
        };
        let item = |n: usize| Item { key: n.to_string(), value: Value::Null, lane: None };
        let list = (1..=items).map(item).collect();
        see(event(Fact::Expanded {
            path: "tag".into(),
            items: list,
            width: 8,
            lane_width: 1,
            borne: 0,
            waves: vec![],
            hash: None,
        }));
        for n in 1..=items {
            let failure = Failure::new(Class::Failed, "tag it", "no");
            see(ended(n, if n == 5 { Ending::Failed { failure } } else { Ending::Ok { outputs: Value::Null } }));
        }
        all
    }

    #[test]
    fn a_short_list_is_told_item_by_item_and_a_long_one_by_the_tenth() {
        assert!(told(40).iter().all(|line| line == "itself"));
        let long = told(200);
        assert_eq!(long[..2], ["itself", "itself"], "the list, and the item that failed");
        assert_eq!(long[2], "tag: 20 of 200 over, 1 of them not well");
        assert_eq!((long.len(), long[11].as_str()), (12, "tag: 200 of 200 over, 1 of them not well"));
    }

    #[test]
    fn who_comes_later_counts_what_was_over() {
        let mut view = RunView::default();
        (1..=59).for_each(|n| view.see(&ended(n, Ending::Ok { outputs: Value::Null })));
        view.see(&ended(60, Ending::Failed { failure: Failure::new(Class::Failed, "tag it", "no") }));
        let (mut crowds, last) = (Crowds::default(), ended(61, Ending::Ok { outputs: Value::Null }));
        view.see(&last);
        assert_eq!(crowds.tell(&last, &view), Told::Instead("tag: 61 of 61 over, 1 of them not well".into()));
    }

    #[test]
    fn the_list_of_a_step_is_what_stands_before_its_key() {
        assert_eq!(list_of(&"wave[2]/start[104]".into()), Some("wave[2]/start"));
        assert_eq!(list_of(&"wave[2]/start".into()), None);
    }
}
