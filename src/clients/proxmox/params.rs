//! What goes into a call: verb, path segments and parameters in the form that Proxmox's form parser takes.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// One path segment, percent-encoded (a UPID has `:`, `@` and `!`; a volume id has `/`).
pub fn seg(text: impl fmt::Display) -> String {
    utf8_percent_encode(&text.to_string(), SEGMENT).to_string()
}

/// The text that [`seg`] encoded.
pub fn plain_seg(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// Parameters in order; a name may come more than once (pveproxy makes an array of it).
/// Values are as a form has them: booleans `0` or `1`, numbers in decimal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Params(Vec<(String, String)>);

impl Params {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `name=value`.
    pub fn set(mut self, name: impl Into<String>, value: impl fmt::Display) -> Self {
        self.0.push((name.into(), value.to_string()));
        self
    }

    /// Adds `name=1` or `name=0`: Proxmox takes no other spelling of a boolean in a form.
    pub fn flag(self, name: impl Into<String>, value: bool) -> Self {
        self.set(name, u8::from(value))
    }

    /// Adds it if there is a value.
    pub fn opt(self, name: impl Into<String>, value: Option<impl fmt::Display>) -> Self {
        match value {
            Some(value) => self.set(name, value),
            None => self,
        }
    }

    pub fn as_slice(&self) -> &[(String, String)] {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<K: Into<String>, V: fmt::Display> FromIterator<(K, V)> for Params {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(k, v)| (k.into(), v.to_string())).collect())
    }
}

impl<K: Into<String>, V: fmt::Display, const N: usize> From<[(K, V); N]> for Params {
    fn from(pairs: [(K, V); N]) -> Self {
        pairs.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_keeps_nothing_that_would_end_it() {
        assert_eq!(seg("UPID:pve1:0:ops@pve!t:"), "UPID%3Apve1%3A0%3Aops%40pve%21t%3A");
        assert_eq!(seg("local:iso/x.iso"), "local%3Aiso%2Fx.iso");
        assert_eq!(seg(104), "104");
        assert_eq!(plain_seg(&seg("local:iso/x y%.iso")), "local:iso/x y%.iso");
    }

    #[test]
    fn booleans_are_digits() {
        let params = Params::new().flag("online", true).flag("force", false).opt("target", None::<&str>).set("n", 2);
        let pairs: Vec<_> = params.as_slice().iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(pairs, [("online", "1"), ("force", "0"), ("n", "2")]);
        assert_eq!(Params::from([("a", 1)]), Params::new().set("a", 1));
    }
}
