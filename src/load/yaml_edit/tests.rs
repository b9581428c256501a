//! What is set is there, and nothing else has moved.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::{append, get, path_of, set};

const FILE: &str = "# the fleet
---
cluster:            # which
  name: 'prod'      # in quotes
  size: 3
  note: |
    two
    lines

  nodes:
    - name: cp1   # first
      ip: 10.0.0.1
    - {name: cp2, ip: 10.0.0.2}
  empty:
  tags: [a, b]   # flow

# tail
other: \"x\"
";

#[test]
fn a_value_is_set_in_its_place_and_all_else_stays() {
    for (path, value, old, new) in [
        ("cluster.name", json!("test"), "'prod' ", "'test' "),
        ("cluster.size", json!(5), "size: 3\n", "size: 5\n"),
        ("cluster.size", json!("yes"), "size: 3\n", "size: \"yes\"\n"),
        ("cluster.note", json!("one"), "|\n    two\n    lines\n\n", "one\n\n"),
        ("cluster.nodes.0.ip", json!("10.0.0.9"), "10.0.0.1\n", "\"10.0.0.9\"\n"),
        ("cluster.nodes.1.ip", json!("::1"), "10.0.0.2}", "\"::1\"}"),
        ("cluster.nodes.1.role", json!("cp"), "10.0.0.2}", "10.0.0.2, role: cp}"),
        ("cluster.nodes.0.role", json!(null), "10.0.0.1\n", "10.0.0.1\n      role: null\n"),
        ("cluster.empty", json!([1, "a: b"]), "empty:\n", "empty: [1, \"a: b\"]\n"),
        ("cluster.empty.deep.er", json!(true), "empty:\n", "empty: {deep: {er: true}}\n"),
        ("cluster.tags", json!({"k": 1}), "[a, b]", "{k: 1}"),
        ("cluster.new", json!(1.5), "# flow\n", "# flow\n  new: 1.5\n"),
        ("top.\"a.b\"", json!("x y"), "other: \"x\"\n", "other: \"x\"\ntop: {a.b: \"x y\"}\n"),
        ("other", json!("a\"b"), "\"x\"", "\"a\\\"b\""),
    ] {
        let done = set(FILE, path, &value).unwrap_or_else(|e| panic!("{path}: {e}"));
        assert_eq!(done, FILE.replacen(old, new, 1), "{path}");
        assert_eq!(get(&done, path).unwrap(), Some(value.clone()), "{path}");
        assert_eq!(set(&done, path, &value).unwrap(), done, "{path} twice");
    }
    assert_eq!(set("", "a.b", &json!(1)).unwrap(), "a: {b: 1}\n");
    assert_eq!(set("# only\n", "a", &json!("b")).unwrap(), "# only\na: b\n");
    assert_eq!(set("a: 1\r\nb: 2\r\n", "c", &json!(3)).unwrap(), "a: 1\r\nb: 2\r\nc: 3\r\n");
    assert_eq!(set("a: {}", "a.b", &json!(3)).unwrap(), "a: {b: 3}");
}

#[test]
fn what_cannot_be_done_safely_is_refused_with_its_reason() {
    for (text, path, why) in [
        ("a: &x 1\nb: *x\n", "a", "an anchor or a tag"),
        ("a: &x {c: 1}\nb: *x\n", "b.c", "an alias"),
        ("a: &x {c: 1}\nb:\n  <<: *x\n  d: 1\n", "b.d", "a merge key"),
        ("a: !t 1\n", "a", "an anchor or a tag"),
        ("a: 1\n---\na: 2\n", "a", "line 2: this is not YAML: a second document"),
        ("a:\n\tb: 1\n", "a.b", "line 2: this is not YAML: a tab"),
        ("a: [1\n", "a", "this is not YAML"),
        ("a:\n  b: 1\n", "a", "set what is in it, one by one"),
        ("a: 1\n", "a.b", "a: it is a single value"),
        ("a: [1]\n", "a.1", "a list of 1 has no place \"1\""),
        ("a: | # why\n  x\n", "a", "a comment stands behind"),
        ("a: |+\n  x\n\n", "b", "whose end cannot be told"),
        ("a: 1\na: 2\n", "a", "twice"),
        ("- 1\n", "a", "no place \"a\""),
    ] {
        let said = set(text, path, &json!(7)).expect_err(text).to_string();
        assert!(said.contains(why), "{text:?}: {said}");
    }
    for path in ["", "a..b", "\"a", "\"a\"b", "a."] {
        assert!(path_of(path).is_err(), "{path}");
    }
}

/// Values that an operator would set, and texts that nobody would.
fn scalar() -> impl Strategy<Value = Json> {
    prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        (-1.0e9..1.0e9).prop_map(|f: f64| Json::from(f)),
        "[a-z0-9 .:#'\"{}\\[\\],&*!|>%@`\\\\\n\t-]{0,16}".prop_map(Json::from),
        "\\PC{0,8}".prop_map(Json::from),
        prop_oneof![Just("yes"), Just("0755"), Just("~"), Just("1e3"), Just(""), Just("- x"), Just("2024-01-01")]
            .prop_map(Json::from),
    ]
}

fn value() -> impl Strategy<Value = Json> {
    scalar().prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Json::from),
            prop::collection::btree_map("[a-z.: ]{1,5}", inner, 0..3)
                .prop_map(|map| Json::Object(map.into_iter().collect())),
        ]
    })
}

/// A file in block style with comments, blank lines and odd gaps, and the paths of its scalars.
fn file() -> impl Strategy<Value = (String, Vec<String>)> {
    let line = (0..4usize, "[a-z]{1,4}", 0..3usize, prop::option::of("[a-z ]{0,6}"), any::<bool>());
    prop::collection::vec(line, 1..8).prop_map(|lines| {
        let (mut text, mut paths) = (String::from("# head\n"), Vec::new());
        for (n, (style, word, gap, comment, blank)) in lines.into_iter().enumerate() {
            let spelled = match style {
                0 => word.clone(),
                1 => format!("'{word}'"),
                2 => format!("\"{word}\""),
                _ => format!("|\n    {word}\n    {word}"),
            };
            let behind = comment.filter(|_| style < 3).map_or(String::new(), |c| format!("{} # {c}", " ".repeat(gap)));
            text.push_str(&format!("k{n}:\n  # inside\n  in:{}{spelled}{behind}\n", " ".repeat(gap + 1)));
            if blank {
                text.push('\n');
            }
            paths.push(format!("k{n}.in"));
        }
        (text, paths)
    })
}

proptest! {
    #[test]
    fn outside_of_the_value_every_byte_stays((text, paths) in file(), which in any::<prop::sample::Index>(), new in value()) {
        let path = which.get(&paths);
        let done = set(&text, path, &new).unwrap();
        prop_assert_eq!(get(&done, path).unwrap(), Some(new.clone()));
        prop_assert_eq!(set(&done, path, &new).unwrap(), done.clone());
        for other in paths.iter().filter(|other| *other != path) {
            prop_assert_eq!(get(&done, other).unwrap(), get(&text, other).unwrap());
        }
        // What is before the value's key and behind its line (or block) is the same text.
        let key = path.split('.').next().unwrap();
        let from = text.find(&format!("{key}:\n  # inside\n  in:")).unwrap() + key.len() + 17;
        prop_assert_eq!(&done[..from], &text[..from]);
        let next = format!("k{}:", key[1..].parse::<usize>().unwrap() + 1);
        let tail = |text: &str| text.find(&format!("\n{next}")).map(|at| text[at..].to_owned());
        prop_assert_eq!(tail(&done), tail(&text));
        let comments = |text: &str| text.lines().filter(|line| line.trim_start().starts_with('#')).count();
        prop_assert_eq!(comments(&done), comments(&text));
    }

    #[test]
    fn a_new_key_is_one_more_line((text, paths) in file(), which in any::<prop::sample::Index>(), new in value()) {
        let path = format!("{}.added", which.get(&paths).split('.').next().unwrap());
        let done = set(&text, &path, &new).unwrap();
        prop_assert_eq!(get(&done, &path).unwrap(), Some(new.clone()));
        let added: Vec<&str> = done.lines().filter(|line| line.trim_start().starts_with("added:")).collect();
        prop_assert_eq!(added.len(), 1);
        prop_assert_eq!(done.replacen(&format!("{}\n", added[0]), "", 1), text);
    }

    #[test]
    fn any_text_is_edited_truly_or_refused(text in "[ab:\\-\\[\\]{}#&*|> \n'\"]{0,40}", new in scalar()) {
        if let Ok(done) = set(&text, "a.b", &new) {
            prop_assert_eq!(get(&done, "a.b").unwrap(), Some(new.clone()));
            prop_assert_eq!(set(&done, "a.b", &new).unwrap(), done);
        }
    }
}

#[test]
fn an_item_is_added_behind_the_last_one_and_all_else_stays() {
    let node = serde_json::json!({"name": "b", "host": "10.0.0.2:8006"});
    let new = "{host: \"10.0.0.2:8006\", name: b}";
    for (before, after) in [
        ("nodes:\n  - {name: a}   # old\n\n# end\nx: 1\n", "nodes:\n  - {name: a}   # old\n  - NEW\n\n# end\nx: 1\n"),
        ("nodes:\n- name: a\n  host: h  # here\nx: 1\n", "nodes:\n- name: a\n  host: h  # here\n- NEW\nx: 1\n"),
        ("nodes: [{name: a}, {name: c}]  # two\n", "nodes: [{name: a}, {name: c}, NEW]  # two\n"),
        ("nodes: []\n", "nodes: [NEW]\n"),
        ("nodes:\r\n  -   name: a", "nodes:\r\n  -   name: a\r\n  - NEW"),
    ] {
        let got = append(before, "nodes", &node).unwrap();
        let names = ["{host: \"10.0.0.2:8006\", name: b}", "{name: b, host: \"10.0.0.2:8006\"}"];
        let got = names.iter().fold(got, |got, name| got.replace(name, "NEW"));
        assert_eq!(got, after, "{new}");
    }
    for (text, why) in [
        ("nodes: &n [a]\n", "anchor"),
        ("nodes: {a: b}\n", "no list"),
        ("x: 1\n", "no list"),
        ("nodes:\n  - a\n  - |+\n    b\n\n", "by hand"),
        ("", "nothing"),
    ] {
        let error = append(text, "nodes", &node).unwrap_err().to_string();
        assert!(error.contains(why), "{text:?}: {error}");
    }
}
