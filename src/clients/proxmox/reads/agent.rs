//! Addresses as the guest itself sees them: QEMU agent and container interfaces.

use serde_json::Value;

use crate::clients::proxmox::loose::Row;
use crate::clients::proxmox::{Answer, ProxmoxError, Site, seg};
use crate::model::ids::{NodeName, Vmid};

/// An address with its prefix length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestAddress {
    /// Without zone: Windows adds `%6` to link-local ones.
    pub address: String,
    pub prefix: Option<u64>,
}

/// A network interface inside a guest. Several may share a MAC; an enslaved one has no address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestInterface {
    pub name: String,
    /// Upper case, as in the guest's configuration.
    pub mac: Option<String>,
    pub addresses: Vec<GuestAddress>,
}

/// The agent's answer. An agent without the command answers 200 with an error inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentAnswer {
    Interfaces(Vec<GuestInterface>),
    Error { class: String, desc: String },
}

impl AgentAnswer {
    fn read(answer: &Answer) -> Result<Self, ProxmoxError> {
        let row = answer.row()?;
        if let Some(Value::Object(_)) = row.value("result") {
            let error = row.object("result")?.object("error")?;
            let class = error.opt_text("class")?.unwrap_or_default();
            return Ok(Self::Error { class, desc: error.opt_text("desc")?.unwrap_or_default() });
        }
        let rows = row.list("result")?;
        Ok(Self::Interfaces(rows.iter().map(interface).collect::<Result<_, _>>()?))
    }
}

fn interface(row: &Row<'_>) -> Result<GuestInterface, ProxmoxError> {
    let mac = row.opt_text("hardware-address")?.map_or_else(|| row.opt_text("hwaddr"), |mac| Ok(Some(mac)))?;
    let mut addresses = Vec::new();
    for address in row.list("ip-addresses")? {
        let text = address.text("ip-address")?;
        let plain = text.split('%').next().unwrap_or_default().to_owned();
        addresses.push(GuestAddress { address: plain, prefix: address.opt_uint("prefix")? });
    }
    // Before 9.x a container has only these, and only the last address of each kind.
    for field in ["inet", "inet6"] {
        if let Some(text) = row.opt_text(field)?.filter(|_| row.value("ip-addresses").is_none()) {
            let (address, prefix) = text.split_once('/').unwrap_or((&text, ""));
            addresses.push(GuestAddress { address: address.to_owned(), prefix: prefix.parse().ok() });
        }
    }
    Ok(GuestInterface { name: row.text("name")?, mac: mac.map(|m| m.to_ascii_uppercase()), addresses })
}

fn container(answer: &Answer) -> Result<Option<Vec<GuestInterface>>, ProxmoxError> {
    if answer.data.is_null() {
        return Ok(None);
    }
    answer.each(interface).map(Some)
}

impl Site {
    /// Errors come as 500 with a text when no agent is configured, the VM is stopped or the agent does not run.
    pub async fn agent_interfaces(&self, node: &NodeName, vmid: Vmid) -> Result<AgentAnswer, ProxmoxError> {
        let path = format!("/nodes/{}/qemu/{vmid}/agent/network-get-interfaces", seg(node));
        AgentAnswer::read(&self.get(&path, &[]).await?)
    }

    /// `None` for a container that is stopped.
    pub async fn container_interfaces(
        &self,
        node: &NodeName,
        vmid: Vmid,
    ) -> Result<Option<Vec<GuestInterface>>, ProxmoxError> {
        container(&self.get(&format!("/nodes/{}/lxc/{vmid}/interfaces", seg(node)), &[]).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{answer, recorded};
    use super::*;
    use serde_json::json;

    fn interfaces(name: &str) -> Vec<GuestInterface> {
        match AgentAnswer::read(&recorded(name)).unwrap() {
            AgentAnswer::Interfaces(list) => list,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn recorded_agents_are_read() {
        let list = interfaces("fs-agent-network-get-interfaces.json");
        let enslaved = list.iter().find(|i| i.name == "enp6s18").unwrap();
        assert!(enslaved.addresses.is_empty());
        assert_eq!(enslaved.mac.as_deref(), Some("BC:24:11:A7:85:C8"));
        let windows = interfaces("fs-agent-network-windows.json");
        assert!(windows[0].addresses.iter().all(|a| !a.address.contains('%')));
    }

    #[test]
    fn an_agent_without_the_command_is_an_answer() {
        let data = json!({"result": {"error": {"class": "CommandNotFound", "desc": "no such command"}}});
        let got = AgentAnswer::read(&answer(data)).unwrap();
        assert_eq!(got, AgentAnswer::Error { class: "CommandNotFound".into(), desc: "no such command".into() });
    }

    #[test]
    fn containers_have_two_shapes_and_null() {
        let list = container(&recorded("gp-lxc-interfaces-legacy.json")).unwrap().unwrap();
        assert!(list.iter().any(|i| i.addresses.iter().any(|a| a.prefix.is_some())));
        let new = json!([{"name": "eth0", "hardware-address": "bc:24:11:00:00:01", "inet": "10.0.0.9/24",
            "ip-addresses": [{"ip-address-type": "inet", "ip-address": "10.0.0.9", "prefix": "24"}]}]);
        let list = container(&answer(new)).unwrap().unwrap();
        assert_eq!(list[0].addresses, [GuestAddress { address: "10.0.0.9".into(), prefix: Some(24) }]);
        assert_eq!(container(&answer(json!(null))).unwrap(), None);
    }
}
