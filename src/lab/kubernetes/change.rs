//! What changes something: create, replace, patch, delete, evict.

use serde_json::{Value, json};

use super::{Ask, Place, Said, shown};
use crate::lab::world::World;
use crate::lab::world::kubernetes::{Key, is_ending, is_selected};

fn body(ask: &Ask) -> Result<Value, Said> {
    if ask.body.is_empty() {
        return Ok(json!({}));
    }
    serde_json::from_slice(&ask.body).map_err(|e| Said::failed(400, "BadRequest", format!("error decoding body: {e}")))
}

/// `?dryRun=All` is answered and not done.
fn is_dry(ask: &Ask) -> bool {
    ask.query("dryRun").is_some()
}

pub(super) fn create(world: &mut World, place: &Place, ask: &Ask) -> Said {
    let mut object = match body(ask) {
        Ok(object) => object,
        Err(said) => return said,
    };
    let Some(name) = object["metadata"]["name"].as_str().map(str::to_owned) else {
        return Said::failed(422, "Invalid", "metadata.name: Required value: name or generateName is required");
    };
    let key = place.key(&name);
    if world.kubernetes().objects.contains_key(&key) {
        return Said::failed(409, "AlreadyExists", format!("{} {name:?} already exists", place.resource.called()));
    }
    if let Some(namespace) = &place.namespace {
        if !world.kubernetes().objects.contains_key(&Key::new("namespaces", "", namespace)) {
            return Said::failed(404, "NotFound", format!("namespaces {namespace:?} not found"));
        }
        object["metadata"]["namespace"] = json!(namespace);
    }
    object["metadata"]["creationTimestamp"] = json!(world.now_text());
    object["metadata"]["uid"] = json!(world.kubernetes_mut().uid());
    if place.resource.stored() == "pods" {
        // What has a node runs at once; all else waits for the scheduler.
        let on = object["spec"]["nodeName"].is_string();
        let (phase, ready) = if on { ("Running", "True") } else { ("Pending", "False") };
        object["status"] = json!({"phase": phase, "conditions": [{"type": "Ready", "status": ready}]});
    }
    if is_dry(ask) {
        return Said { changed: false, ..Said::changed(201, object) };
    }
    let made = world.kubernetes_mut().put(key, object);
    let made = shown(world, place.resource, &made);
    Said::changed(201, made)
}

pub(super) fn replace(world: &mut World, place: &Place, name: &str, ask: &Ask) -> Said {
    let object = match body(ask) {
        Ok(object) => object,
        Err(said) => return said,
    };
    if object["metadata"]["name"] != name {
        return Said::failed(
            400,
            "BadRequest",
            format!("the name of the object does not match the name on the URL ({name})"),
        );
    }
    keep(world, place, name, ask, |_| object)
}

pub(super) fn patch(world: &mut World, place: &Place, name: &str, ask: &Ask) -> Said {
    // A strategic merge differs for lists alone, of which the lab keeps none that are patched.
    if !ask.content_type.starts_with("application/merge-patch+json")
        && !ask.content_type.starts_with("application/strategic-merge-patch+json")
    {
        return Said::failed(415, "UnsupportedMediaType", "the lab takes merge patches alone");
    }
    match body(ask) {
        Ok(patch) => keep(world, place, name, ask, |mut now| {
            merge(&mut now, &patch);
            now
        }),
        Err(said) => said,
    }
}

/// RFC 7386
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, value) in fields {
        if value.is_null() {
            target.as_object_mut().into_iter().for_each(|target| drop(target.shift_remove(name)));
        } else {
            merge(&mut target[name], value);
        }
    }
}

/// Keeps what an object is to be, unless it is another than the client has seen.
fn keep(world: &mut World, place: &Place, name: &str, ask: &Ask, change: impl FnOnce(Value) -> Value) -> Said {
    let key = place.key(name);
    let Some(now) = world.kubernetes().objects.get(&key).cloned() else {
        return Said::not_found(place.resource, name);
    };
    let mut next = change(now.clone());
    let seen = &next["metadata"]["resourceVersion"];
    if !seen.is_null() && *seen != now["metadata"]["resourceVersion"] {
        let message = format!(
            "Operation cannot be fulfilled on {} {name:?}: the object has been modified; please apply your changes to the \
             latest version and try again",
            place.resource.called()
        );
        return Said::failed(409, "Conflict", message);
    }
    for name in ["uid", "creationTimestamp", "name", "namespace", "resourceVersion"] {
        if !now["metadata"][name].is_null() {
            next["metadata"][name] = now["metadata"][name].clone();
        }
    }
    // What is written to an object's own path leaves its status, and what follows from its machine.
    next["status"] = now["status"].clone();
    if place.resource.stored() == "nodes" {
        tidy(&mut next);
    }
    next["kind"] = now["kind"].clone();
    next["apiVersion"] = now["apiVersion"].clone();
    let same = next == now;
    let kept = if same || is_dry(ask) { next } else { world.kubernetes_mut().put(key, next) };
    let answer = shown(world, place.resource, &kept);
    if same || is_dry(ask) { Said::ok(answer) } else { Said::changed(200, answer) }
}

/// The taint of a cordoned node is the controller's; what is false is left out.
fn tidy(node: &mut Value) {
    let schedulable = node["spec"]["unschedulable"] != true;
    if let Some(spec) = node["spec"].as_object_mut() {
        spec.shift_remove("taints");
        if schedulable {
            spec.shift_remove("unschedulable");
        }
    }
}

pub(super) fn delete(world: &mut World, place: &Place, name: &str, ask: &Ask) -> Said {
    let key = place.key(name);
    let Some(object) = world.kubernetes().objects.get(&key).cloned() else {
        return Said::not_found(place.resource, name);
    };
    if is_dry(ask) {
        return Said::ok(object);
    }
    if place.resource.stored() == "pods" {
        let ending = world.end_pod(&key).unwrap_or_default();
        let answer = shown(world, place.resource, &ending);
        return Said::changed(200, answer);
    }
    let wanted = match body(ask) {
        Ok(options) => options["preconditions"]["uid"].clone(),
        Err(said) => return said,
    };
    let uid = &object["metadata"]["uid"];
    if !wanted.is_null() && wanted != *uid {
        let cause = format!("the UID in the precondition ({wanted}) does not match the UID in record ({uid})");
        return Said::failed(409, "Conflict", format!("Operation cannot be fulfilled on {name:?}: {cause}"));
    }
    world.kubernetes_mut().objects.remove(&key);
    if place.resource.stored() == "nodes" {
        world.node_deleted(name);
    }
    Said::changed(200, json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}))
}

/// Ends a pod unless a budget would be broken.
pub(super) fn evict(world: &mut World, place: &Place, name: &str, ask: &Ask) -> Said {
    let body = match body(ask) {
        Ok(body) => body,
        Err(said) => return said,
    };
    if body["kind"] != "Eviction"
        || !["policy/v1", "policy/v1beta1"].iter().any(|version| body["apiVersion"] == *version)
    {
        return Said::failed(400, "BadRequest", "no kind \"Eviction\" is registered for the version of the body");
    }
    let key = place.key(name);
    let Some(pod) = world.kubernetes().objects.get(&key).cloned() else {
        return Said::not_found(place.resource, name);
    };
    let wanted = &body["deleteOptions"]["preconditions"]["uid"];
    let uid = &pod["metadata"]["uid"];
    if !wanted.is_null() && wanted != uid {
        let cause = format!("the UID in the precondition ({wanted}) does not match the UID in record ({uid})");
        let message = format!("Operation cannot be fulfilled on pods {name:?}: StorageError: {cause}");
        return Said::failed(409, "Conflict", message);
    }
    let finished = ["Succeeded", "Failed"].iter().any(|phase| pod["status"]["phase"] == *phase);
    let budgets: Vec<Value> = world
        .kubernetes()
        .of("policy/poddisruptionbudgets")
        .filter(|(of, budget)| of.namespace == key.namespace && is_selected(&budget["spec"]["selector"], &pod))
        .map(|(_, budget)| world.shown_budget(budget))
        .collect();
    if !finished && !is_ending(&pod) {
        if budgets.len() > 1 {
            let message =
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
            return Said::failed(500, "InternalError", message);
        }
        if let Some(budget) = budgets.iter().find(|budget| budget["status"]["disruptionsAllowed"] == 0) {
            return violates(budget);
        }
    }
    if !is_dry(ask) {
        world.end_pod(&key);
    }
    let done = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    Said { changed: !is_dry(ask), ..Said::changed(201, done) }
}

fn violates(budget: &Value) -> Said {
    let message = "Cannot evict pod as it would violate the pod's disruption budget.";
    let mut said = Said::failed(429, "TooManyRequests", message);
    let status = &budget["status"];
    let cause = format!(
        "The disruption budget {} needs {} healthy pods and has {} currently",
        budget["metadata"]["name"].as_str().unwrap_or_default(),
        status["desiredHealthy"],
        status["currentHealthy"]
    );
    said.body["details"] = json!({"causes": [{"reason": "DisruptionBudget", "message": cause}]});
    said
}
