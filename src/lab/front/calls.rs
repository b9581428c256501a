//! What every way to the API has in common, once it is known who calls: the schema's check, and carrying out.

use std::collections::BTreeMap;

use serde_json::Value;

use super::core::Core;
use super::own_calls;
use super::site::SiteWorld;
use crate::contracts::Method;
use crate::lab::call::{Call, PveError, Reply};

/// The schema's own check; the values of the path are part of it but not of the parameters that go on.
pub(super) fn check(
    method: &Method,
    path: &BTreeMap<String, String>,
    given: &BTreeMap<String, Value>,
) -> Result<BTreeMap<String, String>, PveError> {
    let mut all = given.clone();
    all.extend(path.iter().map(|(name, value)| (name.clone(), Value::String(value.clone()))));
    match method.validate(&all) {
        Ok(mut params) => {
            params.retain(|name, _| !path.contains_key(name));
            Ok(params)
        }
        Err(errors) => Err(PveError { status: 400, message: "Parameter verification failed.".into(), errors }),
    }
}

/// Asks the front's own calls, then the world.
pub(super) fn carry_out(core: &Core, world: &mut dyn SiteWorld, call: &Call, version: &str) -> Result<Reply, PveError> {
    let own = own_calls::answer(core, call, version, &*world);
    let result = own.unwrap_or_else(|| world.handle(call));
    if result.is_ok() {
        own_calls::after(core, call);
    }
    result
}
