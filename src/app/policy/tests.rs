use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::*;
use crate::engine::ports::{Doing, Policy as _, Stop};
use crate::event::{Body, Event, Fact, Intent};
use crate::model::effect::Effect;
use crate::model::ids::StepPath;
use crate::model::site::{Policy, Protect, QuorumGroup};

/// Three control planes, and others.
#[derive(Default)]
struct Site(Mutex<BTreeMap<u32, &'static str>>);

impl Site {
    fn set(&self, vmid: u32, status: &'static str) {
        self.0.lock().unwrap().insert(vmid, status);
    }

    fn guest(&self, vmid: u32) -> Value {
        let status = self.0.lock().unwrap().get(&vmid).copied().unwrap_or("running");
        let tags: &[&str] = match vmid {
            51..=53 | 151..=153 => &["prod", "cp"],
            100 => &["protected"],
            _ => &[],
        };
        json!({"vmid": vmid, "kind": "qemu", "name": format!("g{vmid}"), "node": "pve1", "status": status,
               "template": vmid == 159, "tags": tags, "macs": [], "memory": 0, "disks": {}, "nets": {}})
    }
}

#[async_trait]
impl World for Site {
    async fn read(&self, resource: &ResourceKey) -> Result<Observed, Failure> {
        let value = match guest_of(resource) {
            Some(vmid) if self.guest(vmid.0)["status"] == "unreachable" => {
                return Err(Failure::new(Class::Unreachable, "read it", "no route to host"));
            }
            Some(vmid) => self.guest(vmid.0),
            None => {
                [100, 104, 151, 152, 153, 159].map(|id: u32| (id.to_string(), self.guest(id))).into_iter().collect()
            }
        };
        Ok(Observed::Known(Arc::new(value)))
    }
}

fn identity(vmid: u32) -> Identity {
    let resource = Resource::Guest(Vmid(vmid)).key();
    Identity { object: format!("VM {vmid} (g{vmid})"), resource, expect: Vec::new() }
}

fn policy() -> Policy {
    Policy {
        protect: Protect { vmids: vec![Vmid(104)], tags: vec!["protected".into()] },
        max_destroyed: 2,
        windows: Vec::new(),
        quorum_groups: vec![QuorumGroup { name: "cp".into(), tags: vec!["cp".into(), "prod".into()] }],
    }
}

async fn ask(policy: &SitePolicy, site: &Site, path: &str, effect: Effect, vmids: &[u32]) -> Result<(), String> {
    asked(policy, site, path, effect, vmids).await.map(drop)
}

async fn asked(
    policy: &SitePolicy,
    site: &Site,
    path: &str,
    effect: Effect,
    vmids: &[u32],
) -> Result<crate::engine::ports::Permit, String> {
    let (path, identities) = (StepPath::new(path), vmids.iter().map(|id| identity(*id)).collect::<Vec<_>>());
    let doing = Doing { path: &path, effect, identities: &identities };
    policy.permit(doing, site, &Stop::default()).await.map_err(|failure| failure.to_string())
}

#[tokio::test]
async fn what_is_protected_is_not_destroyed_and_may_be_stopped() {
    let (policy, site) = (SitePolicy::new(&policy(), &[]), Site::default());
    for vmid in [100, 104] {
        let refused = ask(&policy, &site, "gone", Effect::Destroy, &[vmid]).await.unwrap_err();
        assert!(refused.contains("policy.protect"), "{refused}");
        assert_eq!(ask(&policy, &site, "down", Effect::Disrupt, &[vmid]).await, Ok(()));
    }
    assert_eq!(ask(&policy, &site, "gone", Effect::Destroy, &[105]).await, Ok(()));
}

#[tokio::test]
async fn a_run_destroys_no_more_than_it_may_across_attempts_and_a_resume() {
    let (may, site) = (SitePolicy::new(&policy(), &[]), Site::default());
    for path in ["a[1]", "a[2]", "a[2]", "a[1]/undo"] {
        assert_eq!(ask(&may, &site, path, Effect::Destroy, &[105]).await, Ok(()), "{path}");
    }
    let third = ask(&may, &site, "a[3]", Effect::Destroy, &[105]).await.unwrap_err();
    assert_eq!(third, "destroy 3 guests in one run: policy.max_destroyed allows 2 in one run");

    let started = |path: &str, attempt: u32, effect: Effect| {
        let intent = Intent { before: Value::Null, prepared: Value::Null, effect };
        let fact = Fact::Started { path: StepPath::new(path), attempt, intent };
        Event { seq: 1, at: 0, actor: "engine".into(), body: Body::Fact(fact) }
    };
    let before = [
        started("a[1]", 1, Effect::Destroy),
        started("a[1]", 2, Effect::Destroy),
        started("b", 1, Effect::Disrupt),
        started("c/undo", 1, Effect::Destroy),
    ];
    let resumed = SitePolicy::new(&policy(), &before);
    assert_eq!(ask(&resumed, &site, "a[2]", Effect::Destroy, &[105]).await, Ok(()), "one was destroyed before");
    assert!(ask(&resumed, &site, "a[3]", Effect::Destroy, &[105]).await.is_err());
}

#[tokio::test]
async fn no_member_is_taken_down_while_another_is_not_running() {
    let (policy, site) = (SitePolicy::new(&policy(), &[]), Site::default());
    assert_eq!(ask(&policy, &site, "down", Effect::Disrupt, &[151]).await, Ok(()));
    let two = ask(&policy, &site, "down", Effect::Disrupt, &[151, 152]).await.unwrap_err();
    assert!(two.contains("members of one group"), "{two}");
    site.set(153, "stopped");
    let refused = ask(&policy, &site, "down", Effect::Disrupt, &[151]).await.unwrap_err();
    assert_eq!(refused, "take VM 151 (g151) down (step down): policy.quorum_groups \"cp\": VM 153 (g153) is stopped");
    assert_eq!(ask(&policy, &site, "move", Effect::Change, &[151]).await, Ok(()), "a live move takes nothing down");
    assert_eq!(ask(&policy, &site, "down", Effect::Disrupt, &[153]).await, Ok(()), "itself is down already");
    site.set(153, "unreachable");
    let refused = ask(&policy, &site, "down", Effect::Disrupt, &[151]).await.unwrap_err();
    assert!(refused.contains("VM 153 (g153) is unknown (read it: no route to host)"), "{refused}");
}

#[tokio::test]
async fn no_step_has_two_members_in_flight_together() {
    let (policy, site) = (SitePolicy::new(&policy(), &[]), Site::default());
    let refused = ask(&policy, &site, "maintenance", Effect::Change, &[151, 105, 152]).await.unwrap_err();
    let expected = "move VM 151 (g151) and VM 152 (g152) (step maintenance): policy.quorum_groups \"cp\": they are \
                    members of one group";
    assert_eq!(refused, expected);
    assert_eq!(ask(&policy, &site, "maintenance", Effect::Change, &[151, 105]).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_step_waits_until_the_other_member_is_back_and_leaves_when_told_to_stop() {
    let (policy, site) = (SitePolicy::new(&policy(), &[]), Site::default());
    let first = asked(&policy, &site, "a", Effect::Change, &[151]).await.unwrap();
    assert_eq!(ask(&policy, &site, "other", Effect::Change, &[105]).await, Ok(()), "no member: no waiting");

    let (path, identities, stop) = (StepPath::new("b"), [identity(152)], Stop::default());
    let doing = Doing { path: &path, effect: Effect::Change, identities: &identities };
    let waiting = policy.permit(doing, &site, &stop);
    tokio::pin!(waiting);
    assert!(tokio::time::timeout(Duration::from_secs(3600), &mut waiting).await.is_err(), "it waits");
    drop(first);
    let second = waiting.await.unwrap();

    let stopped = policy.permit(doing, &site, &stop);
    tokio::pin!(stopped);
    assert!(tokio::time::timeout(Duration::from_secs(1), &mut stopped).await.is_err());
    stop.set();
    assert!(stopped.await.is_ok(), "it is let go; the unit sees for itself that it was told to stop");
    drop(second);
}
