//! The page of the sample's runs: balanced, closed to the outside, and with everything in it.

use super::*;
use crate::event::{Body, Note};
use crate::report::sample;

fn facts(state: &str) -> RunFacts {
    RunFacts {
        short: "3f2a".into(),
        site: "home".into(),
        cluster: None,
        state: state.into(),
        actor: "ops@host".into(),
        host: "host".into(),
        created: sample::START,
        plan_hash: "ab".repeat(32),
        chain: Ok(("cd".repeat(32), 19)),
    }
}

fn of(events: &[Event]) -> String {
    let state = RunView::of(events).status.as_str();
    page(events, &facts(state), 0)
}

/// Every tag is closed in its turn; returns how many elements there are.
#[track_caller]
pub fn balanced(html: &str) -> usize {
    const VOID: [&str; 4] = ["meta", "br", "!doctype", "link"];
    let (mut open, mut count): (Vec<&str>, usize) = (Vec::new(), 0);
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        let end = at + rest[at..].find('>').expect("a tag ends");
        let tag = &rest[at + 1..end];
        rest = &rest[end + 1..];
        let name = tag.trim_start_matches('/').split([' ', '\n', '/']).next().unwrap();
        assert!(name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '!'), "<{tag}>");
        assert!(tag.matches('"').count().is_multiple_of(2), "<{tag}>");
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "</{name}>");
        } else if !VOID.contains(&name) && !tag.ends_with('/') {
            open.push(name);
            count += 1;
        }
        // Style is no markup.
        if name == "style" && !tag.starts_with('/') {
            rest = &rest[rest.find("</style>").unwrap()..];
        }
    }
    assert!(open.is_empty(), "{open:?}");
    count
}

#[test]
fn every_page_is_balanced_and_needs_nothing_from_elsewhere() {
    let runs = [
        sample::good_run(),
        sample::failed_run(),
        sample::rolled_back_run(),
        sample::badly_rolled_back_run(),
        sample::doubtful_run(),
        sample::waiting_run(),
        sample::locked_run(),
        sample::failed_run()[..sample::DURING].to_vec(),
        Vec::new(),
    ];
    for run in runs {
        let html = of(&run);
        assert!(balanced(&html) > 30);
        for outside in ["http://", "https://", "<script", "src=", "@import", "url("] {
            assert!(!html.contains(outside), "{outside}");
        }
        assert!(html.contains("<html lang=\"en\">") && html.contains("<main>") && html.contains("<header>"));
    }
}

#[test]
fn strangers_names_stay_text() {
    let mut events = sample::failed_run();
    let line = "</pre><script>alert('x')</script><img src=x onerror=y> & \"q\"";
    for path in ["move[107]", "move[<script>]"] {
        let body = Body::Note(Note::Log { path: path.into(), line: line.into() });
        events.push(Event { body, ..events[3].clone() });
    }
    let html = of(&events);
    balanced(&html);
    assert!(!html.contains("<script") && !html.contains("<img"), "{html}");
    assert!(html.contains("move[&lt;script&gt;]") && html.contains("&lt;/pre&gt;&lt;script&gt;alert('x')"));
}

#[test]
fn a_failed_run_says_what_why_and_what_to_do() {
    let html = of(&sample::failed_run());
    for part in [
        "✗ failed",
        "storage 'fast' is not available on node 'pve1'",
        "add pve1 to the nodes of storage",
        "migration active, transferred 6.2 GiB",
        "<details open>",
        "✓ verified: 19 events",
        "~ change",
        "! disrupt",
        "approved by ops@host, with the word pve2",
        "8s waiting",
        "Still changed",
    ] {
        assert!(html.contains(part), "{part}\n{html}");
    }
    let tampered = RunFacts { chain: Err("event 7 is not what was written".into()), ..facts("failed") };
    assert!(page(&sample::failed_run(), &tampered, 0).contains("✗ not verified: event 7"));
}

#[test]
fn a_rolled_back_run_shows_its_undo() {
    let html = of(&sample::rolled_back_run());
    for part in ["↶ rolled back", "↶ move[104]", "To be done by hand", "take pve2 out of maintenance", "move[104]/undo"]
    {
        assert!(html.contains(part), "{part}");
    }
}
