//! What the catalogue says of an action: its name, parameters, outputs and effect.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::effect::Effect;
use super::param::{Param, ValueType};
use super::runbook::Template;

/// A value that an action hands to later steps as `steps.ID.NAME`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Output {
    pub name: String,
    pub ty: ValueType,
    pub help: String,
}

/// A parameter whose value says what a call does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EffectBy {
    pub param: String,
    /// By its value.
    pub effects: BTreeMap<String, Effect>,
}

/// An action as an author of runbooks sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActionSpec {
    /// `proxmox.guest_migrate`
    pub name: String,
    /// Grows when what the action means changes; a plan names it.
    pub version: u32,
    pub title: String,
    /// The most that a call of it may do.
    pub effect: Effect,
    /// Where what a call does follows from one of its parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect_by: Option<EffectBy>,
    pub params: Vec<Param>,
    pub outputs: Vec<Output>,
    /// What the token must be allowed, as `VM.Migrate on /vms/{guest}`.
    pub privileges: Vec<String>,
    /// Whether the action knows its own inverse.
    pub undoable: bool,
    /// Whether each call does it anew, so that a call after it finds something left to do: a backup, a reboot.
    #[serde(default)]
    pub anew: bool,
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
            effect_by: None,
            params: Vec::new(),
            outputs: Vec::new(),
            privileges: Vec::new(),
            undoable: false,
            anew: false,
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

    /// What a call does follows from this parameter's value; `effect` is the most of it.
    pub fn effect_by(mut self, param: &str, effects: &[(&str, Effect)]) -> Self {
        let effects = effects.iter().map(|(value, effect)| ((*value).to_owned(), *effect)).collect();
        self.effect_by = Some(EffectBy { param: param.into(), effects });
        self
    }

    /// What a call does, as far as `value` knows its parameters: the most that it may be where it does not.
    pub fn effect_with(&self, value: impl Fn(&str) -> Option<Value>) -> Effect {
        let known = self.effect_by.as_ref().and_then(|by| {
            let value = value(&by.param)?;
            by.effects.get(value.as_str()?).copied()
        });
        known.unwrap_or(self.effect)
    }

    /// What a parameter has where nothing is said of it.
    pub fn default_of(&self, name: &str) -> Option<Value> {
        self.params.iter().find(|param| param.name == name)?.default.clone()
    }

    /// The same for a call as it is written in a file.
    pub fn effect_in(&self, with: &[(String, Template)]) -> Effect {
        self.effect_with(|name| match with.iter().find(|(key, _)| key == name) {
            Some((_, Template::Literal(value))) => Some(value.clone()),
            Some(_) => None,
            None => self.default_of(name),
        })
    }

    pub fn anew(mut self) -> Self {
        self.anew = true;
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_known_may_be_the_most() {
        let spec = ActionSpec::new("x", Effect::Destroy, "X").effect_by("method", &[("get", Effect::Read)]);
        let with = |template| vec![("method".to_owned(), template)];
        assert_eq!(spec.effect_in(&with(Template::Literal(json!("get")))), Effect::Read);
        assert_eq!(spec.effect_in(&with(Template::Literal(json!("gets")))), Effect::Destroy);
        assert_eq!(spec.effect_in(&with(Template::List(Vec::new()))), Effect::Destroy);
        assert_eq!(ActionSpec::new("x", Effect::Change, "X").effect_in(&[]), Effect::Change);
        assert_eq!(spec.effect_in(&[]), Effect::Destroy);
        let by_default = spec.param(Param::new("method", ValueType::String).default_value("get"));
        assert_eq!(by_default.effect_in(&[]), Effect::Read);
    }
}
