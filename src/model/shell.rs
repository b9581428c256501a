//! Command lines for a person to type: quoted for a POSIX shell.

use serde_json::Value;

use super::action_spec::ActionSpec;
use super::param::Param;
use super::value::written;

/// A word as a shell takes it: as it is where that is plain, else in single quotes.
pub fn quote(word: &str) -> String {
    let plain = !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "._-=/:@%+,".contains(c));
    if plain { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

/// Words as one line.
pub fn line<T: AsRef<str>>(words: impl IntoIterator<Item = T>) -> String {
    words.into_iter().map(|word| quote(word.as_ref())).collect::<Vec<_>>().join(" ")
}

/// The command that does one action with these parameters: `runbook do proxmox.guest_migrate guest=104 to=pve2`.
///
/// Values are in their JSON form, and typed again read as they were; what is null is left out.
pub fn do_line<'a>(action: &str, given: impl IntoIterator<Item = (&'a Param, &'a Value)>) -> String {
    let given = given.into_iter().filter(|(_, value)| !value.is_null());
    let given = given.map(|(param, value)| format!("{}={}", param.name, written(param.ty, value)));
    line(["runbook".to_owned(), "do".to_owned(), action.to_owned()].into_iter().chain(given))
}

/// [`do_line`] for a call of `spec` with the object `with`, such as the undo that is left to a person.
pub fn call_line(spec: &ActionSpec, with: &Value) -> String {
    do_line(&spec.name, spec.params.iter().filter_map(|param| Some((param, with.get(&param.name)?))))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::effect::Effect;
    use crate::model::param::ValueType;
    use crate::model::value::coerce_text;

    /// What a shell makes of a line: words without their single quotes.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut word, mut quoted, mut open) = (Vec::new(), String::new(), false, false);
        let mut chars = line.chars();
        while let Some(c) = chars.next() {
            match c {
                '\'' => (quoted, open) = (!quoted, true),
                '\\' if !quoted => word.extend(chars.next()),
                ' ' if !quoted => {
                    if open || !word.is_empty() {
                        words.push(std::mem::take(&mut word));
                    }
                    open = false;
                }
                c => word.push(c),
            }
        }
        words.push(word);
        words
    }

    #[test]
    fn words_are_quoted_where_a_shell_would_take_them_apart() {
        for word in ["pve2", "", "two words", "it's", "$(reboot)", "a;b", "*", "#no", "~", "back\\slash", "'", "\n"] {
            assert_eq!(words(&quote(word)), [word], "{word:?}");
        }
        assert_eq!(line(["pvesh", "get", "/nodes"]), "pvesh get /nodes");
    }

    #[test]
    fn a_line_gives_the_values_that_it_was_made_of() {
        let spec = ActionSpec::new("proxmox.guest_migrate", Effect::Change, "Move a guest")
            .param(Param::new("guest", ValueType::Guest))
            .param(Param::new("to", ValueType::Node))
            .param(Param::new("timeout", ValueType::Duration))
            .param(Param::new("size", ValueType::Size))
            .param(Param::new("share", ValueType::Percent))
            .param(Param::new("note", ValueType::String))
            .param(Param::new("hard", ValueType::Bool))
            .param(Param::new("storages", ValueType::Map))
            .param(Param::new("others", ValueType::List).items(ValueType::Guest))
            .param(Param::new("notes", ValueType::List));
        let with = json!({
            "guest": 104, "to": "pve2", "timeout": 90_000, "size": 1536, "share": 15, "note": "it's $HOME; rm -rf *",
            "hard": true, "storages": {"local-lvm": "ceph-vm", "a": "b"}, "others": [105, 106],
            "notes": ["one, two", "three"], "absent": null,
        });
        let line = call_line(&spec, &with);
        assert!(line.starts_with("runbook do proxmox.guest_migrate guest=104 to=pve2 timeout=90s size="), "{line}");
        assert!(!line.contains("absent"), "{line}");
        for word in &words(&line)[3..] {
            let (name, text) = word.split_once('=').unwrap();
            let param = spec.params.iter().find(|p| p.name == name).unwrap();
            assert_eq!(coerce_text(param, text).as_ref(), Ok(&with[name]), "{word}");
        }
    }
}
