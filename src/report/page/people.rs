//! What people and other processes said to the run.

use super::Page;
use super::html::{Html, when};
use crate::event::{Body, Event, Fact};
use crate::report::plain;
use crate::report::view::RunView;

impl Page<'_> {
    pub(super) fn people(&self, out: &mut Html) {
        out.raw("<section aria-labelledby=\"people\">\n");
        out.element("h2", "id=\"people\"", "People");
        let said: Vec<&Event> = self.events.iter().filter(|event| by_people(event)).collect();
        if said.is_empty() {
            out.element("p", "", "Nobody was asked, and nobody said anything to the run.");
            return out.close("section");
        }
        out.raw("<div class=\"wide\"><table>\n<thead><tr>");
        for head in ["When", "Who", "What"] {
            out.element("th", "scope=\"col\"", head);
        }
        out.raw("</tr></thead>\n<tbody>\n");
        for event in said {
            out.raw("<tr>");
            out.element("td", "class=\"n\"", &when(event.at, self.offset));
            out.element("td", "", who(event));
            out.element("td", "", &what(event, self.view));
            out.raw("</tr>\n");
        }
        out.raw("</tbody></table></div>\n");
        out.close("section");
    }
}

fn by_people(event: &Event) -> bool {
    matches!(
        &event.body,
        Body::Fact(
            Fact::Approved { .. }
                | Fact::Declined { .. }
                | Fact::Decided { .. }
                | Fact::Signalled { .. }
                | Fact::DriverRestarted { .. }
        )
    )
}

fn who(event: &Event) -> &str {
    match event.fact() {
        Some(Fact::Approved { who, .. } | Fact::Declined { who, .. } | Fact::Decided { who, .. }) => who,
        _ => &event.actor,
    }
}

fn what(event: &Event, view: &RunView) -> String {
    let mut text = plain::line(event, view).unwrap_or_default();
    if let Some(Fact::Approved { word, hash, .. }) = event.fact() {
        text.push_str(&word.as_ref().map(|word| format!(", with the word {word}")).unwrap_or_default());
        text.push_str(&hash.as_ref().map(|hash| format!(", for {hash}")).unwrap_or_default());
    }
    text
}
