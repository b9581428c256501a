//! Links inside of the repository.

use std::collections::BTreeSet;
use std::path::Path;

use regex::Regex;

use super::{Page, none_of};

/// The anchors that a page has, as GitHub makes them of its headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut fenced = false;
    let mut out = BTreeSet::new();
    for line in text.lines() {
        fenced ^= line.trim_start().starts_with("```");
        let title = line.trim_start_matches('#');
        if !fenced && title.len() < line.len() && title.starts_with(' ') {
            let kept = title.trim().to_lowercase();
            let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            out.insert(kept.map(|c| if c == ' ' { '-' } else { c }).collect());
        }
    }
    out
}

#[test]
fn links_lead_somewhere() {
    let link = Regex::new(r##"(?:\]\(|src="|href=")([^)\s"#]*)(#[^)\s"]*)?[)"]"##).unwrap();
    let mut problems = Vec::new();
    for page in Page::all() {
        for found in link.captures_iter(&page.text) {
            let (to, anchor) = (&found[1], found.get(2).map_or("", |m| &m.as_str()[1..]));
            if to.contains("://") || to.starts_with("mailto:") {
                continue;
            }
            let path = page.path.parent().unwrap_or(Path::new(".")).join(to);
            let path = if to.is_empty() { page.path.clone() } else { path };
            if !path.exists() {
                problems.push(format!("{}: there is no {to}", page.name()));
            } else if !anchor.is_empty() && path.extension().is_some_and(|e| e == "md") {
                let text = std::fs::read_to_string(&path).unwrap();
                if !anchors(&text).contains(anchor) {
                    problems.push(format!("{}: {to} has no heading #{anchor}", page.name()));
                }
            }
        }
    }
    none_of(&problems);
}
