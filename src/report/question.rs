//! What a person is asked, as it stands in a plan and before the prompt.

use serde_json::Value;

use super::figures::count;
use super::style::{Ink, Look};
use super::table::{Cell, Column, Table};
use super::text::{clean, hang, width};
use crate::event::{Decision, Question};

/// Things shown of a list.
const ITEMS: usize = 20;

/// The question, what it is about and how to answer it, for the one who puts the prompt below it.
pub fn question(question: &Question, look: &Look) -> String {
    let mut out = lines(&question.message, &question.show, question.word.as_deref(), look, 0);
    if !question.options.is_empty() {
        out.truncate(out.trim_end().rfind('\n').map_or(0, |end| end + 1));
        question
            .options
            .iter()
            .for_each(|option| out.push_str(&format!("  {:<9} {}\n", option.as_str(), meaning(*option))));
        out.push_str("answer: one of these\n");
    }
    out
}

fn meaning(decision: Decision) -> &'static str {
    match decision {
        Decision::Retry => "another attempt",
        Decision::Skip => "go on without it",
        Decision::Done => "it was done by hand: it counts as done",
        Decision::RollBack => "undo what its scope has done",
        Decision::Stop => "start nothing more",
    }
}

pub(super) fn lines(message: &str, show: &Value, word: Option<&str>, look: &Look, indent: usize) -> String {
    let blanks = " ".repeat(indent);
    let mut out = hang(&format!("{blanks}asks: "), message, look.width);
    let items = match show {
        Value::Null => &[],
        Value::Array(items) => items.as_slice(),
        one => std::slice::from_ref(one),
    };
    match table(items, look, indent + 2) {
        Some(rows) => out.push_str(&rows),
        None => items.iter().take(ITEMS).for_each(|item| {
            out.push_str(&hang(&format!("{blanks}  - "), &said(item), look.width));
        }),
    }
    if items.len() > ITEMS {
        out.push_str(&format!("{blanks}  - and {}\n", count(items.len() - ITEMS, "more", "more")));
    }
    match word {
        Some(word) => out.push_str(&hang(&format!("{blanks}answer: "), &format!("type {word}"), look.width)),
        None => out.push_str(&format!("{blanks}answer: yes or no\n")),
    }
    out
}

/// Maps with the same keys read best below one another. `None`: they are no such list, or something would be cut, and
/// what is not said before a yes is a surprise after it.
fn table(items: &[Value], look: &Look, indent: usize) -> Option<String> {
    let maps: Vec<_> = items.iter().map(Value::as_object).collect::<Option<_>>()?;
    let mut keys: Vec<&str> = Vec::new();
    for (key, _) in maps.iter().flat_map(|map| map.iter()).filter(|(_, value)| !value.is_null()) {
        if !keys.contains(&key.as_str()) {
            keys.push(key);
        }
    }
    if keys.is_empty() {
        return None;
    }
    let mut rows = vec![keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>()];
    for map in maps.iter().take(ITEMS) {
        let of = |key: &&str| map.get(*key).filter(|value| !value.is_null()).map(said).unwrap_or_default();
        rows.push(keys.iter().map(of).collect());
    }
    let widest = |i: usize| rows.iter().map(|row| width(&clean(&row[i]))).max().unwrap_or(0);
    if indent + (0..keys.len()).map(|i| widest(i) + 2).sum::<usize>() > look.width + 2 {
        return None;
    }
    let mut table = Table::new(&vec![Column::new(""); keys.len()]);
    for (n, row) in rows.iter().enumerate() {
        let ink = if n == 0 { Ink::Dim } else { Ink::Plain };
        table.row(row.iter().map(|text| Cell::new(text).ink(ink)).collect());
    }
    Some(table.render(look, indent))
}

/// A value in a line: `vmid 211, name dns, to pve3`.
fn said(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(fields) => {
            let known = fields.iter().filter(|(_, v)| !v.is_null());
            known.map(|(k, v)| format!("{k} {}", said(v))).collect::<Vec<_>>().join(", ")
        }
        Value::Array(items) => items.iter().map(said).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_of_maps_is_a_table_where_there_is_room_for_it() {
        let show = json!([{"vmid": 211, "name": "dns", "to": null, "why": "a container moves by restarting"},
                          {"vmid": 1052, "name": "db", "why": "a passed-through device"}]);
        let at = |width| lines("Down for a while", &show, None, &Look { width, ..Look::default() }, 0);
        insta::assert_snapshot!(at(80), @r"
        asks: Down for a while
          vmid  name  why
          211   dns   a container moves by restarting
          1052  db    a passed-through device
        answer: yes or no
        ");
        insta::assert_snapshot!(at(40), @r"
        asks: Down for a while
          - vmid 211, name dns, why a container
            moves by restarting
          - vmid 1052, name db, why a
            passed-through device
        answer: yes or no
        ");
    }

    #[test]
    fn a_question_shows_what_it_is_about() {
        let show =
            json!([{"vmid": 211, "name": "dns", "to": null, "why": "a container moves by restarting"}, "VM 104"]);
        let asked = Question {
            message: "These guests will be down".into(),
            show,
            word: Some("pve2".into()),
            options: vec![],
            expands: false,
        };
        insta::assert_snapshot!(question(&asked, &Look::default()), @r"
        asks: These guests will be down
          - vmid 211, name dns, why a container moves by restarting
          - VM 104
        answer: type pve2
        ");
        let plain =
            Question { message: "Go on?".into(), show: Value::Null, word: None, options: vec![], expands: false };
        insta::assert_snapshot!(question(&plain, &Look::default()), @r"
        asks: Go on?
        answer: yes or no
        ");
    }
}
