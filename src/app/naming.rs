//! Nodes and guests that parameters name: each must exist, and a guest's name becomes its VMID.
//!
//! Those of the run, those that calls hand over as they are written, and the names of guests that steps do. A VMID in a
//! step is left to it: a step before it may make that guest. What an expression gives is known later, and is handed on
//! as it is: a VMID mostly, since the values that it is made of were settled here.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::error::{AppError, Exit};
use super::open::OpenSite;
use crate::engine::ports::{Actions, Observed, World as _};
use crate::engine::world::LiveWorld;
use crate::model::param::{Param, ValueType};
use crate::model::runbook::{Runbook, Template, Verb};

/// Settles a value that was given for the parameter which the text names, with what the site has of that kind.
type Settle = fn(&str, &mut Value, &Map<String, Value>) -> Result<(), AppError>;

/// What is done with a value, and for which parameter.
type See<'a> = &'a mut dyn FnMut(&str, &mut Value) -> Result<(), AppError>;

/// Looks every name up at the site; nothing is read where nothing is named.
///
/// # Errors
/// There is no such node or guest, a name is that of several guests, or the site cannot be read.
pub async fn resolve(
    site: &OpenSite,
    runbook: &mut Runbook,
    params: &mut BTreeMap<String, Value>,
) -> Result<(), AppError> {
    let world = LiveWorld(site.source.clone());
    let kinds: [(ValueType, &str, Settle); 2] =
        [(ValueType::Node, "proxmox/nodes", known_node), (ValueType::Guest, "proxmox/guests", guest_id)];
    for (ty, resource, settle) in kinds {
        let mut is_named = false;
        each(runbook, params, &site.actions, ty, &mut |_, _| {
            is_named = true;
            Ok(())
        })?;
        if is_named && let Observed::Known(known) = world.read(&resource.into()).await? {
            let known = known.as_object().cloned().unwrap_or_default();
            each(runbook, params, &site.actions, ty, &mut |param, value| settle(param, value, &known))?;
        }
    }
    Ok(())
}

/// Every value of that type: of the run's own parameters, and of those of calls and steps that stand in the runbook as
/// they are.
fn each(
    runbook: &mut Runbook,
    params: &mut BTreeMap<String, Value>,
    actions: &Actions,
    ty: ValueType,
    see: See<'_>,
) -> Result<(), AppError> {
    for param in &runbook.params {
        if let Some(value) = params.get_mut(&param.name) {
            value_of(param, ty, &format!("parameter {}", param.name), value, see)?;
        }
    }
    let taken: BTreeMap<String, Vec<Param>> =
        runbook.procedures.iter().map(|(name, procedure)| (name.clone(), procedure.params.clone())).collect();
    let mut result = Ok(());
    runbook.each_step_mut(&mut |step| {
        let mut only_names = |what: &str, value: &mut Value| if is_name(value) { see(what, value) } else { Ok(()) };
        let (of, with, params, see): (_, _, _, See<'_>) = match &mut step.verb {
            Verb::Call { procedure, with } => {
                let params = taken.get(procedure).map(Vec::as_slice).unwrap_or_default();
                (procedure, with, params, &mut *see)
            }
            Verb::Uses { action, with } if ty == ValueType::Guest => {
                let params = actions.get(action).map(|action| action.spec().params.as_slice()).unwrap_or_default();
                (action, with, params, &mut only_names)
            }
            _ => return,
        };
        for param in params {
            let given = with.iter_mut().find(|(name, _)| *name == param.name);
            if let Some((_, template)) = given.filter(|_| result.is_ok()) {
                let what = format!("step {}: parameter {} of {of}", step.id, param.name);
                result = template_of(param, ty, &what, template, see);
            }
        }
    });
    result
}

fn template_of(
    param: &Param,
    ty: ValueType,
    what: &str,
    template: &mut Template,
    see: See<'_>,
) -> Result<(), AppError> {
    match template {
        Template::Literal(value) => value_of(param, ty, what, value, see),
        Template::List(items) if param.items == Some(ty) => items.iter_mut().try_for_each(|item| match item {
            Template::Literal(value) => see(what, value),
            _ => Ok(()),
        }),
        _ => Ok(()),
    }
}

fn value_of(param: &Param, ty: ValueType, what: &str, value: &mut Value, see: See<'_>) -> Result<(), AppError> {
    match value {
        Value::Null => Ok(()),
        Value::Array(items) if param.items == Some(ty) => items.iter_mut().try_for_each(|item| see(what, item)),
        value if param.ty == ty => see(what, value),
        _ => Ok(()),
    }
}

/// A VMID may be written as a number or as its digits.
fn is_name(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.bytes().all(|byte| byte.is_ascii_digit()))
}

fn known_node(what: &str, value: &mut Value, nodes: &Map<String, Value>) -> Result<(), AppError> {
    let wanted = value.as_str().unwrap_or_default();
    if nodes.contains_key(wanted) {
        return Ok(());
    }
    let known: Vec<&str> = nodes.keys().map(String::as_str).collect();
    let mut hint = format!("nodes of this site: {}", known.join(", "));
    if let Some(near) = crate::expr::nearest(wanted, known.iter().copied()) {
        hint = format!("did you mean {near:?}? {hint}");
    }
    let message = format!("{what}: there is no node {wanted:?}");
    Err(AppError::new(Exit::NotFound, "site::unknown_node", message).hint(hint))
}

fn guest_id(what: &str, value: &mut Value, guests: &Map<String, Value>) -> Result<(), AppError> {
    let wanted = match &*value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let names = || guests.values().filter_map(|guest| guest["name"].as_str());
    let not_found = |why: String| {
        let near = crate::expr::nearest(&wanted, names()).map(|near| format!("did you mean {near:?}? "));
        let hint = format!("{}name a guest by its VMID or by a name that only it has", near.unwrap_or_default());
        AppError::new(Exit::NotFound, "site::unknown_guest", format!("{what}: {why}")).hint(hint)
    };
    let named: Vec<&String> = if guests.contains_key(&wanted) {
        vec![&wanted]
    } else {
        guests.iter().filter(|(_, guest)| guest["name"] == wanted.as_str()).map(|(id, _)| id).collect()
    };
    match named.as_slice() {
        [one] => {
            *value = one.parse::<u32>().map_or(Value::Null, Value::from);
            Ok(())
        }
        [] => Err(not_found(format!("there is no guest {wanted:?}"))),
        many => {
            let ids: Vec<&str> = many.iter().map(|s| s.as_str()).collect();
            Err(not_found(format!("{} guests are named {wanted:?}: {}", many.len(), ids.join(", "))))
        }
    }
}
