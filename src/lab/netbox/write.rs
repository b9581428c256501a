//! What changes something: one object or a list of them, all or none.

use serde_json::{Map, Value, json};

use super::check::{self, Wrong};
use super::kind::{Kind, Takes};
use super::store::{Row, Store};
use super::{Ask, Said, show};

/// Answers a changing request; what is refused has changed nothing.
pub fn answer(store: &mut Store, kind: Kind, id: Option<u64>, ask: &Ask) -> Said {
    let body: Value = match ask.body.is_empty() {
        true => json!({}),
        false => match serde_json::from_slice(&ask.body) {
            Ok(body) => body,
            Err(error) => return Said::detail(400, &format!("JSON parse error - {error}")),
        },
    };
    let mut next = store.clone();
    let said = match (ask.method.as_str(), id, &body) {
        ("POST", None, Value::Array(all)) => many(all, |item| create(&mut next, kind, item), 201),
        ("POST", None, item) => create(&mut next, kind, item),
        ("DELETE", Some(id), _) => delete(&mut next, kind, id, ask),
        ("DELETE", None, Value::Array(all)) => bulk_delete(&mut next, kind, all),
        ("PATCH" | "PUT", Some(id), item) => update(&mut next, kind, id, item, ask),
        ("PATCH" | "PUT", None, Value::Array(all)) => {
            let one = |item: &Value| match item["id"].as_u64() {
                Some(id) => update(&mut next, kind, id, item, &Ask { if_match: None, ..ask.clone() }),
                None => Said::new(400, json!({"id": ["This field is required."]})),
            };
            many(all, one, 200)
        }
        (method, ..) => Said::detail(405, &format!("Method \"{method}\" not allowed.")),
    };
    if said.changed {
        *store = next;
    }
    said
}

fn many(all: &[Value], mut one: impl FnMut(&Value) -> Said, good: u16) -> Said {
    let said: Vec<Said> = all.iter().map(&mut one).collect();
    if let Some(bad) = said.iter().find(|said| said.status != good) {
        if bad.status != 400 {
            return Said { changed: false, ..bad.clone() };
        }
        let each = said.iter().map(|said| if said.status == good { json!({}) } else { said.body.clone() });
        return Said::new(400, each.collect());
    }
    let changed = !said.is_empty();
    Said { changed, ..Said::new(good, said.into_iter().map(|said| said.body).collect()) }
}

/// The values of a body as they are kept.
fn read(store: &Store, kind: Kind, body: &Map<String, Value>) -> Result<Row, Wrong> {
    let (mut row, mut wrong) = (Row::new(), Wrong::new());
    for field in kind.fields() {
        let Some(given) = body.get(field.name) else { continue };
        match check::value(store, kind, field, given) {
            Ok(value) => _ = row.insert(field.name.into(), value),
            // It is the model that says it, of the object as a whole.
            Err(why) if why.starts_with("Unknown field name") => _ = wrong.insert("__all__".into(), json!([why])),
            Err(why) => _ = wrong.insert(field.name.into(), json!([why])),
        }
    }
    if wrong.is_empty() { Ok(row) } else { Err(wrong) }
}

fn object(body: &Value) -> Result<&Map<String, Value>, Wrong> {
    let what = "Invalid data. Expected a dictionary, but got something else.";
    body.as_object().ok_or_else(|| check::wrong("non_field_errors", what))
}

fn create(store: &mut Store, kind: Kind, body: &Value) -> Said {
    let body = match object(body) {
        Ok(body) => body,
        Err(wrong) => return Said::new(400, Value::Object(wrong)),
    };
    let missing = kind.fields().iter().filter(|field| field.required && !body.contains_key(field.name));
    let missing: Wrong = missing.map(|field| (field.name.to_owned(), json!(["This field is required."]))).collect();
    if !missing.is_empty() {
        return Said::new(400, Value::Object(missing));
    }
    let mut row = match read(store, kind, body) {
        Ok(row) => row,
        Err(wrong) => return Said::new(400, Value::Object(wrong)),
    };
    for field in kind.fields() {
        row.entry(field.name).or_insert_with(|| default(kind, field.name, field.takes));
    }
    let id = store.next_id(kind);
    if let Err(wrong) = check::object(store, kind, id, &row, None) {
        return Said::new(400, Value::Object(wrong));
    }
    store.put(kind, id, row);
    Said { changed: true, etag: store.etag(kind, id), ..Said::new(201, show::full(store, kind, id)) }
}

fn default(kind: Kind, name: &str, takes: Takes) -> Value {
    match (kind, name, takes) {
        (_, _, Takes::Choice(choices)) => json!(choices[0]),
        (Kind::Interface, "enabled", _) => json!(true),
        (_, "weight", _) => json!(100),
        (_, _, Takes::Bool) => json!(false),
        (_, _, Takes::Text { .. }) | (_, "comments", _) => json!(""),
        (_, _, Takes::Custom) => json!({}),
        _ => Value::Null,
    }
}

/// Another has changed it since it was read.
fn is_stale(store: &Store, kind: Kind, id: u64, ask: &Ask) -> Option<Said> {
    let given = ask.if_match.as_deref().filter(|tag| *tag != "*")?;
    let now = store.etag(kind, id)?;
    let fits = given.split(',').any(|tag| tag.trim() == now);
    (!fits).then(|| Said { etag: Some(now), ..Said::detail(412, "The object has been modified since it was read.") })
}

fn update(store: &mut Store, kind: Kind, id: u64, body: &Value, ask: &Ask) -> Said {
    let Some(was) = store.get(kind, id).cloned() else { return none(kind) };
    if let Some(stale) = is_stale(store, kind, id, ask) {
        return stale;
    }
    let body = match object(body) {
        Ok(body) => body,
        Err(wrong) => return Said::new(400, Value::Object(wrong)),
    };
    let given = match read(store, kind, body) {
        Ok(row) => row,
        Err(wrong) => return Said::new(400, Value::Object(wrong)),
    };
    let mut row = was.clone();
    for (name, value) in given {
        match (row.get_mut(&name), value) {
            // Custom fields that are not named stay.
            (Some(Value::Object(own)), Value::Object(values)) => own.extend(values),
            (_, value) => _ = row.insert(name, value),
        }
    }
    if let Err(wrong) = check::object(store, kind, id, &row, Some(&was)) {
        return Said::new(400, Value::Object(wrong));
    }
    store.put(kind, id, row);
    Said { changed: true, etag: store.etag(kind, id), ..Said::new(200, show::full(store, kind, id)) }
}

fn none(kind: Kind) -> Said {
    Said::detail(404, &format!("No {} matches the given query.", kind.model()))
}

fn delete(store: &mut Store, kind: Kind, id: u64, ask: &Ask) -> Said {
    if store.get(kind, id).is_none() {
        return none(kind);
    }
    if let Some(stale) = is_stale(store, kind, id, ask) {
        return stale;
    }
    match store.remove(kind, id) {
        Ok(()) => Said { changed: true, ..Said::new(204, Value::Null) },
        Err(why) => Said::detail(409, &why),
    }
}

fn bulk_delete(store: &mut Store, kind: Kind, all: &[Value]) -> Said {
    for item in all {
        let Some(id) = item["id"].as_u64().filter(|id| store.get(kind, *id).is_some()) else {
            return Said::new(400, json!([{"id": ["This object does not exist."]}]));
        };
        if let Err(why) = store.remove(kind, id) {
            return Said::detail(409, &why);
        }
    }
    Said { changed: !all.is_empty(), ..Said::new(204, Value::Null) }
}
