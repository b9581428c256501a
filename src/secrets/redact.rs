//! Redaction by value: every secret in use, in each form it may be written, is replaced in any text.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Stands where a secret was. Safe inside JSON strings, YAML and shells' output.
pub const MASK: &str = "(redacted)";

/// Shorter values are not redacted: they would be found everywhere, and the mask would tell them.
const SHORTEST: usize = 6;

/// The characters that URL encoders leave alone.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Knows the secrets in use. Clones share them. Threads may redact while others register.
#[derive(Clone, Default)]
pub struct Redactor {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Read first, without a lock: most texts are written before any secret is known.
    any: AtomicBool,
    forms: Mutex<BTreeSet<String>>,
    /// Made anew at each registration, which is rare; never changed, so readers hold no lock while they search.
    search: RwLock<Option<Arc<AhoCorasick>>>,
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redactor")
    }
}

impl Redactor {
    pub fn new() -> Self {
        Self::default()
    }

    /// Has `value` redacted from now on. False if it is too short for that (under 6 characters).
    pub fn register(&self, value: &str) -> bool {
        let value = value.trim();
        if value.chars().count() < SHORTEST {
            return false;
        }
        let mut forms = self.inner.forms.lock().unwrap_or_else(PoisonError::into_inner);
        let before = forms.len();
        forms.extend(forms_of(value));
        for line in value.lines().map(str::trim).filter(|line| stands_alone(line)) {
            forms.extend(forms_of(line));
        }
        if forms.len() > before {
            self.rebuild(&forms);
        }
        true
    }

    fn rebuild(&self, forms: &BTreeSet<String>) {
        let search = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(forms);
        // Building fails only beyond billions of states; then the old search stays rather than none.
        if let Ok(search) = search {
            *self.inner.search.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(search));
            self.inner.any.store(true, Ordering::Release);
        }
    }

    fn search(&self) -> Option<Arc<AhoCorasick>> {
        if !self.inner.any.load(Ordering::Acquire) {
            return None;
        }
        self.inner.search.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The text with the mask in the place of every secret; the text itself when there is none.
    pub fn redact<'a>(&self, text: &'a str) -> std::borrow::Cow<'a, str> {
        match self.search() {
            Some(search) if search.is_match(text) => {
                let masks = vec![MASK; search.patterns_len()];
                search.replace_all(text, &masks).into()
            }
            _ => text.into(),
        }
    }

    /// As [`Redactor::redact`] for bytes that may be no UTF-8.
    pub fn redact_bytes<'a>(&self, bytes: &'a [u8]) -> std::borrow::Cow<'a, [u8]> {
        match self.search() {
            Some(search) if search.is_match(bytes) => {
                let masks = vec![MASK; search.patterns_len()];
                search.replace_all_bytes(bytes, &masks).into()
            }
            _ => bytes.into(),
        }
    }

    /// Redacts every text inside a JSON value, keys too.
    pub fn redact_json(&self, value: &mut serde_json::Value) {
        use serde_json::Value;
        if self.search().is_none() {
            return;
        }
        match value {
            Value::String(text) => *text = self.redact(text).into_owned(),
            Value::Array(items) => items.iter_mut().for_each(|v| self.redact_json(v)),
            Value::Object(fields) => {
                for (key, mut inner) in std::mem::take(fields) {
                    self.redact_json(&mut inner);
                    fields.insert(self.redact(&key).into_owned(), inner);
                }
            }
            _ => {}
        }
    }

    /// Whether a secret is in the text.
    pub fn finds(&self, text: &str) -> bool {
        self.search().is_some_and(|search| search.is_match(text))
    }
}

/// A line of a longer secret (a key in PEM) is a secret too when it is written alone; its frame is not.
fn stands_alone(line: &str) -> bool {
    line.chars().count() >= 8 && !line.starts_with("-----")
}

fn forms_of(value: &str) -> Vec<String> {
    let lower = |text: &str| lower_hex(text);
    let strict = utf8_percent_encode(value, UNRESERVED).to_string();
    let all = utf8_percent_encode(value, NON_ALPHANUMERIC).to_string();
    let form = strict.replace("%20", "+");
    let json = serde_json::Value::from(value).to_string();
    let debug = format!("{value:?}");
    let mut forms = vec![value.to_owned(), lower(&strict), lower(&all), lower(&form), strict, all, form];
    forms.push(json[1..json.len() - 1].to_owned());
    forms.push(debug[1..debug.len() - 1].to_owned());
    forms.extend(base64_forms(value.as_bytes()));
    forms.retain(|form| form.len() >= SHORTEST);
    forms
}

/// `%2F` as `%2f`, which some encoders write.
fn lower_hex(encoded: &str) -> String {
    let mut out = String::with_capacity(encoded.len());
    let mut hex = 0;
    for c in encoded.chars() {
        out.push(if hex > 0 { c.to_ascii_lowercase() } else { c });
        hex = if c == '%' { 2 } else { hex - i32::from(hex > 0) };
    }
    out
}

/// What every base64 of a longer text with the value in it must contain, for the three ways it can fall on the
/// groups of three bytes; and the value's own encoding whole.
fn base64_forms(value: &[u8]) -> Vec<String> {
    let mut forms = Vec::new();
    for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
        forms.push(engine.encode(value));
        for shift in 0..3 {
            let shifted = [&[0; 2][..shift], value].concat();
            let encoded = engine.encode(&shifted);
            // The first characters mix with what stands before, the last with what follows.
            let start = (shift * 8).div_ceil(6);
            let end = shifted.len() * 8 / 6;
            forms.push(encoded[start..end].to_owned());
        }
    }
    forms
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::STANDARD;

    fn knowing(values: &[&str]) -> Redactor {
        let redactor = Redactor::new();
        values.iter().for_each(|v| assert!(redactor.register(v)));
        redactor
    }

    #[test]
    fn an_empty_redactor_hands_back_the_same_text() {
        let redactor = Redactor::new();
        assert!(matches!(redactor.redact("anything"), std::borrow::Cow::Borrowed("anything")));
        assert!(!redactor.register("12345") && !redactor.finds("12345"));
    }

    #[test]
    fn every_form_is_found() {
        let secret = "p4ss/w+rd \"ü\"&x";
        let redactor = knowing(&[secret]);
        let percent = utf8_percent_encode(secret, UNRESERVED).to_string();
        for text in [
            secret.to_owned(),
            percent.clone(),
            percent.to_lowercase(),
            percent.replace("%20", "+"),
            serde_json::Value::from(secret).to_string(),
            format!("{secret:?}"),
            STANDARD.encode(secret),
            URL_SAFE_NO_PAD.encode(secret),
            STANDARD.encode(format!("user:{secret}")),
            STANDARD.encode(format!("u:{secret}@host")),
            STANDARD.encode(format!("{secret}tail")),
        ] {
            let got = redactor.redact(&text);
            assert!(got.contains(MASK), "{text} -> {got}");
        }
        assert_eq!(redactor.redact(&format!("token={secret};")), format!("token={MASK};"));
    }

    #[test]
    fn the_longest_secret_wins_and_lines_of_keys_count() {
        let redactor = knowing(&["secret", "secret-longer"]);
        assert_eq!(redactor.redact("x secret-longer y secret z"), format!("x {MASK} y {MASK} z"));
        let key = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2Vw\nBCIEIAabcdefgh\n-----END PRIVATE KEY-----\n";
        let redactor = knowing(&[key]);
        assert_eq!(redactor.redact("line: MC4CAQAwBQYDK2Vw"), format!("line: {MASK}"));
        assert_eq!(redactor.redact("-----BEGIN PRIVATE KEY-----"), "-----BEGIN PRIVATE KEY-----");
    }

    #[test]
    fn json_and_bytes_are_redacted_too() {
        let redactor = knowing(&["hunter22"]);
        let mut value = serde_json::json!({"a": ["x hunter22"], "hunter22": 1, "n": 5});
        redactor.redact_json(&mut value);
        assert_eq!(value, serde_json::json!({"a": [format!("x {MASK}")], MASK: 1, "n": 5}));
        assert_eq!(redactor.redact_bytes(b"\xffhunter22\xfe").as_ref(), b"\xff(redacted)\xfe");
    }

    #[test]
    fn threads_register_and_redact_at_once() {
        let redactor = Redactor::new();
        std::thread::scope(|scope| {
            for n in 0..4 {
                let redactor = redactor.clone();
                scope.spawn(move || {
                    for i in 0..20 {
                        let secret = format!("secret-{n}-{i}!");
                        redactor.register(&secret);
                        assert_eq!(redactor.redact(&secret), MASK);
                    }
                });
            }
        });
    }
}
