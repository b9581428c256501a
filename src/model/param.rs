//! Types of values that an operator or a runbook's author hands over.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a value must look like; `docs/reference/language.md` has the spelling of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ValueType {
    String,
    Int,
    Float,
    Bool,
    List,
    Map,
    Path,
    /// `90s`, `5m`, `4h`; in expressions a number of milliseconds.
    Duration,
    /// `32GiB`; in expressions a number of bytes.
    Size,
    /// `15%`; in expressions a number from 0 to 100.
    Percent,
    Version,
    Ip,
    Cidr,
    Mac,
    Url,
    Vmid,
    /// A Proxmox node that exists.
    Node,
    /// A VMID or a guest's unique name; in expressions the VMID.
    Guest,
    Cluster,
    /// A reference such as `pass:PATH`; never the value itself.
    Secret,
    /// Outputs of actions only: any of the others.
    Any,
}

impl ValueType {
    pub const ALL: [(&'static str, Self); 21] = [
        ("string", Self::String),
        ("int", Self::Int),
        ("float", Self::Float),
        ("bool", Self::Bool),
        ("list", Self::List),
        ("map", Self::Map),
        ("path", Self::Path),
        ("duration", Self::Duration),
        ("size", Self::Size),
        ("percent", Self::Percent),
        ("version", Self::Version),
        ("ip", Self::Ip),
        ("cidr", Self::Cidr),
        ("mac", Self::Mac),
        ("url", Self::Url),
        ("vmid", Self::Vmid),
        ("node", Self::Node),
        ("guest", Self::Guest),
        ("cluster", Self::Cluster),
        ("secret", Self::Secret),
        ("any", Self::Any),
    ];

    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, ty)| *ty == self).map_or("any", |(name, _)| name)
    }
}

/// How a positional argument of the command line fills a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Positional {
    /// The Nth argument after the runbook's name, from 1.
    Nth(usize),
    /// All that are left, as a list.
    Rest,
}

/// A parameter of a runbook or of an action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Param {
    pub name: String,
    pub ty: ValueType,
    pub required: bool,
    /// May hold an expression over `cluster` and `config`.
    pub default: Option<Value>,
    pub choices: Vec<Value>,
    pub pattern: Option<String>,
    /// In the type's own unit (bytes for a size, milliseconds for a duration).
    pub min: Option<f64>,
    pub max: Option<f64>,
    /// The type of a list's items.
    pub items: Option<ValueType>,
    pub positional: Option<Positional>,
    pub help: Option<String>,
}

impl Param {
    /// A parameter with nothing but a name and a type.
    pub fn new(name: impl Into<String>, ty: ValueType) -> Self {
        Self {
            name: name.into(),
            ty,
            required: false,
            default: None,
            choices: Vec::new(),
            pattern: None,
            min: None,
            max: None,
            items: None,
            positional: None,
            help: None,
        }
    }

    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    pub fn default_value(mut self, value: impl Into<Value>) -> Self {
        self.default = Some(value.into());
        self
    }

    pub fn items(mut self, ty: ValueType) -> Self {
        self.items = Some(ty);
        self
    }

    pub fn choices(mut self, values: &[&str]) -> Self {
        self.choices = values.iter().map(|v| Value::from(*v)).collect();
        self
    }

    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }
}
