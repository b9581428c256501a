//! One guest's objects in NetBox as one value, without their numbers there.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// The custom field that says which guest a virtual machine is, and that it is ours to change.
pub const MARK: &str = "runbook_guest";

/// The custom fields that there must be, and of which type: the mark, and what others write, too.
pub const FIELDS: [(&str, &str, &str); 4] = [
    (MARK, "text", "Which guest of a Proxmox site it is, kept by runbook"),
    ("proxmox_vmid", "integer", "The guest's number at its Proxmox site"),
    ("proxmox_node", "text", "The Proxmox node that it is on"),
    ("proxmox_vm_type", "text", "vm or lxc"),
];

/// A virtual machine and all below it. What is absent is not known: [`Record::filled`] keeps what there is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Record {
    /// `lab.example/104`
    #[serde(default)]
    pub key: String,
    pub name: String,
    pub cluster: String,
    #[serde(default)]
    pub status: Option<String>,
    #[serde(default)]
    pub vcpus: Option<f64>,
    /// MB of 1,000,000 bytes, as NetBox counts.
    #[serde(default)]
    pub memory: Option<u64>,
    /// MB.
    #[serde(default)]
    pub disk: Option<u64>,
    /// NetBox takes the disk's size from virtual disks that somebody keeps there, and lets nobody say another.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_disks: bool,
    #[serde(default)]
    pub vmid: Option<u64>,
    #[serde(default)]
    pub node: Option<String>,
    /// `vm` or `lxc`
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
    #[serde(default)]
    pub interfaces: Option<Vec<Nic>>,
    /// With its prefix, as one of the interfaces has it.
    #[serde(default)]
    pub primary4: Option<String>,
    #[serde(default)]
    pub primary6: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Nic {
    pub name: String,
    #[serde(default = "yes")]
    pub enabled: bool,
    /// In upper case, as NetBox writes it.
    #[serde(default)]
    pub mac: Option<String>,
    /// `10.0.0.5/24`, sorted.
    #[serde(default)]
    pub addresses: Option<Vec<String>>,
    /// There may be more of them, since the guest was not heard: what NetBox has there stays.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub open: bool,
    /// MAC addresses beside the primary one: none is ever wanted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more_macs: Vec<String>,
}

fn yes() -> bool {
    true
}

/// The address without its prefix.
pub fn host_of(address: &str) -> Option<IpAddr> {
    address.split('/').next()?.parse().ok()
}

impl Record {
    /// With what is not known as it is there: nothing is taken away because nobody could tell.
    pub fn filled(mut self, now: Option<&Self>) -> Self {
        let empty = Self::default();
        let now = now.unwrap_or(&empty);
        self.status = self.status.or_else(|| now.status.clone()).or_else(|| Some("active".into()));
        self.vcpus = self.vcpus.or(now.vcpus);
        self.memory = self.memory.or(now.memory);
        self.has_disks = now.has_disks;
        self.disk = self.disk.filter(|_| !now.has_disks).or(now.disk);
        self.vmid = self.vmid.or(now.vmid);
        self.node = self.node.or_else(|| now.node.clone());
        self.kind = self.kind.or_else(|| now.kind.clone());
        let is_known = |nic: &Nic| nic.addresses.is_some() && !nic.open;
        let known = self.interfaces.as_ref().is_some_and(|nics| nics.iter().all(is_known));
        let own: Vec<(String, Option<IpAddr>)> =
            self.addresses().map(|(nic, address)| (nic.to_owned(), host_of(address))).collect();
        let mut nics = self.interfaces.take().or_else(|| now.interfaces.clone()).unwrap_or_default();
        for nic in nics.iter_mut().filter(|nic| !is_known(nic)) {
            let old = now.nics().iter().find(|old| old.name == nic.name);
            // What is known to be on another interface by now is not kept here.
            let elsewhere = |address: &str| own.iter().any(|(on, ip)| *on != nic.name && *ip == host_of(address));
            let mut all: Vec<String> =
                old.into_iter().flat_map(|old| old.addresses.iter().flatten().cloned()).collect();
            all.retain(|address| !elsewhere(address));
            for address in nic.addresses.take().unwrap_or_default() {
                if !all.iter().any(|there| host_of(there) == host_of(&address)) {
                    all.push(address);
                }
            }
            (nic.addresses, nic.open) = (Some(all), false);
        }
        self.interfaces = Some(nics);
        if !known {
            // In the words in which it is there, prefix and all.
            let there = |address: &Option<String>| {
                let ip = host_of(address.as_ref()?)?;
                self.addresses().find(|(_, own)| host_of(own) == Some(ip)).map(|(_, own)| own.to_owned())
            };
            let (four, six) = (there(&now.primary4), there(&now.primary6));
            (self.primary4, self.primary6) = (four.or(there(&self.primary4)), six.or(there(&self.primary6)));
        }
        self.sorted()
    }

    /// In the one order in which two of them are compared.
    pub fn sorted(mut self) -> Self {
        for nic in self.interfaces.iter_mut().flatten() {
            nic.addresses.iter_mut().for_each(|all| all.sort());
            nic.more_macs.sort();
        }
        self.interfaces.iter_mut().for_each(|nics| nics.sort_by(|a, b| a.name.cmp(&b.name)));
        self
    }

    pub fn nics(&self) -> &[Nic] {
        self.interfaces.as_deref().unwrap_or_default()
    }

    /// Every address with the interface that has it.
    pub fn addresses(&self) -> impl Iterator<Item = (&str, &str)> {
        self.nics()
            .iter()
            .flat_map(|nic| nic.addresses.iter().flatten().map(move |address| (nic.name.as_str(), address.as_str())))
    }

    pub fn has(&self, address: &str) -> bool {
        self.addresses().any(|(_, own)| own == address)
    }

    /// Keeps an address as `now` has it, where the interface that has it is still there; a primary one, too.
    pub fn keep(&mut self, ip: IpAddr, now: &Self) {
        let is = |address: &str| host_of(address) == Some(ip);
        let Some((on, address)) = now.addresses().find(|(_, address)| is(address)) else { return };
        let all = self.interfaces.iter_mut().flatten().find(|nic| nic.name == on).map(|nic| &mut nic.addresses);
        let Some(all) = all else { return };
        let all = all.get_or_insert_default();
        if !all.iter().any(|own| is(own)) {
            all.push(address.to_owned());
            all.sort();
        }
        let kept = |primary: &Option<String>| primary.clone().filter(|primary| is(primary));
        self.primary4 = kept(&now.primary4).or(self.primary4.take());
        self.primary6 = kept(&now.primary6).or(self.primary6.take());
    }

    /// Without an address that it cannot have.
    pub fn without(mut self, address: &str) -> Self {
        let is = |own: &String| host_of(own) == host_of(address);
        for nic in self.interfaces.iter_mut().flatten() {
            nic.addresses.iter_mut().for_each(|all| all.retain(|own| !is(own)));
        }
        self.primary4 = self.primary4.filter(|own| !is(own));
        self.primary6 = self.primary6.filter(|own| !is(own));
        self
    }
}
