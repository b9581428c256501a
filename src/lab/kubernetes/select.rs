//! `fieldSelector` and `labelSelector`.

use serde_json::Value;

use super::Ask;

/// What a list is narrowed to.
#[derive(Debug, Default)]
pub(super) struct Selection {
    /// A pointer, what it leads to, and whether it is to be so.
    fields: Vec<(String, String, bool)>,
    labels: Vec<Term>,
}

#[derive(Debug)]
enum Term {
    Equals(String, String, bool),
    There(String, bool),
}

impl Selection {
    /// # Errors
    /// What the lab does not know, in the API's words.
    pub fn of(ask: &Ask) -> Result<Self, String> {
        let terms = |name: &str| {
            let text = ask.query(name).unwrap_or_default().to_owned();
            text.split(',').map(str::trim).filter(|term| !term.is_empty()).map(str::to_owned).collect::<Vec<_>>()
        };
        let mut selection = Self::default();
        for term in terms("fieldSelector") {
            let (field, value, is) = compared(&term).ok_or_else(|| format!("invalid selector: '{term}'"))?;
            if !["metadata.name", "metadata.namespace", "spec.nodeName", "status.phase"].contains(&field) {
                return Err(format!("field label not supported: {field}"));
            }
            selection.fields.push((format!("/{}", field.replace('.', "/")), value.to_owned(), is));
        }
        for term in terms("labelSelector") {
            selection.labels.push(match (compared(&term), term.strip_prefix('!')) {
                (Some((name, value, is)), _) => Term::Equals(name.to_owned(), value.to_owned(), is),
                (None, Some(name)) => Term::There(name.to_owned(), false),
                (None, None) if term.contains(['(', ' ']) => {
                    return Err(format!("the lab does not know the selector {term:?}"));
                }
                (None, None) => Term::There(term, true),
            });
        }
        Ok(selection)
    }

    pub fn takes(&self, object: &Value) -> bool {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let fields = self.fields.iter().all(|(pointer, value, is)| (text(pointer) == *value) == *is);
        let label = |name: &str| object["metadata"]["labels"].get(name);
        let labels = self.labels.iter().all(|term| match term {
            Term::Equals(name, value, is) => label(name).is_some_and(|own| own == value.as_str()) == *is,
            Term::There(name, is) => label(name).is_some() == *is,
        });
        fields && labels
    }
}

/// `a=b`, `a==b`, `a!=b`
fn compared(term: &str) -> Option<(&str, &str, bool)> {
    if let Some((name, value)) = term.split_once("!=") {
        return Some((name, value, false));
    }
    let (name, value) = term.split_once('=')?;
    Some((name, value.trim_start_matches('='), true))
}
