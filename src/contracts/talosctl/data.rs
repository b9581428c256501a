//! What there is: commands, their flags, and how many words they take.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::LazyLock;

use serde::Deserialize;

/// The minor versions that the data is of, oldest first.
pub const MINORS: [&str; 5] = ["1.9", "1.11", "1.12", "1.13", "1.14"];

static ALL: LazyLock<All> = LazyLock::new(|| {
    let mut text = String::new();
    let compressed: &[u8] = include_bytes!("../../../data/talosctl-cli.json.gz");
    flate2::read::GzDecoder::new(compressed).read_to_string(&mut text).expect("the contract in the binary is gzip");
    serde_json::from_str(&text).expect("the contract in the binary is JSON of this shape")
});

#[derive(Deserialize)]
struct All {
    versions: BTreeMap<String, Contract>,
}

/// The command line of one version.
#[derive(Debug, Deserialize)]
pub struct Contract {
    /// The tag that the data is of: `v1.13.9`.
    pub tag: String,
    /// Flags of every command that speaks to a node.
    pub globals: Vec<Flag>,
    pub commands: Vec<Command>,
}

/// One command.
#[derive(Debug, Deserialize)]
pub struct Command {
    /// `["etcd", "snapshot"]`
    pub path: Vec<String>,
    #[serde(default)]
    pub aliases: Vec<String>,
    pub flags: Vec<Flag>,
    /// Whether it has the flags of every command that speaks to a node.
    pub globals: bool,
    #[serde(default)]
    pub positional: String,
    /// How many words it takes, in cobra's words: `ExactArgs(1)`. Nothing: as many as there are.
    pub args: Option<String>,
    /// Whether it does anything itself, and is no mere head of others.
    #[serde(default)]
    pub runnable: bool,
    #[serde(default)]
    pub short: String,
}

/// One flag.
#[derive(Debug, Deserialize)]
pub struct Flag {
    pub name: String,
    pub short: Option<char>,
    /// pflag's word for it (`bool`, `strings`, `duration`), or its choices, joined by commas.
    #[serde(rename = "type")]
    pub kind: String,
    pub default: Option<String>,
    #[serde(default)]
    pub hidden: bool,
    /// Why it is not to be used any more.
    pub deprecated: Option<String>,
    #[serde(default)]
    pub repeatable: bool,
}

impl Flag {
    pub fn is_bool(&self) -> bool {
        self.kind == "bool"
    }

    /// As a message names it: `"-n, --nodes"`.
    pub fn title(&self) -> String {
        match self.short {
            Some(short) => format!("-{short}, --{}", self.name),
            None => format!("--{}", self.name),
        }
    }
}

impl Contract {
    /// Of this version (`1.13`, `v1.13.9`): that of its minor, or of the next older one that is known; `None` for what
    /// is older than all of them.
    pub fn of(version: &str) -> Option<&'static Self> {
        let wanted = minor(version)?;
        let known = MINORS.iter().rev().find(|known| minor(known).is_some_and(|known| known <= wanted))?;
        ALL.versions.get(*known)
    }

    /// The command with exactly this path.
    pub fn command(&self, path: &[&str]) -> Option<&Command> {
        self.commands.iter().find(|command| command.path == path)
    }

    /// Whether any command's path begins so.
    pub fn has_below(&self, path: &[String]) -> bool {
        self.commands.iter().any(|command| command.path.len() > path.len() && command.path.starts_with(path))
    }

    /// All flags that a command takes.
    pub fn flags_of<'a>(&'a self, command: &'a Command) -> impl Iterator<Item = &'a Flag> {
        let globals: &[Flag] = if command.globals { &self.globals } else { &[] };
        command.flags.iter().chain(globals)
    }
}

/// `(1, 13)` of `1.13` and of `v1.13.9`.
fn minor(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.trim_start_matches('v').split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}
