//! Lines of logs without what is secret in them: nobody has promised that a service writes none.

/// So long a run of letters, digits and `+/=_-` of both cases is a key or a token and no word. Digests and ids have one case.
const LONG: usize = 40;
const NAMES: [&str; 8] =
    ["token", "secret", "password", "passwd", "authorization", "bearer", "privatekey", "private key"];
const GONE: &str = "***";

/// The line as it may be shown and kept.
pub fn line(text: &str) -> String {
    if text.contains("-----BEGIN") {
        return GONE.to_owned();
    }
    blobs(&named(text))
}

/// What is said of something with a secret's name: `token=abc`, `"token":"abc"`, `Bearer abc`.
fn named(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let mut out = String::new();
    let mut at = 0;
    while let Some((found, name)) =
        NAMES.iter().filter_map(|name| Some((lower[at..].find(name)? + at, *name))).min_by_key(|(found, _)| *found)
    {
        let mut value = found + name.len();
        let between = &text[value..];
        let sign = between.trim_start_matches(['"', '\\', '\'']);
        let is_value = sign.starts_with(['=', ':']) || name == "bearer" && sign.starts_with(' ');
        if !is_value {
            out.push_str(&text[at..value]);
            at = value;
            continue;
        }
        value += between.len() - sign.trim_start_matches(['=', ':', ' ', '"', '\\', '\'']).len();
        out.push_str(&text[at..value]);
        let rest = &text[value..];
        // `Authorization: Bearer abc`: the next name takes it.
        if rest.to_ascii_lowercase().starts_with("bearer") {
            at = value;
            continue;
        }
        let end = rest
            .find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',' | '}' | ';' | '&' | '\\'))
            .unwrap_or(rest.len());
        out.push_str(if end == 0 { "" } else { GONE });
        at = value + end;
    }
    out.push_str(&text[at..]);
    out
}

fn blobs(text: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=' | '_' | '-');
    let mut out = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let has = |of: fn(&char) -> bool| word.chars().any(|c| of(&c));
        let is_key = word.len() >= LONG
            && has(char::is_ascii_lowercase)
            && has(char::is_ascii_uppercase)
            && has(char::is_ascii_digit);
        out.push_str(if is_key { GONE } else { word });
        let next = after.chars().next().map_or(0, char::len_utf8);
        out.push_str(&after[..next]);
        rest = &after[next..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_secret_is_not_told() {
        for (text, told) in [
            ("joining with token=abc.def next", "joining with token=*** next"),
            ("{\"token\":\"abc\",\"level\":\"info\"}", "{\"token\":\"***\",\"level\":\"info\"}"),
            ("Authorization: Bearer eyJx.y.z", "Authorization: Bearer ***"),
            ("password: hunter2, user: me", "password: ***, user: me"),
            ("-----BEGIN EC PRIVATE KEY-----", "***"),
            ("key MIIEpAIBAAKCAQEAx1y2z3MIIEpAIBAAKCAQEAx1y2z3 end", "key *** end"),
            ("the token is not valid", "the token is not valid"),
            (
                "schematic ce4c980550dd2ab1b17bbf2b08801c7eb59418eafe8f279833297925d67c7515",
                "schematic ce4c980550dd2ab1b17bbf2b08801c7eb59418eafe8f279833297925d67c7515",
            ),
            ("", ""),
        ] {
            assert_eq!(line(text), told);
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_makes_it_panic(text in "(?s).{0,200}") {
            line(&text);
        }

        #[test]
        fn a_secret_never_stays(secret in "[a-z0-9]{6,30}", before in "[A-Z ]{0,20}") {
            let text = [before.as_str(), " token=", secret.as_str(), " x"].concat();
            assert!(!line(&text).contains(&secret), "{}", text);
        }
    }
}
