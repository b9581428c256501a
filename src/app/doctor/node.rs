//! One node: its API, its version, its clock, and commands over SSH.

use std::time::Duration;

use super::{Finding, State};
use crate::actions;
use crate::app::error::Exit;
use crate::app::settings::Settings;
use crate::clients::proxmox::Site;
use crate::clients::ssh::Ssh;
use crate::model::site::SiteNode;
use crate::sys::clock as ours;

/// Major versions whose API this program was written for.
const SUPPORTED: [&str; 2] = ["8", "9"];
/// A clock that is further off than this makes tickets and certificates fail sooner or later, and times in logs lie.
const OFF: i64 = 10;
/// For a command that does nothing, connecting included.
const PATIENCE: Duration = Duration::from_secs(15);
/// The exit code of `ssh` itself.
const SSH_FAILED: i32 = 255;

/// Whether its API answers, and with which version.
pub async fn api(site: &Site, node: &SiteNode) -> Finding {
    let what = format!("node {}", node.name);
    let version = match site.node_version(&node.name).await {
        Ok(version) => version.version,
        Err(error) => {
            let failure = actions::proxmox::failure(site, format!("ask node {}", node.name), &error);
            return Finding::of(&what, &failure.into());
        }
    };
    let says = format!("{}:{} answers, Proxmox VE {version}", node.host, node.port);
    let major = version.split('.').next().unwrap_or_default();
    if SUPPORTED.contains(&major) {
        return Finding::good(what, says);
    }
    let known = SUPPORTED.join(" and ");
    Finding::warning(
        what,
        says,
        format!("this program knows Proxmox VE {known}: rehearse with a guest of no value first"),
    )
}

/// How far its clock is off ours; nothing where it is not told, which the privileges say already.
pub async fn clock(settings: &Settings, site: &Site, node: &SiteNode) -> Option<Finding> {
    // A lab's time runs faster than ours.
    if settings.lab_scale.is_some() {
        return None;
    }
    let before = ours::now_ms();
    let theirs = i64::try_from(site.node_time(&node.name).await.ok()?).ok()?;
    let now = before.midpoint(ours::now_ms()) / 1000;
    Some(judged(node.name.as_str(), theirs - now))
}

fn judged(node: &str, off: i64) -> Finding {
    let what = format!("clock of {node}");
    if off.abs() <= OFF {
        return Finding::good(what, "as ours");
    }
    let how = if off > 0 { "ahead of" } else { "behind" };
    let says = format!("{} s {how} this machine's", off.abs());
    Finding::warning(what, says, "look on both sides whether chrony or another time service runs: `timedatectl`")
}

/// Whether commands get there. Without a configuration for it a failure is worth a warning.
pub async fn ssh(ssh: &Ssh, node: &SiteNode, configured: bool) -> Finding {
    let (what, host) = (format!("ssh {}", node.name), node.name.to_string());
    let why = match ssh.run(&host, &["true"], PATIENCE).await {
        Ok(output) if output.exit != SSH_FAILED => return Finding::good(what, "commands are taken"),
        Ok(output) => output.last_line().unwrap_or("ssh ended with 255").to_owned(),
        Err(error) => error.to_string(),
    };
    let remedy = format!(
        "try `ssh {host} true`: ssh_config says HostName, Port and ProxyJump, and known_hosts must have the host's key; \
         HA maintenance, unlocking and steps of ssh.* need it"
    );
    let failed = Finding::bad(Exit::Unreachable, what, why, Some(remedy));
    if configured { failed } else { Finding { state: State::Warning, exit: Exit::Done, ..failed } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_off_is_said_with_its_direction() {
        assert_eq!(judged("pve1", -3).state, State::Good);
        let ahead = judged("pve1", 75);
        assert_eq!((ahead.state, ahead.says.as_str()), (State::Warning, "75 s ahead of this machine's"));
        assert_eq!(judged("pve1", -11).says, "11 s behind this machine's");
    }
}
