//! What the catalogue says of an action: its name, parameters, outputs and effect.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::effect::Effect;
use super::param::{Param, ValueType};

/// A value that an action hands to later steps as `steps.ID.NAME`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Output {
    pub name: String,
    pub ty: ValueType,
    pub help: String,
}

/// An action as an author of runbooks sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActionSpec {
    /// `proxmox.guest_migrate`
    pub name: String,
    /// Grows when what the action means changes; a plan names it.
    pub version: u32,
    pub title: String,
    pub effect: Effect,
    pub params: Vec<Param>,
    pub outputs: Vec<Output>,
    /// What the token must be allowed, as `VM.Migrate on /vms/{guest}`.
    pub privileges: Vec<String>,
    /// Whether the action knows its own inverse.
    pub undoable: bool,
    /// Whether what it makes was not there before, so that its inverse, which takes that away, destroys nothing that anybody
    /// else has put into the world.
    #[serde(default)]
    pub creates: bool,
}

impl ActionSpec {
    pub fn new(name: &str, effect: Effect, title: &str) -> Self {
        Self {
            name: name.into(),
            version: 1,
            title: title.into(),
            effect,
            params: Vec::new(),
            outputs: Vec::new(),
            privileges: Vec::new(),
            undoable: false,
            creates: false,
        }
    }

    pub fn param(mut self, param: Param) -> Self {
        self.params.push(param);
        self
    }

    pub fn output(mut self, name: &str, ty: ValueType, help: &str) -> Self {
        self.outputs.push(Output { name: name.into(), ty, help: help.into() });
        self
    }

    pub fn needs_privilege(mut self, text: &str) -> Self {
        self.privileges.push(text.into());
        self
    }

    /// It makes something new, and its inverse takes exactly that away.
    pub fn creates(mut self) -> Self {
        self.creates = true;
        self.undoable()
    }

    pub fn undoable(mut self) -> Self {
        self.undoable = true;
        self
    }
}

/// All actions that there are, by name.
pub type Catalogue = BTreeMap<String, ActionSpec>;
