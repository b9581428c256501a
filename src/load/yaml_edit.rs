//! Sets values in a YAML text and leaves everything else as it is written: comments, order, quotes, blank lines.
//!
//! What is edited is found by the parser's places; the new text is parsed again and must be the old values with the one
//! that was set, or nothing is handed out. What cannot be done safely is refused with its reason, never guessed.

mod find;
mod spell;
#[cfg(test)]
mod tests;

use serde_json::Value as Json;

use super::yaml;
use find::{Node, What};

/// Why a value is not set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    #[error("line {line}: this is not YAML: {why}")]
    Syntax { line: usize, why: String },
    #[error("{path:?} is no path: {why}")]
    Path { path: String, why: &'static str },
    /// `at` is the part of the path that was followed.
    #[error("{at}: {why}")]
    Refused { at: String, why: String },
}

/// The words of a path: `spec.nodes.0."a.b"`. A number means a place in a list, a key in a map.
///
/// # Errors
/// An empty word, or a quote that is not closed.
pub fn path_of(path: &str) -> Result<Vec<String>, EditError> {
    let bad = |why| EditError::Path { path: path.to_owned(), why };
    let mut words = Vec::new();
    let mut rest = path;
    loop {
        let (word, after) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let (word, after) = quoted.split_once('"').ok_or_else(|| bad("a quote is not closed"))?;
                (word, after.strip_prefix('.').or(after.is_empty().then_some("")).map(|rest| (rest, after.is_empty())))
            }
            None => match rest.split_once('.') {
                Some((word, rest)) => (word, Some((rest, false))),
                None => (rest, Some(("", true))),
            },
        };
        let (next, last) = after.ok_or_else(|| bad("a point or the end is expected behind a quote"))?;
        if word.is_empty() {
            return Err(bad("a word is empty"));
        }
        words.push(word.to_owned());
        if last {
            return Ok(words);
        }
        rest = next;
    }
}

/// The value at a path; `None` where there is nothing.
///
/// # Errors
/// The text cannot be read or edited.
pub fn get(text: &str, path: &str) -> Result<Option<Json>, EditError> {
    let path = path_of(path)?;
    let tree = find::tree(text)?;
    let mut at = tree.as_ref().map(Node::json);
    for word in &path {
        at = match at {
            Some(Json::Object(mut map)) => map.remove(word),
            Some(Json::Array(mut list)) => {
                let place = word.parse().ok().filter(|place: &usize| *place < list.len());
                place.map(|place| list.swap_remove(place))
            }
            _ => None,
        };
    }
    Ok(at)
}

/// The values of each document, in their order. What is wrong is told by its line alone: the text may be secret.
///
/// # Errors
/// One of them is not YAML.
pub fn documents(text: &str) -> Result<Vec<Json>, EditError> {
    // A line that begins a document stands at the margin, where no text in a value can be.
    let mut parts = vec![(1, String::new())];
    for (n, line) in text.lines().enumerate() {
        if line.trim_end() == "---" {
            parts.push((n + 2, String::new()));
        } else if let Some((_, part)) = parts.last_mut() {
            part.push_str(line);
            part.push('\n');
        }
    }
    let is_empty = |part: &str| part.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
    parts.retain(|(_, part)| !is_empty(part));
    let read = |(line, part): (usize, String)| {
        let why = "the document that begins here cannot be read".to_owned();
        yaml::typed(&part).map_err(|_| EditError::Syntax { line, why })
    };
    parts.into_iter().map(read).collect()
}

/// The text with the value at the path; the same text where it is so already. A key that is not there is added to its
/// map, with the maps on the way to it.
///
/// # Errors
/// The text is not YAML, the path is none, or what it leads to cannot be edited safely.
pub fn set(text: &str, path: &str, value: &Json) -> Result<String, EditError> {
    let words = path_of(path)?;
    let tree = find::tree(text)?;
    let before = tree.as_ref().map_or(Json::Null, Node::json);
    let mut wanted = before.clone();
    let edited = match &tree {
        None => first_key(text, &words, value)?,
        Some(root) => edit(text, root, &words, value)?,
    };
    if edited == text {
        return Ok(edited);
    }
    put(&mut wanted, &words, value);
    let refused = |why: &str| EditError::Refused { at: path.to_owned(), why: why.to_owned() };
    let after = find::tree(&edited)
        .map_err(|e| refused(&format!("the file is written in a way that cannot be edited safely ({e})")))?;
    if after.as_ref().map(Node::json) != Some(wanted) {
        return Err(refused("the file is written in a way that cannot be edited safely: edit it by hand"));
    }
    Ok(edited)
}

/// What the values are once it is set; the way there was walked already.
fn put(at: &mut Json, words: &[String], value: &Json) {
    let Some((word, rest)) = words.split_first() else {
        *at = value.clone();
        return;
    };
    if let Json::Array(list) = at {
        if let Some(item) = word.parse::<usize>().ok().and_then(|place| list.get_mut(place)) {
            put(item, rest, value);
        }
        return;
    }
    if !at.is_object() {
        *at = Json::Object(serde_json::Map::new());
    }
    if let Json::Object(map) = at {
        put(map.entry(word.clone()).or_insert(Json::Null), rest, value);
    }
}

/// Maps of one key each round the value.
fn nested(words: &[String], value: &Json) -> Json {
    words.iter().rev().fold(value.clone(), |inner, word| Json::Object(std::iter::once((word.clone(), inner)).collect()))
}

fn line_end(text: &str) -> &'static str {
    if text.contains("\r\n") { "\r\n" } else { "\n" }
}

/// Into a file of nothing but comments.
fn first_key(text: &str, words: &[String], value: &Json) -> Result<String, EditError> {
    let [first, rest @ ..] = words else { return Ok(text.to_owned()) };
    let end = line_end(text);
    let gap = if text.is_empty() || text.ends_with('\n') { "" } else { end };
    Ok(format!("{text}{gap}{}: {}{end}", spell::key(first), spell::flow(&nested(rest, value))))
}

/// The text with one more item at the end of the list at the path.
///
/// # Errors
/// The text is not YAML, there is no list at the path, or it cannot be edited safely.
pub fn append(text: &str, path: &str, value: &Json) -> Result<String, EditError> {
    let words = path_of(path)?;
    let refused = |why: &str| EditError::Refused { at: path.to_owned(), why: why.to_owned() };
    let tree = find::tree(text)?.ok_or_else(|| refused("there is nothing"))?;
    let mut wanted = tree.json();
    let mut node = &tree;
    for word in &words {
        node.editable().map_err(refused)?;
        node = child(node, word).ok_or_else(|| refused("there is no list"))?;
    }
    node.editable().map_err(refused)?;
    let edited = item(text, node, value).map_err(|why| refused(&why))?;
    let unsafe_ = || refused("the file is written in a way that cannot be edited safely: edit it by hand");
    let list = words.iter().try_fold(&mut wanted, |at, word| match at {
        Json::Object(map) => map.get_mut(word),
        Json::Array(list) => word.parse().ok().and_then(|place: usize| list.get_mut(place)),
        _ => None,
    });
    list.and_then(Json::as_array_mut).ok_or_else(unsafe_)?.push(value.clone());
    let after = find::tree(&edited).map_err(|_| unsafe_())?;
    if after.as_ref().map(Node::json) == Some(wanted) { Ok(edited) } else { Err(unsafe_()) }
}

/// What a key or a place leads to; nothing where it is there twice.
fn child<'n>(node: &'n Node, word: &str) -> Option<&'n Node> {
    match &node.what {
        What::Map { entries, .. } => {
            let mut found = entries.iter().filter(|(key, _)| key.text() == Some(word));
            found.next().filter(|_| found.next().is_none()).map(|(_, inner)| inner)
        }
        What::Seq { items, .. } => word.parse().ok().and_then(|place: usize| items.get(place)),
        _ => None,
    }
}

fn edit(text: &str, root: &Node, words: &[String], value: &Json) -> Result<String, EditError> {
    let mut node = root;
    for (i, word) in words.iter().enumerate() {
        let at = || if i == 0 { "the document".to_owned() } else { words[..i].join(".") };
        let refused = |why: String| EditError::Refused { at: at(), why };
        node.editable().map_err(|why| refused(why.to_owned()))?;
        match &node.what {
            What::Map { entries, .. } => {
                if entries.iter().any(|(key, _)| key.text() == Some("<<")) {
                    return Err(refused("it has a merge key (`<<`): what it holds stands elsewhere".into()));
                }
                let mut found = entries.iter().filter(|(key, _)| key.text() == Some(word));
                match (found.next(), found.next()) {
                    (Some(_), Some(_)) => return Err(refused(format!("the key {word:?} is there twice"))),
                    (Some((_, inner)), None) => node = inner,
                    (None, _) => return add(text, node, word, &nested(&words[i + 1..], value)).map_err(refused),
                }
            }
            What::Seq { items, .. } => match word.parse().ok().and_then(|place: usize| items.get(place)) {
                Some(inner) => node = inner,
                None => return Err(refused(format!("a list of {} has no place {word:?}", items.len()))),
            },
            What::Scalar { .. } if node.json() == Json::Null && i > 0 => {
                return replace(text, node, &nested(&words[i..], value)).map_err(refused);
            }
            What::Scalar { .. } => return Err(refused("it is a single value and has no keys".into())),
            What::Alias => return Err(refused("it is an alias: what it holds stands elsewhere".into())),
        }
    }
    if node.json() == *value && node.editable().is_ok() {
        return Ok(text.to_owned());
    }
    let refused = |why: String| EditError::Refused { at: words.join("."), why };
    node.editable().map_err(|why| refused(why.to_owned()))?;
    replace(text, node, value).map_err(refused)
}

fn splice(text: &str, start: usize, end: usize, new: &str) -> String {
    format!("{}{new}{}", &text[..start], &text[end..])
}

/// Puts another value in the place of one.
fn replace(text: &str, node: &Node, value: &Json) -> Result<String, String> {
    let What::Scalar { style, .. } = &node.what else {
        return match node.is_flow() {
            true => Ok(splice(text, node.start, node.end, &spell::flow(value))),
            false => Err("it is a map or a list over several lines: set what is in it, one by one".into()),
        };
    };
    let new = spell::like(value, *style);
    let Some(sign) = node.sign else {
        // The document's only value, or in a list in brackets.
        return if node.start < node.end && *style != yaml::Style::Block {
            Ok(splice(text, node.start, node.end, &new))
        } else {
            Err("there is no place to write it at".into())
        };
    };
    if node.start == node.end && *style == yaml::Style::Plain {
        return Ok(splice(text, sign, sign, &format!(" {new}")));
    }
    if *style != yaml::Style::Block {
        return Ok(splice(text, node.start, node.end, &new));
    }
    // The header (`|`, `>-`) stands in the line of the key; the line ends behind the text stay.
    let head = sign + text[sign..].len() - text[sign..].trim_start_matches(' ').len();
    let header = text[head..].lines().next().unwrap_or_default();
    if header.contains('#') {
        return Err("a comment stands behind the sign of its block: edit it by hand".into());
    }
    let end = text[..node.end].trim_end().len().max(head + header.trim_end().len());
    Ok(splice(text, head, end, &new))
}

/// Adds a key that is not there behind the last one.
fn add(text: &str, map: &Node, word: &str, value: &Json) -> Result<String, String> {
    let What::Map { entries, flow } = &map.what else { return Err("it is no map".into()) };
    let new = format!("{}: {}", spell::key(word), spell::flow(value));
    let Some((first, last)) = entries.first().zip(entries.last()).map(|((key, _), (_, value))| (key, value)) else {
        return Ok(splice(text, map.start + 1, map.start + 1, &new));
    };
    if *flow {
        let end = last.last_leaf().end;
        let whole = if last.is_flow() { last.end } else { end };
        return match last.start == last.end {
            true => Err("its last key has no value: edit it by hand".into()),
            false => Ok(splice(text, whole, whole, &format!(", {new}"))),
        };
    }
    let line = end_of_lines(text, last)?;
    let eol = line_end(text);
    Ok(splice(text, line, line, &format!("{eol}{}{new}", " ".repeat(first.column))))
}

/// Adds an item behind the last one.
fn item(text: &str, list: &Node, value: &Json) -> Result<String, String> {
    let What::Seq { items, flow } = &list.what else { return Err("it is no list".into()) };
    let new = spell::flow(value);
    let Some((first, last)) = items.first().zip(items.last()) else {
        return Ok(splice(text, list.start + 1, list.start + 1, &new));
    };
    if *flow {
        let end = if last.is_flow() { last.end } else { last.last_leaf().end };
        return Ok(splice(text, end, end, &format!(", {new}")));
    }
    let sign = first.sign.ok_or("the sign of its first item is not found")? - 1;
    let column = sign - text[..sign].rfind('\n').map_or(0, |at| at + 1);
    let line = end_of_lines(text, last)?;
    let eol = line_end(text);
    Ok(splice(text, line, line, &format!("{eol}{}- {new}", " ".repeat(column))))
}

/// The end of the last line that a value stands on, a comment behind it included.
fn end_of_lines(text: &str, value: &Node) -> Result<usize, String> {
    let leaf = value.last_leaf();
    let mut end = if leaf.is_flow() { leaf.end } else { leaf.start.max(leaf.end) };
    if let What::Scalar { style: yaml::Style::Block, .. } = leaf.what {
        let content = text[leaf.start..leaf.end].trim_end();
        let header = leaf.sign.map_or("", |sign| text[sign..].lines().next().unwrap_or_default());
        if content.is_empty() || header.contains('+') {
            return Err("its last value is a block whose end cannot be told: edit it by hand".into());
        }
        end = leaf.start + content.len();
    }
    let line = end + text[end..].find('\n').unwrap_or(text.len() - end);
    Ok(if text[..line].ends_with('\r') { line - 1 } else { line })
}
