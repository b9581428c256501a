//! The words of `runbook inventory`, and of the same program under the name that Ansible calls it by.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args as ClapArgs, Subcommand};

/// What Ansible's script inventories are called as.
const SCRIPT: &str = "runbook-inventory";

#[derive(Debug, Clone, ClapArgs)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Inventory {
    #[command(subcommand)]
    pub command: Option<InventoryCommand>,
    /// Guests on this node
    #[arg(long)]
    pub node: Option<String>,
    /// Guests that have this tag; more than once: all of them
    #[arg(long)]
    pub tag: Vec<String>,
    /// VMs or containers
    #[arg(long = "type", value_name = "qemu|lxc", value_parser = ["qemu", "lxc"])]
    pub kind: Option<String>,
    /// Guests in this state
    #[arg(long, value_name = "running|stopped|unknown", value_parser = ["running", "stopped", "unknown"])]
    pub status: Option<String>,
    /// Guests in this pool
    #[arg(long)]
    pub pool: Option<String>,
    /// Also loopback, link-local and those of container networks
    #[arg(long)]
    pub all_addresses: bool,
    /// How old an answer of a guest may be that an earlier run was given
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub max_age: Duration,
    /// Asks every guest anew: --max-age 0s
    #[arg(long, conflicts_with = "max_age")]
    pub fresh: bool,
    /// For one call about one guest; what takes longer is missing
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub deadline: Duration,
    /// With -o prometheus-sd: the port of the targets
    #[arg(long)]
    pub port: Option<u16>,
    /// Looks again and again, and shows what changes
    #[arg(long)]
    pub watch: bool,
    /// With --watch: how often
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub every: Duration,
    #[arg(long, hide = true)]
    pub script: bool,
    #[arg(long, hide = true, value_name = "NAME")]
    pub host: Option<String>,
}

#[derive(Debug, Clone, Subcommand)]
pub enum InventoryCommand {
    /// What came, went, moved or changed its address between two files of `inventory -o json`
    Diff { before: PathBuf, after: PathBuf },
    /// Makes another system as the site's guests are: a plan; --apply does it
    #[command(subcommand)]
    Push(super::Push),
}

/// The arguments; called as `runbook-inventory`, those that Ansible gives in the words of `runbook inventory`.
pub fn script_words(words: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let words: Vec<OsString> = words.into_iter().collect();
    let called = words.first().map(Path::new).and_then(Path::file_name);
    if called.is_none_or(|name| name != SCRIPT) {
        return words;
    }
    let ours = ["runbook", "inventory", "--script", "--output", "ansible"].map(OsString::from);
    // Everything is in `--list`, which is what is meant where nothing is said.
    ours.into_iter().chain(words.into_iter().skip(1).filter(|word| word != "--list")).collect()
}

/// `500ms`, `10s`, `5m`, `1h`.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err("expected a duration: 500ms, 10s, 5m, 1h".to_owned()),
    };
    let number: u64 = digits.parse().map_err(|_| "expected a whole number and a unit: 10s".to_owned())?;
    number.checked_mul(unit).map(Duration::from_millis).ok_or_else(|| "that is too long".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(given: &[&str]) -> Vec<String> {
        let words = script_words(given.iter().map(OsString::from));
        words.into_iter().map(|word| word.into_string().unwrap()).collect()
    }

    #[test]
    fn ansible_is_answered_under_its_own_name() {
        let ours = ["runbook", "inventory", "--script", "--output", "ansible"];
        assert_eq!(words(&["/srv/inv/runbook-inventory", "--list"]), ours);
        assert_eq!(words(&["runbook-inventory", "--host", "web"]), [&ours[..], &["--host", "web"]].concat());
        assert_eq!(words(&["/usr/bin/runbook", "list"]), ["/usr/bin/runbook", "list"]);
    }

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("5m"), Ok(Duration::from_secs(300)));
        for text in ["5", "m", "-5s", "5 s", "5w", "99999999999999999h"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
