//! What a person is asked, as it stands in a plan and before the prompt.

use serde_json::Value;

use super::figures::count;
use super::style::Look;
use super::text::hang;
use crate::event::Question;

/// Things shown of a list.
const ITEMS: usize = 20;

/// The question, what it is about and how to answer it, for the one who puts the prompt below it.
pub fn question(question: &Question, look: &Look) -> String {
    lines(&question.message, &question.show, question.word.as_deref(), look, 0)
}

pub(super) fn lines(message: &str, show: &Value, word: Option<&str>, look: &Look, indent: usize) -> String {
    let blanks = " ".repeat(indent);
    let mut out = hang(&format!("{blanks}asks: "), message, look.width);
    let items = match show {
        Value::Null => &[],
        Value::Array(items) => items.as_slice(),
        one => std::slice::from_ref(one),
    };
    for item in items.iter().take(ITEMS) {
        out.push_str(&hang(&format!("{blanks}  - "), &said(item), look.width));
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
    fn a_question_shows_what_it_is_about() {
        let show =
            json!([{"vmid": 211, "name": "dns", "to": null, "why": "a container moves by restarting"}, "VM 104"]);
        let asked =
            Question { message: "These guests will be down".into(), show, word: Some("pve2".into()), options: vec![] };
        insta::assert_snapshot!(question(&asked, &Look::default()), @r"
        asks: These guests will be down
          - vmid 211, name dns, why a container moves by restarting
          - VM 104
        answer: type pve2
        ");
        let plain = Question { message: "Go on?".into(), show: Value::Null, word: None, options: vec![] };
        insta::assert_snapshot!(question(&plain, &Look::default()), @r"
        asks: Go on?
        answer: yes or no
        ");
    }
}
