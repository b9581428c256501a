//! The faults of the transport that are laid at the moment.

use std::sync::{Mutex, PoisonError};

use super::{CommandFault, Effect, Fault, RequestFault};

/// The faults of the transport that are set, and how often each still happens.
#[derive(Debug, Default)]
pub(crate) struct FaultBoard {
    set: Mutex<Vec<Fault>>,
    troubles: Mutex<Vec<String>>,
}

impl FaultBoard {
    pub(crate) fn add(&self, fault: Fault) {
        self.lock().push(fault);
    }

    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    pub(crate) fn list(&self) -> Vec<Fault> {
        self.lock().clone()
    }

    pub(crate) fn note_trouble(&self, text: String) {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }

    pub(crate) fn troubles(&self) -> Vec<String> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The first fault that this request meets; it has then happened once.
    pub(crate) fn take_request(&self, verb: &str, path: &str) -> Option<Effect> {
        self.take(|fault| match fault {
            Fault::Request(request) if request.matches(verb, path) => Some(request.effect.clone()),
            _ => None,
        })
    }

    /// The first fault that this command meets.
    pub(crate) fn take_command(&self, argv: &[String]) -> Option<CommandFault> {
        self.take(|fault| match fault {
            Fault::Command(command) if argv.first() == Some(&command.program) => Some(command.clone()),
            _ => None,
        })
    }

    pub(crate) fn take_token_rejected(&self) -> bool {
        self.take(|fault| matches!(fault, Fault::TokenRejected { .. }).then_some(())).is_some()
    }

    fn take<T>(&self, wanted: impl Fn(&Fault) -> Option<T>) -> Option<T> {
        let mut set = self.lock();
        let (i, found) = set.iter().enumerate().find_map(|(i, fault)| Some((i, wanted(fault)?)))?;
        if let Fault::Request(RequestFault { left: Some(left), .. })
        | Fault::Command(CommandFault { left: Some(left), .. })
        | Fault::TokenRejected { left: Some(left) } = &mut set[i]
        {
            *left = left.saturating_sub(1);
            if *left == 0 {
                set.remove(i);
            }
        }
        Some(found)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Fault>> {
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
