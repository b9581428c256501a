//! Accounts: for root@pam alone, who is asked for by the schema. Each change is a task that speaks with the authority.

use serde_json::{Value, json};

use super::authority::{self, PRODUCTION, STAGING};
use super::{Work, forked, given};
use crate::lab::call::{Call, PveError, Reply};
use crate::lab::world::World;
use crate::lab::world::jobs::Next;
use crate::lab::world::task::TaskKey;

#[derive(Debug, Clone)]
pub(in crate::lab::world) struct Account {
    /// As the authority has answered last, which is what is kept of it.
    contact: Vec<String>,
    pub(super) directory: String,
    tos: Option<String>,
    location: String,
    /// Seconds since 1970.
    made: i64,
}

/// What a task does to an account.
#[derive(Debug, Clone)]
pub(in crate::lab::world) enum Change {
    Register {
        name: String,
        contact: Vec<String>,
        directory: String,
        tos: Option<String>,
        step: u8,
    },
    /// No contact: what the authority says of it is read anew.
    Update {
        name: String,
        contact: Option<Vec<String>>,
        step: u8,
    },
    Deactivate {
        name: String,
        step: u8,
    },
}

impl Account {
    /// Registered when Let's Encrypt still kept contacts.
    pub fn known(contact: &str, now: i64) -> Self {
        let location = authority::url(STAGING, "acct", 1_000);
        let contact = vec![format!("mailto:{contact}")];
        Self { contact, directory: STAGING.to_owned(), tos: Some(authority::terms(STAGING)), location, made: now }
    }

    pub fn comparable(&self) -> Value {
        let contact: Vec<&str> = self.contact.iter().map(|one| one.trim_start_matches("mailto:")).collect();
        json!({"contact": contact, "directory": self.directory})
    }
}

fn name_of(call: &Call) -> String {
    given(call, "name").unwrap_or("default").to_owned()
}

/// `a@b,c@d` as an authority has it; none where there is no word.
fn contact(call: &Call) -> Option<Vec<String>> {
    let words = given(call, "contact")?.split([',', ';', ' ', '\0']).filter(|word| !word.is_empty());
    let all: Vec<String> = words.map(|word| format!("mailto:{word}")).collect();
    (!all.is_empty()).then_some(all)
}

/// What the authority answers to it.
fn kept(directory: &str, contact: Vec<String>) -> Vec<String> {
    if authority::keeps_contacts(directory) { contact } else { Vec::new() }
}

fn missing(name: &str) -> PveError {
    PveError::parameter("name", format!("ACME account config file '{name}' does not exist."))
}

pub(in crate::lab::world) fn accounts(world: &mut World, _: &Call) -> Result<Reply, PveError> {
    Ok(Reply::read(world.acme.accounts.keys().map(|name| json!({"name": name})).collect()))
}

pub(in crate::lab::world) fn read(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let name = name_of(call);
    let of = world.acme.accounts.get(&name).ok_or_else(|| missing(&name))?;
    let made = jiff::Timestamp::from_second(of.made).map_or_else(|_| String::new(), |time| time.to_string());
    let mut data = json!({"account": {"status": "valid", "createdAt": made},
        "directory": of.directory, "location": of.location});
    if !of.contact.is_empty() {
        data["account"]["contact"] = json!(of.contact);
    }
    if let Some(tos) = &of.tos {
        data["tos"] = json!(tos);
    }
    Ok(Reply::read(data))
}

pub(in crate::lab::world) fn register(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let name = name_of(call);
    if world.acme.accounts.contains_key(&name) {
        return Err(PveError::parameter("name", format!("ACME account config file '{name}' already exists.")));
    }
    let directory = given(call, "directory").unwrap_or(PRODUCTION).to_owned();
    let (contact, tos) = (contact(call).unwrap_or_default(), given(call, "tos_url").map(str::to_owned));
    let work = Work::Account(Change::Register { name, contact, directory, tos, step: 0 });
    Ok(forked(world, call, &call.via.clone(), "acmeregister", work))
}

pub(in crate::lab::world) fn change(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let name = name_of(call);
    world.acme.accounts.get(&name).ok_or_else(|| missing(&name))?;
    let contact = contact(call);
    let kind = if contact.is_some() { "acmeupdate" } else { "acmerefresh" };
    let work = Work::Account(Change::Update { name, contact, step: 0 });
    Ok(forked(world, call, &call.via.clone(), kind, work))
}

pub(in crate::lab::world) fn remove(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    let name = name_of(call);
    world.acme.accounts.get(&name).ok_or_else(|| missing(&name))?;
    let work = Work::Account(Change::Deactivate { name, step: 0 });
    Ok(forked(world, call, &call.via.clone(), "acmedeactivate", work))
}

pub(in crate::lab::world) fn directories(_: &mut World, _: &Call) -> Result<Reply, PveError> {
    Ok(Reply::read(json!([{"name": "Let's Encrypt V2", "url": PRODUCTION},
        {"name": "Let's Encrypt V2 Staging", "url": STAGING}])))
}

fn directory(call: &Call) -> &str {
    given(call, "directory").unwrap_or(PRODUCTION)
}

pub(in crate::lab::world) fn terms(_: &mut World, call: &Call) -> Result<Reply, PveError> {
    Ok(Reply::read(json!(authority::terms(directory(call)))))
}

pub(in crate::lab::world) fn meta(_: &mut World, call: &Call) -> Result<Reply, PveError> {
    let of = directory(call);
    Ok(Reply::read(json!({"termsOfService": authority::terms(of), "website": authority::website(of)})))
}

pub(super) fn step(world: &mut World, key: TaskKey, change: &mut Change) -> Next {
    let (Change::Register { step, .. } | Change::Update { step, .. } | Change::Deactivate { step, .. }) = change;
    if *step == 0 {
        *step = 1;
        let line = match change {
            Change::Register { .. } => "Registering new ACME account..",
            Change::Update { contact: Some(_), .. } => "Loading ACME account details\nUpdating account",
            Change::Update { .. } => "Loading ACME account details\nRefreshing account",
            Change::Deactivate { .. } => "Loading ACME account details\nDeactivating account",
        };
        line.lines().for_each(|line| world.say(key, line));
        return Next::In(2000);
    }
    let existing = |name: &str| format!("ACME account config file '{name}' already exists.");
    let none = |name: &str| format!("ACME account config file '{name}' does not exist.");
    Next::Done(match change {
        Change::Register { name, .. } if world.acme.accounts.contains_key(name) => Err(existing(name)),
        Change::Register { tos: None, directory, .. } => {
            let said = "must agree to terms of service";
            let at = authority::url(directory, "new-acct", 0);
            Err(format!("Registration failed: Error: POST to {at}\n{{\"detail\":\"{said}\",\"status\":400}}"))
        }
        Change::Register { name, contact, directory, tos, .. } => {
            let location = authority::url(directory, "acct", 1_000 + world.acme.accounts.len() as u64);
            world.say(key, format!("Registration successful, account URL: '{location}'"));
            let made = world.seconds();
            let (contact, directory, tos) = (kept(directory, contact.clone()), directory.clone(), tos.clone());
            world.acme.accounts.insert(name.clone(), Account { contact, directory, tos, location, made });
            Ok(())
        }
        Change::Update { name, contact, .. } => match world.acme.accounts.get_mut(name) {
            Some(account) => {
                let now = contact.clone().unwrap_or_else(|| account.contact.clone());
                account.contact = kept(&account.directory, now);
                Ok(())
            }
            None => Err(none(name)),
        },
        Change::Deactivate { name, .. } => match world.acme.accounts.remove(name) {
            Some(_) => {
                world.say(key, format!("Renaming account file from '{name}' to '_deactivated_{name}_0'"));
                Ok(())
            }
            None => Err(none(name)),
        },
    })
}
