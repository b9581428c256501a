//! A world just big enough for the front's own tests.

use serde_json::{Value, json};

use super::site::SiteWorld;
use super::{Lab, LabOptions, Timing};
use crate::lab::call::{Call, CommandReply, PveError, Reply, Verb};
use crate::lab::fault::WorldFault;
use crate::model::ids::NodeName;

pub(crate) const UPID: &str = "UPID:pve1:0000AAAA:0000BBBB:67400000:qmigrate:104:ops@pve!runbook:";

/// pve1 and pve2 on 9.2, pve3 on 8.4; VM 104 can be migrated, VM 105 is locked, no other exists.
pub(crate) struct FakeWorld {
    now_ms: u64,
    down: Vec<NodeName>,
    due: Option<u64>,
    pub(crate) migrations: Vec<u64>,
    pub(crate) finished: Vec<u64>,
    pub(crate) calls: Vec<Call>,
    pub(crate) injected: Vec<WorldFault>,
}

impl FakeWorld {
    pub(crate) fn new() -> Self {
        Self {
            now_ms: 1_700_000_000_000,
            down: Vec::new(),
            due: None,
            migrations: Vec::new(),
            finished: Vec::new(),
            calls: Vec::new(),
            injected: Vec::new(),
        }
    }
}

impl SiteWorld for FakeWorld {
    fn handle(&mut self, call: &Call) -> Result<Reply, PveError> {
        self.calls.push(call.clone());
        let vmid = call.path.get("vmid").map_or("", String::as_str);
        match (call.verb, call.template.as_str()) {
            (Verb::Get, "/cluster/resources") => {
                let row = |vmid: u32| json!({"id": format!("qemu/{vmid}"), "vmid": vmid, "type": "qemu"});
                Ok(Reply::read((100..150).map(row).collect::<Vec<Value>>().into()))
            }
            (Verb::Get, "/nodes/{node}/tasks") => Ok(Reply { total: Some(7), ..Reply::read(json!([])) }),
            (Verb::Get, _) if vmid.is_empty() || vmid == "104" => Ok(Reply::read(Value::Null)),
            (Verb::Post, "/nodes/{node}/qemu/{vmid}/migrate") if vmid == "104" => {
                self.migrations.push(self.now_ms);
                self.due = Some(self.now_ms + 60_000);
                Ok(Reply::changed(UPID.into()))
            }
            _ if vmid == "105" => Err(PveError::die("VM is locked (migrate)")),
            _ => Err(PveError::die(format!(
                "Configuration file 'nodes/{}/qemu-server/{vmid}.conf' does not exist",
                call.path["node"]
            ))),
        }
    }

    fn command(&mut self, node: &NodeName, argv: &[String]) -> CommandReply {
        let stdout = format!("{node}: {}\n", argv.join("|"));
        let exit = if argv[0] == "false" { 1 } else { 0 };
        CommandReply { exit, stdout, stderr: "warned\n".into(), mutating: argv[0] == "qm" }
    }

    fn now_ms(&self) -> u64 {
        self.now_ms
    }

    fn next_event(&self) -> Option<u64> {
        self.due
    }

    fn advance_to(&mut self, ms: u64) {
        if self.due.is_some_and(|due| due <= ms) {
            self.finished.extend(self.due.take());
        }
        self.now_ms = ms;
    }

    fn node_up(&self, node: &NodeName) -> bool {
        !self.down.contains(node)
    }

    fn nodes(&self) -> Vec<NodeName> {
        ["pve1", "pve2", "pve3"].map(NodeName::from).into()
    }

    fn version(&self, node: &NodeName) -> String {
        if node.as_str() == "pve3" { "8.4.21".into() } else { "9.2.11".into() }
    }

    fn inject(&mut self, fault: &WorldFault) -> Result<(), String> {
        self.injected.push(fault.clone());
        match fault {
            WorldFault::NodeUp { node, up: false } => self.down.push(node.clone()),
            WorldFault::NodeUp { node, up: true } => self.down.retain(|down| down != node),
            WorldFault::LockStays { vmid } if vmid.0 != 104 => return Err(format!("there is no guest {vmid}")),
            _ => {}
        }
        Ok(())
    }
}

/// Delays short enough for tests; the proportions stay.
pub(crate) fn quick() -> Timing {
    Timing {
        service: std::time::Duration::from_millis(1),
        auth_delay: std::time::Duration::from_millis(150),
        no_route: std::time::Duration::from_millis(20),
        proxy_timeout: std::time::Duration::from_millis(200),
        keep_alive: std::time::Duration::from_millis(400),
    }
}

pub(crate) async fn lab() -> Lab {
    Lab::start(LabOptions { timing: quick(), ..LabOptions::new(FakeWorld::new()) }).await.expect("loopback is there")
}
