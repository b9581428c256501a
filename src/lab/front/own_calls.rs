//! Calls about access and version, which the front answers itself: the world knows no users.

use serde_json::{Value, json};

use super::core::Core;
use super::site::SiteWorld;
use crate::contracts::Verb;
use crate::lab::access::Memberships;
use crate::lab::call::{Call, PveError, Reply};
use crate::lab::world::pools;

/// `None` for a call that is the world's.
pub(super) fn answer(
    core: &Core,
    call: &Call,
    version: &str,
    world: &dyn SiteWorld,
) -> Option<Result<Reply, PveError>> {
    match (call.verb, call.template.as_str()) {
        (Verb::Get, "/access/ticket") => Some(Ok(Reply::read(Value::Null))),
        (Verb::Post, "/access/ticket") => Some(login(core, call, version)),
        (Verb::Get, "/access/permissions") => Some(permissions(core, call, version, &world.memberships())),
        (Verb::Get, "/version") => Some(Ok(Reply::read(about(version)))),
        (Verb::Get, _) => core.access.show(call, major(version)),
        (_, template) if template.starts_with("/access/") => match world.check_quorum() {
            Ok(()) => core.access.change(call, major(version)),
            Err(error) => Some(Err(error)),
        },
        _ => None,
    }
}

/// What follows in the access control list from a call that succeeded: a pool's entries go with the pool.
pub(super) fn after(core: &Core, call: &Call) {
    if call.verb == Verb::Delete && call.template.starts_with("/pools") {
        core.access.forget(&format!("/pool/{}", pools::id_of(call)));
    }
}

fn major(version: &str) -> u32 {
    version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(9)
}

/// A login changes nothing in the world: it is not mutating.
fn login(core: &Core, call: &Call, version: &str) -> Result<Reply, PveError> {
    let given = |name: &str| call.params.get(name).map(String::as_str);
    let (user, password) = (given("username").unwrap_or_default(), given("password").unwrap_or_default());
    let data = core.access.login(user, given("realm"), password, major(version), core.clock.real_s());
    data.map(Reply::read).ok_or_else(|| PveError::status(401, "authentication failure"))
}

fn permissions(core: &Core, call: &Call, version: &str, pools: &Memberships) -> Result<Reply, PveError> {
    let userid = call.params.get("userid");
    if userid.is_some_and(|userid| *userid != call.user) && !call.privileges.may("/access", "Sys.Audit") {
        return Err(PveError::status(403, "Permission check failed (/access, Sys.Audit)"));
    }
    let path = call.params.get("path").map(String::as_str);
    Ok(Reply::read(core.access.permissions(userid.unwrap_or(&call.user), path, major(version), pools)))
}

fn about(version: &str) -> Value {
    let mut parts = version.split('.');
    let release = [parts.next().unwrap_or("9"), parts.next().unwrap_or("0")].join(".");
    json!({ "version": version, "release": release, "repoid": "1ab0000000000000" })
}
