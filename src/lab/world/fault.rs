//! Faults laid on tasks that are still to come.

use super::World;
use crate::model::ids::Vmid;

/// What is to go wrong with a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultKind {
    /// It fails at once with this text.
    Fail(String),
    /// A migration breaks off in the middle of its transfer; other tasks are interrupted.
    Abort,
    /// It does its work and ends with a warning.
    Warn,
    /// It never goes on.
    Hang,
    /// It does its work, but the guest's lock stays.
    KeepLock,
    /// It does its work, and nothing remembers it afterwards.
    Forget,
    /// The storage that it copies a disk to is full, half-way.
    Full,
}

/// A fault and the tasks that it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskFault {
    pub kind: FaultKind,
    /// `qmigrate`; none means every type.
    pub task_type: Option<String>,
    pub vmid: Option<Vmid>,
    /// For how many tasks.
    pub times: u32,
}

impl World {
    /// Lays a fault on the next matching tasks.
    pub fn inject(&mut self, fault: TaskFault) {
        if fault.times > 0 {
            self.faults.push(fault);
        }
    }

    /// The faults of a task that starts now; each is used up by one.
    pub(super) fn take_faults(&mut self, kind: &str, vmid: Option<Vmid>) -> Vec<FaultKind> {
        let mut taken = Vec::new();
        for fault in &mut self.faults {
            let fits = fault.task_type.as_deref().is_none_or(|wanted| wanted == kind);
            if fits && (fault.vmid.is_none() || fault.vmid == vmid) {
                fault.times -= 1;
                taken.push(fault.kind.clone());
            }
        }
        self.faults.retain(|fault| fault.times > 0);
        taken
    }

    pub(super) fn has_fault(&self, key: super::task::TaskKey, kind: &FaultKind) -> bool {
        self.tasks.all.get(&key).is_some_and(|task| task.faults.contains(kind))
    }
}
