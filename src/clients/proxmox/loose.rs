//! Reading Proxmox's loosely typed JSON: numbers that are texts, booleans that are 0, 1, "1" or true.
//!
//! A reader never guesses: an absent or null field is `None` where that is allowed, a wrong shape is an error that
//! names the call and the field.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{At, ProxmoxError};

/// Whole number from a number or a text.
pub fn as_i64(value: &Value) -> Option<i64> {
    match value {
        // Perl makes a float of a big sum; one without a fraction is still a whole number.
        Value::Number(n) => n.as_i64().or_else(|| n.as_f64().filter(|f| whole(*f)).map(|f| f as i64)),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn whole(number: f64) -> bool {
    number.fract() == 0.0 && number.abs() < 9e15
}

/// As [`as_i64`], not negative.
pub fn as_u64(value: &Value) -> Option<u64> {
    as_i64(value).and_then(|n| u64::try_from(n).ok())
}

/// Number from a number or a text.
pub fn as_f64(value: &Value) -> Option<f64> {
    match value {
        Value::Number(n) => n.as_f64(),
        Value::String(text) => text.trim().parse().ok().filter(|f: &f64| f.is_finite()),
        _ => None,
    }
}

/// Truth from 0, 1, "0", "1", "", true, false.
pub fn as_bool(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(b) => Some(*b),
        Value::Number(n) => match n.as_i64() {
            Some(0) => Some(false),
            Some(1) => Some(true),
            _ => None,
        },
        Value::String(text) => match text.as_str() {
            "1" | "true" => Some(true),
            "0" | "" | "false" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// Text from a text, a number or a boolean (which Proxmox writes as 0 or 1).
pub fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(n) => Some(n.to_string()),
        Value::Bool(b) => Some(u8::from(*b).to_string()),
        _ => None,
    }
}

/// As [`as_text`]; a list or an object as JSON.
pub fn plain(value: &Value) -> String {
    as_text(value).unwrap_or_else(|| value.to_string())
}

/// A JSON object being read: knows where it stands, for errors.
#[derive(Debug, Clone)]
pub struct Row<'a> {
    at: &'a At,
    place: String,
    fields: &'a Map<String, Value>,
}

impl<'a> Row<'a> {
    /// The object `value`, which stands at `place` (`data`, `data[3]`).
    pub fn new(at: &'a At, place: impl Into<String>, value: &'a Value) -> Result<Self, ProxmoxError> {
        let place = place.into();
        match value {
            Value::Object(fields) => Ok(Self { at, place, fields }),
            other => Err(wrong(at, place, "an object", other)),
        }
    }

    pub fn fields(&self) -> &'a Map<String, Value> {
        self.fields
    }

    /// The field, unless it is absent or null.
    pub fn value(&self, field: &str) -> Option<&'a Value> {
        self.fields.get(field).filter(|v| !v.is_null())
    }

    pub fn error(&self, field: &str, expected: &'static str) -> ProxmoxError {
        let value = self.value(field);
        let place = format!("{}.{field}", self.place);
        match value {
            Some(value) => wrong(self.at, place, expected, value),
            None => shape(self.at, place, expected, "nothing".into()),
        }
    }

    fn optional<T>(
        &self,
        field: &str,
        expected: &'static str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, ProxmoxError> {
        match self.value(field) {
            None => Ok(None),
            Some(value) => read(value).map(Some).ok_or_else(|| self.error(field, expected)),
        }
    }

    fn required<T>(
        &self,
        field: &str,
        expected: &'static str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<T, ProxmoxError> {
        self.optional(field, expected, read)?.ok_or_else(|| self.error(field, expected))
    }

    pub fn text(&self, field: &str) -> Result<String, ProxmoxError> {
        self.required(field, "text", as_text)
    }

    pub fn opt_text(&self, field: &str) -> Result<Option<String>, ProxmoxError> {
        self.optional(field, "text", as_text)
    }

    pub fn int(&self, field: &str) -> Result<i64, ProxmoxError> {
        self.required(field, "a whole number", as_i64)
    }

    pub fn opt_int(&self, field: &str) -> Result<Option<i64>, ProxmoxError> {
        self.optional(field, "a whole number", as_i64)
    }

    pub fn uint(&self, field: &str) -> Result<u64, ProxmoxError> {
        self.required(field, "a whole number, not negative", as_u64)
    }

    pub fn opt_uint(&self, field: &str) -> Result<Option<u64>, ProxmoxError> {
        self.optional(field, "a whole number, not negative", as_u64)
    }

    pub fn opt_float(&self, field: &str) -> Result<Option<f64>, ProxmoxError> {
        self.optional(field, "a number", as_f64)
    }

    /// False when absent: Proxmox leaves out what is off.
    pub fn flag(&self, field: &str) -> Result<bool, ProxmoxError> {
        Ok(self.opt_flag(field)?.unwrap_or(false))
    }

    pub fn opt_flag(&self, field: &str) -> Result<Option<bool>, ProxmoxError> {
        self.optional(field, "0 or 1", as_bool)
    }

    /// Read by `FromStr` from a text or number.
    pub fn parsed<T: std::str::FromStr>(&self, field: &str, expected: &'static str) -> Result<T, ProxmoxError> {
        self.required(field, expected, |v| as_text(v)?.parse().ok())
    }

    pub fn object(&self, field: &str) -> Result<Row<'a>, ProxmoxError> {
        self.opt_object(field)?.ok_or_else(|| self.error(field, "an object"))
    }

    pub fn opt_object(&self, field: &str) -> Result<Option<Row<'a>>, ProxmoxError> {
        self.value(field).map(|v| Row::new(self.at, format!("{}.{field}", self.place), v)).transpose()
    }

    /// The rows of a list field; none when absent.
    pub fn list(&self, field: &str) -> Result<Vec<Row<'a>>, ProxmoxError> {
        match self.value(field) {
            None => Ok(Vec::new()),
            Some(value) => rows_at(self.at, &format!("{}.{field}", self.place), value),
        }
    }

    /// The texts of a list field, or of a text joined by commas (Proxmox has both); none when absent.
    pub fn texts(&self, field: &str) -> Result<Vec<String>, ProxmoxError> {
        let read = |v: &Value| match v {
            Value::Array(items) => items.iter().map(as_text).collect(),
            other => as_text(other).map(|text| split_list(&text)),
        };
        Ok(self.optional(field, "a list of texts", read)?.unwrap_or_default())
    }

    /// The rows of an object field, by name; none when absent. An empty list counts as an empty object: Perl's
    /// JSON has both for "nothing".
    pub fn map(&self, field: &str) -> Result<BTreeMap<String, Row<'a>>, ProxmoxError> {
        match self.value(field) {
            None => Ok(BTreeMap::new()),
            Some(Value::Array(items)) if items.is_empty() => Ok(BTreeMap::new()),
            Some(value) => {
                let place = format!("{}.{field}", self.place);
                let row = Row::new(self.at, place.clone(), value)?;
                let inner = |(k, v)| Ok((String::clone(k), Row::new(self.at, format!("{place}.{k}"), v)?));
                row.fields.iter().map(inner).collect()
            }
        }
    }
}

/// The rows of a list; null counts as an empty one.
pub fn rows<'a>(at: &'a At, data: &'a Value) -> Result<Vec<Row<'a>>, ProxmoxError> {
    match data {
        Value::Null => Ok(Vec::new()),
        other => rows_at(at, "data", other),
    }
}

fn rows_at<'a>(at: &'a At, place: &str, value: &'a Value) -> Result<Vec<Row<'a>>, ProxmoxError> {
    match value {
        Value::Array(items) => {
            items.iter().enumerate().map(|(i, v)| Row::new(at, format!("{place}[{i}]"), v)).collect()
        }
        other => Err(wrong(at, place.to_owned(), "a list", other)),
    }
}

/// Comma, semicolon or space between items, as Proxmox's `-list` formats allow.
pub fn split_list(text: &str) -> Vec<String> {
    text.split([',', ';', ' ', '\0']).map(str::trim).filter(|s| !s.is_empty()).map(str::to_owned).collect()
}

fn wrong(at: &At, field: String, expected: &'static str, got: &Value) -> ProxmoxError {
    let text = got.to_string();
    let got = match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    };
    shape(at, field, expected, got)
}

fn shape(at: &At, field: String, expected: &'static str, got: String) -> ProxmoxError {
    ProxmoxError::Shape { at: Box::new(at.clone()), field, expected, got }
}

#[cfg(test)]
mod tests {
    use super::super::Verb;
    use super::*;
    use serde_json::json;

    fn at() -> At {
        At { verb: Verb::Get, path: "/x".into(), node: "pve1".into() }
    }

    #[test]
    fn numbers_and_booleans_come_in_many_spellings() {
        for value in [json!(8192), json!("8192"), json!(8192.0)] {
            assert_eq!(as_i64(&value), Some(8192));
            assert_eq!(as_text(&value).unwrap().trim_end_matches(".0"), "8192");
        }
        for value in [json!(1), json!("1"), json!(true)] {
            assert_eq!(as_bool(&value), Some(true));
        }
        for value in [json!(0), json!("0"), json!(""), json!(false)] {
            assert_eq!(as_bool(&value), Some(false));
        }
        assert_eq!(as_f64(&json!("3400.000")), Some(3400.0));
        for value in [json!(1.5), json!("x"), json!([]), json!(null), json!(-1)] {
            assert_eq!(as_u64(&value), None, "{value}");
        }
        assert_eq!(as_bool(&json!("yes")), None);
    }

    #[test]
    fn a_wrong_shape_names_the_call_and_the_field() {
        let (at, data) = (at(), json!([{"vmid": {"a": 1}}]));
        let rows = rows(&at, &data).unwrap();
        let error = rows[0].int("vmid").unwrap_err().to_string();
        assert_eq!(error, r#"GET /x on pve1: in the answer, data[0].vmid: expected a whole number, got {"a":1}"#);
        let error = rows[0].text("name").unwrap_err().to_string();
        assert!(error.ends_with("data[0].name: expected text, got nothing"), "{error}");
    }

    #[test]
    fn null_and_absent_are_the_same() {
        let (at, data) = (at(), json!({"exists": null, "nodes": "a,b", "list": ["c"]}));
        let row = Row::new(&at, "data", &data).unwrap();
        assert_eq!(row.opt_text("exists").unwrap(), None);
        assert!(!row.flag("exists").unwrap() && row.list("none").unwrap().is_empty());
        assert_eq!(row.texts("nodes").unwrap(), ["a", "b"]);
        assert_eq!(row.texts("list").unwrap(), ["c"]);
    }
}
