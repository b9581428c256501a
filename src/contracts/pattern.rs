//! Perl's regular expressions as the schemas print them, made readable for the `regex` crate.

use std::sync::OnceLock;

use regex::{Regex, RegexBuilder};

/// A pattern of the schema, compiled when it is first needed: a call touches a few of the hundreds there are.
#[derive(Debug)]
pub struct Pattern {
    source: String,
    compiled: OnceLock<Option<Regex>>,
}

impl Pattern {
    pub fn new(source: &str) -> Self {
        Self { source: source.to_owned(), compiled: OnceLock::new() }
    }

    /// Perl's own text.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// As `m/^$pattern$/` does: without a group around it, so that `a|b` is `^a` or `b$` here too.
    ///
    /// A pattern that cannot be compiled accepts everything; a test sees to it that there is none.
    pub fn matches(&self, value: &str) -> bool {
        self.regex().is_none_or(|regex| regex.is_match(value))
    }

    pub(super) fn regex(&self) -> Option<&Regex> {
        // One pattern repeats `\w` 256 times, which is more than the default limit of 10 MiB.
        let compile = || RegexBuilder::new(&format!("^{}$", rewrite(&self.source))).size_limit(1 << 26).build();
        self.compiled.get_or_init(|| compile().ok()).as_ref()
    }
}

/// Perl prints a compiled pattern as `(?^i:…)`: "these flags and no others". `{,n}` and `\0` are Perl's too.
fn rewrite(perl: &str) -> String {
    let mut out = String::with_capacity(perl.len());
    let mut rest = perl;
    while let Some(c) = rest.chars().next() {
        if let Some((flags, after)) = rest.strip_prefix("(?^").and_then(|tail| tail.split_once(':')) {
            out.push_str(if flags.contains('i') { "(?i:" } else { "(?:" });
            rest = after;
        } else if let Some(after) = rest.strip_prefix("{,") {
            out.push_str("{0,");
            rest = after;
        } else if let Some(after) = rest.strip_prefix("\\0") {
            out.push_str("\\x00");
            rest = after;
        } else if c == '\\' {
            let escaped = rest.chars().nth(1).map_or(1, |next| 1 + next.len_utf8());
            out.push_str(&rest[..escaped]);
            rest = &rest[escaped..];
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn perl_groups_are_rewritten() {
        assert_eq!(rewrite("(?^:^(?^i:[a-z]{,8})\\\\(?^u:x)\\0$)"), "(?:^(?i:[a-z]{0,8})\\\\(?:x)\\x00$)");
    }

    #[test]
    fn a_pattern_covers_the_whole_value() {
        let pattern = Pattern::new("(ide|sata)\\d+");
        assert!(pattern.matches("ide0"));
        assert!(!pattern.matches("xide0"));
        assert!(!pattern.matches("ide0 "));
    }
}
