//! The names that an expression sees, and the marking of unknown ones.
//!
//! Values are converted to minijinja's once, when they are put in; evaluations share them. Minijinja has no notion
//! of an unknown value, so the objects that hold names mark, for the evaluation that runs on this thread, that
//! one was handed out.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr, Serde};
use minijinja::{Error, State, Value};

use crate::model::nearest::nearest;

/// What stands behind a name.
#[derive(Debug, Clone, PartialEq)]
pub enum Datum {
    Known(serde_json::Value),
    Unknown,
    /// Names below this one, each known or not by itself.
    Map(BTreeMap<String, Datum>),
}

impl From<serde_json::Value> for Datum {
    fn from(value: serde_json::Value) -> Self {
        Self::Known(value)
    }
}

/// The names of one evaluation. A clone shares all values and costs a few allocations.
#[derive(Clone, Default)]
pub struct Scope {
    names: Arc<Names>,
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names.0.keys()).finish()
    }
}

impl Scope {
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a name in; one that is there already is replaced.
    pub fn insert(&mut self, name: impl Into<String>, datum: Datum) {
        Arc::make_mut(&mut self.names).0.insert(name.into().into(), Entry::from(datum));
    }

    /// Puts `key` below `name` (the outputs of one more step below `steps`) without converting its siblings again.
    /// What was not a map of names becomes one.
    pub fn insert_in(&mut self, name: &str, key: &str, datum: impl Into<Ready>) {
        let names = &mut Arc::make_mut(&mut self.names).0;
        let entry = names.entry(name.into()).or_insert_with(|| Entry::Map(Arc::default()));
        if !matches!(entry, Entry::Map(_)) {
            *entry = Entry::Map(Arc::default());
        }
        if let Entry::Map(map) = entry {
            Arc::make_mut(map).0.insert(key.into(), datum.into().0);
        }
    }

    pub(super) fn root(&self) -> Value {
        Value::from_dyn_object(Arc::clone(&self.names))
    }

    /// The first of `names` that leads nowhere: how many of them were found, and the nearest name that exists there.
    pub(super) fn missing(&self, names: &[String]) -> Option<(usize, Option<String>)> {
        let mut entry = Entry::Map(Arc::clone(&self.names));
        for (depth, name) in names.iter().enumerate() {
            entry = match entry {
                Entry::Unknown => return None,
                Entry::Map(map) => match map.0.get(name.as_str()) {
                    Some(next) => next.clone(),
                    None => return Some((depth, nearest(name, map.0.keys().map(AsRef::as_ref)))),
                },
                Entry::Known(value) => match value.get_attr(name) {
                    Ok(next) if !next.is_undefined() => Entry::Known(next),
                    _ => {
                        let keys: Vec<String> =
                            value.try_iter().map(|k| k.map(|k| k.to_string()).collect()).unwrap_or_default();
                        return Some((depth, nearest(name, keys.iter().map(String::as_str))));
                    }
                },
            };
        }
        None
    }
}

/// A datum that is converted already: putting it into one more scope costs nothing, however large it is.
#[derive(Debug, Clone)]
pub struct Ready(Entry);

impl From<Datum> for Ready {
    fn from(datum: Datum) -> Self {
        Self(datum.into())
    }
}

#[derive(Debug, Clone)]
enum Entry {
    Known(Value),
    Unknown,
    Map(Arc<Names>),
}

impl From<Datum> for Entry {
    fn from(datum: Datum) -> Self {
        match datum {
            Datum::Known(value) => Self::Known(Value::from(Serde(&value))),
            Datum::Unknown => Self::Unknown,
            Datum::Map(map) => {
                Self::Map(Arc::new(Names(map.into_iter().map(|(name, datum)| (name.into(), datum.into())).collect())))
            }
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Names(BTreeMap<Arc<str>, Entry>);

impl Object for Names {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        Some(match self.0.get(key)? {
            Entry::Known(value) => value.clone(),
            Entry::Map(map) => Value::from_dyn_object(Arc::clone(map)),
            Entry::Unknown => {
                TOUCHED.set(true);
                Value::from_object(Unknown)
            }
        })
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.0.keys().map(|k| Value::from(Arc::clone(k))).collect())
    }
}

/// What is handed out for an unknown value. The evaluation is marked already; this only has to go along with
/// whatever is done to it.
#[derive(Debug)]
struct Unknown;

impl Object for Unknown {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, _key: &Value) -> Option<Value> {
        Some(Value::from_dyn_object(Arc::clone(self)))
    }

    fn call(self: &Arc<Self>, _state: &mut State<'_, '_>, _args: &[Value]) -> Result<Value, Error> {
        Ok(Value::from_dyn_object(Arc::clone(self)))
    }

    fn call_method(
        self: &Arc<Self>,
        _state: &mut State<'_, '_>,
        _method: &str,
        _args: &[Value],
    ) -> Result<Value, Error> {
        Ok(Value::from_dyn_object(Arc::clone(self)))
    }
}

thread_local! {
    /// Whether the evaluation that runs on this thread was handed an unknown value.
    static TOUCHED: Cell<bool> = const { Cell::new(false) };
}

/// Runs one evaluation and says whether it touched an unknown value.
pub(super) fn watch<T>(evaluate: impl FnOnce() -> T) -> (T, bool) {
    let outer = TOUCHED.replace(false);
    let result = evaluate();
    (result, TOUCHED.replace(outer))
}
