//! Reading the World as objects, and the words for amounts and times.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::act::Seen;
use super::object::{Guest, Node};
use super::resource::Resource;
use crate::engine::ports::{Unreadable, World};
use crate::model::failure::{Class, Failure};
use crate::model::ids::{NodeName, Vmid};
use crate::model::world::{Guard, Identity, Predicate};

fn shaped<T: DeserializeOwned>(resource: &Resource, value: &Value) -> Result<T, Failure> {
    T::deserialize(value).map_err(|e| Failure::new(Class::Internal, format!("read {resource}"), e.to_string()))
}

/// While planning it may be unknown.
pub async fn read<T: DeserializeOwned>(world: &dyn World, resource: Resource) -> Result<T, Unreadable> {
    let value = world.read(&resource.key()).await?.known(&resource.title())?;
    Ok(shaped(&resource, &value)?)
}

/// In a run, where nothing is unknown.
pub async fn live<T: DeserializeOwned>(world: &dyn World, resource: Resource) -> Result<T, Failure> {
    read(world, resource).await.map_err(settled)
}

/// An unknown is only for plans: in a run it is our own fault.
pub fn settled(error: Unreadable) -> Failure {
    match error {
        Unreadable::Failed(failure) => failure,
        Unreadable::Unknown(why) | Unreadable::Later(why) => {
            Failure::new(Class::Internal, "read the world in a run", why)
        }
    }
}

/// What a probe found, as an intent keeps it.
pub fn before<T: DeserializeOwned>(value: &Value) -> Result<T, Failure> {
    T::deserialize(value).map_err(|e| Failure::new(Class::Internal, "read what a probe found", e.to_string()))
}

/// The guest, or why there is nothing to act on.
pub async fn guest(world: &dyn World, vmid: Vmid) -> Result<Guest, Unreadable> {
    let found: Option<Guest> = read(world, Resource::Guest(vmid)).await?;
    let attempted = format!("look for guest {vmid}");
    let none = || Failure::new(Class::Precondition, attempted, "no node has it").remedy("check the VMID");
    Ok(found.ok_or_else(none)?)
}

/// The guest as it is now, if it is still the one that it was.
pub async fn still(world: &dyn World, before: &Guest) -> Result<Result<Guest, Seen>, Failure> {
    Ok(match live::<Option<Guest>>(world, Resource::Guest(before.vmid)).await? {
        None => Err(Seen::Strange(format!("{} is on no node", before.title()))),
        Some(now) if !now.is_same_as(before) => {
            Err(Seen::Strange(format!("{} is another guest now: {}", before.vmid, now.title())))
        }
        Some(now) => Ok(now),
    })
}

/// That nothing holds the guest.
pub fn unlocked(guest: &Guest, attempted: &str) -> Result<(), Failure> {
    let Some(lock) = &guest.lock else { return Ok(()) };
    let failure = Failure::new(Class::Locked, attempted, format!("{} is locked ({lock})", guest.title()));
    Err(failure.remedy(format!("wait until the {lock} has ended")))
}

/// The node, or that there is none of that name.
pub async fn node(world: &dyn World, name: &NodeName) -> Result<Node, Unreadable> {
    let found: Option<Node> = read(world, Resource::Node(name.clone())).await?;
    let attempted = format!("look for node {name}");
    let none = || Failure::new(Class::Precondition, attempted, "the site has no such node").remedy("check the name");
    Ok(found.ok_or_else(none)?)
}

/// What the API answers, as it comes: for what has no resource of its own.
pub async fn api(world: &dyn World, path: String, params: &[(&str, &str)]) -> Result<Value, Unreadable> {
    let params = params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    read(world, Resource::Api(path, params)).await
}

/// Whether a failed read may pass by itself, so that it says nothing about the object.
pub fn may_pass(failure: &Failure) -> bool {
    matches!(failure.class, Class::Transient | Class::Timeout | Class::Unreachable)
}

/// A node that cannot take part, in words.
pub fn unfit(node: &Node) -> Option<String> {
    match (node.online, node.maintenance) {
        (false, _) => Some(format!("{} is offline", node.name)),
        (true, true) => Some(format!("{} is in maintenance", node.name)),
        (true, false) => None,
    }
}

/// What makes the guest this one and no other under its number.
pub fn identity(guest: &Guest) -> Identity {
    let mut expect = vec![("/kind".to_owned(), json!(guest.kind))];
    match (&guest.uuid, &guest.rootfs) {
        (Some(uuid), _) => expect.push(("/uuid".to_owned(), json!(uuid))),
        (None, Some(rootfs)) => {
            expect.push(("/rootfs".to_owned(), json!(rootfs)));
            expect.push(("/macs".to_owned(), json!(guest.macs)));
        }
        (None, None) => expect.push(("/macs".to_owned(), json!(guest.macs))),
    }
    expect.push(("/name".to_owned(), json!(guest.name)));
    Identity { object: guest.title(), resource: Resource::Guest(guest.vmid).key(), expect }
}

/// A guard on a resource's member.
pub fn guard(text: String, resource: Resource, pointer: &str, predicate: Predicate, value: Value) -> Guard {
    Guard { text, resource: resource.key(), pointer: pointer.to_owned(), predicate, value }
}

/// That a target takes guests: two guards.
pub fn takes_guests(node: &NodeName) -> [Guard; 2] {
    let at = || Resource::Node(node.clone());
    [
        guard(format!("{node} is online"), at(), "/online", Predicate::Equals, json!(true)),
        guard(format!("{node} is not in maintenance"), at(), "/maintenance", Predicate::Equals, json!(false)),
    ]
}

/// `about 30 s`, `about 4 min`
pub fn about(seconds: u64) -> String {
    match seconds {
        0..=90 => format!("about {} s", seconds.div_ceil(5).max(1) * 5),
        _ => format!("about {} min", (seconds + 30) / 60),
    }
}

/// Milliseconds of a duration parameter: a number of them, or `90s`, `5m`, `4h` where a default was not converted.
pub fn duration(value: &Value) -> Option<Duration> {
    if let Some(ms) = value.as_f64() {
        return Some(Duration::from_millis(ms as u64));
    }
    let text = value.as_str()?.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().ok()?;
    let ms = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    Some(Duration::from_millis(number * ms))
}

/// A percentage: `15` or `15%`.
pub fn percent(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.trim().trim_end_matches('%').trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_and_times_are_read_in_each_spelling() {
        assert_eq!((percent(&json!(15)), percent(&json!("15%")), percent(&json!([]))), (Some(15.0), Some(15.0), None));
        assert_eq!(duration(&json!("3m")), duration(&json!(180_000)));
        assert_eq!(duration(&json!("3 weeks")), None);
        assert_eq!((about(28), about(3), about(240)), ("about 30 s".into(), "about 5 s".into(), "about 4 min".into()));
    }
}
