//! The world as the front sees it: its time counted from 1970, and faults laid on it by name.

use std::time::Duration;

use super::{FaultKind, TaskFault, World};
use crate::lab::access::Memberships;
use crate::lab::call::{Call, CommandReply, ProgramReply, PveError, Reply};
use crate::lab::fault::WorldFault;
use crate::lab::front::site::SiteWorld;
use crate::lab::{kubernetes, talos};
use crate::model::ids::{Fingerprint, NodeName, Vmid};

impl World {
    fn offset(&self) -> u64 {
        u64::try_from(self.epoch).unwrap_or_default() * 1000
    }

    fn lay(&mut self, kind: FaultKind, task_type: &str, vmid: Option<Vmid>) {
        World::inject(self, TaskFault { kind, task_type: Some(task_type.to_owned()), vmid, times: 1 });
    }
}

impl SiteWorld for World {
    fn check_quorum(&self) -> Result<(), PveError> {
        World::check_quorum(self)
    }

    fn memberships(&self) -> Memberships {
        self.pool_memberships()
    }

    fn handle(&mut self, call: &Call) -> Result<Reply, PveError> {
        World::handle(self, call)
    }

    fn command(&mut self, node: &NodeName, argv: &[String]) -> CommandReply {
        let reply = World::command(self, node, argv);
        self.watch_talos();
        reply
    }

    fn talosctl(&mut self, version: Option<&str>, words: &[String], file: Option<&str>) -> ProgramReply {
        let reply = talos::talosctl(self, version.unwrap_or(talos::NEWEST), words, file);
        self.watch_talos();
        reply
    }

    fn talosctl_ended(&mut self, id: u64) -> Option<ProgramReply> {
        self.talos_client_ended(id)
    }

    fn talosctl_gone(&mut self, id: u64) -> ProgramReply {
        self.talos_client_gone(id)
    }

    fn talos_violations(&self) -> Vec<String> {
        World::talos_violations(self).iter().map(ToString::to_string).collect()
    }

    fn kubernetes_refuses(&self, server: Option<&str>) -> Option<String> {
        kubernetes::refuses(self, server)
    }

    fn kubernetes(&mut self, ask: &kubernetes::Ask) -> kubernetes::Said {
        kubernetes::answer(self, ask)
    }

    fn busy(&self, call: &Call) -> Duration {
        super::inside::busy(self, call)
    }

    fn now_ms(&self) -> u64 {
        self.offset() + World::now_ms(self)
    }

    fn next_event(&self) -> Option<u64> {
        World::next_event(self).map(|at| self.offset() + at)
    }

    fn advance_to(&mut self, ms: u64) {
        let at = ms.saturating_sub(self.offset());
        World::advance_to(self, at);
    }

    fn reloaded(&mut self) -> Vec<(NodeName, Option<Vec<String>>)> {
        let nodes = self.take_reloaded();
        nodes.into_iter().map(|name| (name.clone(), self.shown_names(&name))).collect()
    }

    fn set_shown(&mut self, node: &NodeName, fingerprint: Fingerprint) {
        self.set_fingerprint(node, &fingerprint.to_string());
    }

    fn node_up(&self, node: &NodeName) -> bool {
        World::node_up(self, node)
    }

    fn nodes(&self) -> Vec<NodeName> {
        World::nodes(self)
    }

    fn version(&self, node: &NodeName) -> String {
        World::version(self, node).to_owned()
    }

    fn inject(&mut self, fault: &WorldFault) -> Result<(), String> {
        let done = self.lay_fault(fault);
        self.watch_talos_fault();
        done
    }
}

impl World {
    fn lay_fault(&mut self, fault: &WorldFault) -> Result<(), String> {
        let known = |found: bool, vmid: &Vmid| if found { Ok(()) } else { Err(format!("there is no guest {vmid}")) };
        match fault {
            WorldFault::TaskFail { task_type, vmid, text } => {
                let text = text.clone().unwrap_or_else(|| "failed on purpose (lab fault)".to_owned());
                self.lay(FaultKind::Fail(text), task_type, *vmid);
                Ok(())
            }
            WorldFault::TaskAbort { task_type, vmid } => {
                self.lay(FaultKind::Abort, task_type, *vmid);
                Ok(())
            }
            WorldFault::TaskWarn { task_type, vmid } => {
                self.lay(FaultKind::Warn, task_type, *vmid);
                Ok(())
            }
            WorldFault::TaskHang { task_type, vmid } => {
                self.lay(FaultKind::Hang, task_type, *vmid);
                Ok(())
            }
            WorldFault::TaskForget { task_type, vmid } => {
                self.lay(FaultKind::Forget, task_type, *vmid);
                Ok(())
            }
            WorldFault::TaskFull { task_type, vmid } => {
                self.lay(FaultKind::Full, task_type, *vmid);
                Ok(())
            }
            WorldFault::Quorum { lost } => {
                self.set_quorum_lost(*lost);
                Ok(())
            }
            WorldFault::LockStays { vmid } => {
                let fault = TaskFault { kind: FaultKind::KeepLock, task_type: None, vmid: Some(*vmid), times: 1 };
                World::inject(self, fault);
                Ok(())
            }
            WorldFault::TasksLate { ms } => {
                self.set_task_delay(*ms);
                Ok(())
            }
            WorldFault::NodeUp { node, up } if World::nodes(self).contains(node) => {
                self.set_node_up(node, *up);
                Ok(())
            }
            WorldFault::NodeUp { node, .. } => Err(format!("there is no node {node}")),
            WorldFault::ChallengeFails { domain } => {
                self.fail_challenge(domain);
                Ok(())
            }
            WorldFault::Talos { node, fault } => self.inject_talos(node, *fault),
            WorldFault::Snapshot { fault } => {
                self.inject_snapshot(*fault);
                Ok(())
            }
            WorldFault::DrainBlocked { namespace, budget } if !self.block_budget(namespace, budget) => {
                Err(format!("there is no disruption budget {namespace}/{budget}"))
            }
            WorldFault::NodeNotReady { node } if !self.silence_kubelet(node) => {
                Err(format!("there is no node {node} in Kubernetes"))
            }
            WorldFault::StorageDegraded if !self.degrade_storage() => {
                Err("there is no Longhorn and no Rook here".to_owned())
            }
            WorldFault::DrainBlocked { .. } | WorldFault::NodeNotReady { .. } | WorldFault::StorageDegraded => Ok(()),
            WorldFault::ReplaceGuest { vmid } => known(self.replace_guest(*vmid), vmid),
            WorldFault::SetLock { vmid, lock } => known(self.set_lock(*vmid, lock.as_deref()), vmid),
        }
    }
}
