//! A world of fixed resources, for tests of probes, predictions and recoveries.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::engine::ports::{Call, Observed, World};
use crate::event::Intent;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::ids::ResourceKey;

type Answer = Result<Observed, Failure>;

/// What each resource answers, in turn; the last answer stays. One that was not given is a failure of the test.
#[derive(Default)]
pub struct FakeWorld {
    answers: BTreeMap<String, Mutex<VecDeque<Answer>>>,
}

impl FakeWorld {
    fn set(mut self, key: &str, answers: Vec<Answer>) -> Self {
        self.answers.insert(key.to_owned(), Mutex::new(answers.into()));
        self
    }

    pub fn with(self, key: &str, value: Value) -> Self {
        self.in_turn(key, vec![value])
    }

    pub fn in_turn(self, key: &str, values: Vec<Value>) -> Self {
        self.set(key, values.into_iter().map(|v| Ok(Observed::Known(Arc::new(v)))).collect())
    }

    pub fn unknown(self, key: &str, why: &str) -> Self {
        self.set(key, vec![Ok(Observed::Unknown(why.to_owned()))])
    }

    pub fn failing(self, key: &str, class: Class) -> Self {
        self.set(key, vec![Err(Failure::new(class, format!("read {key}"), "GET on pve1: Connection timed out (596)"))])
    }
}

#[async_trait]
impl World for FakeWorld {
    async fn read(&self, resource: &ResourceKey) -> Answer {
        let answers = self.answers.get(resource.as_str());
        let mut answers = answers.unwrap_or_else(|| panic!("{resource} was read")).lock().unwrap();
        if answers.len() > 1 { answers.pop_front().unwrap() } else { answers[0].clone() }
    }
}

pub fn call(with: Value) -> Call {
    Call { run: None, path: "step".into(), attempt: 1, with }
}

pub fn intent(before: Value, tasks: &[&str]) -> Intent {
    Intent { before, prepared: json!({"tasks": tasks}), effect: Effect::Change }
}

/// VM 104 on pve2, running.
pub fn vm() -> Value {
    json!({
        "vmid": 104, "kind": "qemu", "name": "web", "node": "pve2", "status": "running", "qmpstatus": "running",
        "template": false, "uuid": "u-104", "macs": ["BC:24:11:00:01:04"], "memory": 8_589_934_592_u64, "cores": 4,
        "tags": ["web"], "nets": {}, "digest": "d",
        "disks": {"scsi0": {"volid": "local-lvm:vm-104-disk-0", "storage": "local-lvm", "bytes": 34_359_738_368_u64, "cdrom": false}},
    })
}

/// CT 201 on pve2, running.
pub fn ct() -> Value {
    json!({
        "vmid": 201, "kind": "lxc", "name": "proxy", "node": "pve2", "status": "running", "template": false,
        "rootfs": "local-lvm:vm-201-disk-0", "macs": ["BC:24:11:00:02:01"], "memory": 1_073_741_824_u64,
        "tags": [], "nets": {}, "disks": {},
    })
}

/// `base` with members replaced; null takes one away.
pub fn but(mut base: Value, patch: Value) -> Value {
    crate::engine::world::merge_patch(&mut base, &patch);
    base
}

pub fn node(name: &str) -> Value {
    json!({"name": name, "online": true, "maintenance": false, "memory_total": 137_438_953_472_u64, "memory_used": 1})
}
