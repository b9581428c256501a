//! Makes one guest's objects so: what is missing first, from the machine down to its addresses; then what points at them;
//! then what is too much is taken away. Begun again at any place it ends in the same.

use serde_json::{Map, Value, json};

use super::read::{self, Seen, SeenNic};
use crate::clients::netbox::{Netbox, NetboxError, Objects};
use crate::inventory::netbox::{MARK, Nic, Record, host_of};

/// What was done, for a failure that comes after it.
#[derive(Debug, Default, Clone, Copy)]
pub struct Work {
    pub writes: usize,
}

/// One guest's objects, and how far they are.
pub struct Converge<'a> {
    netbox: &'a Netbox,
    key: &'a str,
    /// An object without a mark that is to be taken over.
    adopt: Option<u64>,
    pub work: Work,
}

const ON: &str = "virtualization.vminterface";

fn id(object: &Value) -> Result<u64, NetboxError> {
    object["id"].as_u64().ok_or_else(|| NetboxError::Shape("an object without a number".into()))
}

impl<'a> Converge<'a> {
    pub fn new(netbox: &'a Netbox, key: &'a str, adopt: Option<u64>) -> Self {
        Self { netbox, key, adopt, work: Work::default() }
    }

    async fn create(&mut self, of: Objects, body: Value) -> Result<u64, NetboxError> {
        let made = self.netbox.create(of, body).await?;
        self.work.writes += 1;
        id(&made)
    }

    async fn update(&mut self, of: Objects, id: u64, body: Value) -> Result<(), NetboxError> {
        self.netbox.update(of, id, body).await?;
        self.work.writes += 1;
        Ok(())
    }

    async fn delete(&mut self, of: Objects, id: u64) -> Result<(), NetboxError> {
        self.netbox.delete(of, id).await?;
        self.work.writes += 1;
        Ok(())
    }

    async fn now(&self) -> Result<Option<Seen>, NetboxError> {
        match (read::guest(self.netbox, self.key).await?, self.adopt) {
            (None, Some(id)) => {
                let seen = read::vm(self.netbox, id).await?;
                match seen.as_ref().map(|seen| seen.record.key.as_str()) {
                    Some(other) if !other.is_empty() && other != self.key => {
                        Err(NetboxError::Wrong(format!("virtual machine {id} is {other} already")))
                    }
                    _ => Ok(seen),
                }
            }
            (seen, _) => Ok(seen),
        }
    }

    /// An address that is too much here, unless another guest has taken it meanwhile.
    async fn drop_address(&mut self, vm: u64, ip: u64) -> Result<(), NetboxError> {
        match read::is_at(self.netbox, ip, vm).await? {
            true => self.delete(Objects::Ips, ip).await,
            false => Ok(()),
        }
    }

    /// Whether a mark is of the site whose guest this is: others may keep theirs in the same NetBox.
    fn is_of_our_site(&self, mark: &str) -> bool {
        let site = |key: &str| key.rsplit_once('/').map(|(site, _)| site.to_owned());
        site(mark).is_some() && site(mark) == site(self.key)
    }

    /// # Errors
    /// What came back; [`Converge::work`] says how much was done before it.
    pub async fn present(&mut self, wanted: &Record) -> Result<(), NetboxError> {
        let now = self.now().await?;
        let vm = self.machine(now.as_ref(), wanted).await?;
        let mut ids = Vec::new();
        let none = Vec::new();
        let there = now.as_ref().map_or(&none, |seen| &seen.nics);
        for nic in wanted.nics() {
            let seen = there.iter().find(|seen| seen.name == nic.name);
            let id = self.interface(vm, seen, nic).await?;
            self.macs(id, seen, nic).await?;
            ids.push((nic, id));
        }
        let addresses = self.addresses(vm, there, &ids).await?;
        self.primaries(vm, now.as_ref(), wanted, &addresses).await?;
        let kept: Vec<u64> = addresses.iter().map(|(_, id)| *id).collect();
        for (ip, _) in there.iter().flat_map(|nic| &nic.ips).filter(|(ip, _)| !kept.contains(ip)) {
            self.drop_address(vm, *ip).await?;
        }
        for gone in there.iter().filter(|seen| !wanted.nics().iter().any(|nic| nic.name == seen.name)) {
            for (mac, _) in &gone.macs {
                self.delete(Objects::Macs, *mac).await?;
            }
            self.delete(Objects::Interfaces, gone.id).await?;
        }
        Ok(())
    }

    /// # Errors
    /// As [`Converge::present`].
    pub async fn absent(&mut self) -> Result<(), NetboxError> {
        let Some(seen) = read::guest(self.netbox, self.key).await? else { return Ok(()) };
        for nic in &seen.nics {
            for (ip, _) in &nic.ips {
                self.drop_address(seen.id, *ip).await?;
            }
            for (mac, _) in &nic.macs {
                self.delete(Objects::Macs, *mac).await?;
            }
            self.delete(Objects::Interfaces, nic.id).await?;
        }
        // The mark goes with it, so last: until then the rest is found again.
        self.delete(Objects::Vms, seen.id).await
    }

    async fn cluster(&self, name: &str) -> Result<u64, NetboxError> {
        let none =
            || NetboxError::Wrong(format!("NetBox has no cluster {name}: `runbook do netbox.setup --apply` makes it"));
        id(&read::named(self.netbox, Objects::Clusters, name).await?.ok_or_else(none)?)
    }

    async fn machine(&mut self, now: Option<&Seen>, wanted: &Record) -> Result<u64, NetboxError> {
        let empty = Record::default();
        let was = now.map_or(&empty, |seen| &seen.record);
        let mut body = Map::new();
        let mut put = |name: &str, differs: bool, value: Value| {
            if differs {
                body.insert(name.to_owned(), value);
            }
        };
        put("name", was.name != wanted.name, json!(wanted.name));
        put("status", was.status != wanted.status, json!(wanted.status));
        put("vcpus", was.vcpus != wanted.vcpus, json!(wanted.vcpus));
        put("memory", was.memory != wanted.memory, json!(wanted.memory));
        put("disk", was.disk != wanted.disk && !was.has_disks, json!(wanted.disk));
        // A primary address that goes or moves is let go of first: it could not be reassigned.
        put("primary_ip4", was.primary4.is_some() && was.primary4 != wanted.primary4, Value::Null);
        put("primary_ip6", was.primary6.is_some() && was.primary6 != wanted.primary6, Value::Null);
        let custom = [
            (MARK, was.key != self.key, json!(self.key)),
            ("proxmox_vmid", was.vmid != wanted.vmid, json!(wanted.vmid)),
            ("proxmox_node", was.node != wanted.node, json!(wanted.node)),
            ("proxmox_vm_type", was.kind != wanted.kind, json!(wanted.kind)),
        ];
        let custom: Map<String, Value> = custom
            .into_iter()
            .filter(|(_, differs, _)| *differs)
            .map(|(name, _, value)| (name.to_owned(), value))
            .collect();
        if !custom.is_empty() {
            body.insert("custom_fields".into(), Value::Object(custom));
        }
        if was.cluster != wanted.cluster {
            body.insert("cluster".into(), json!(self.cluster(&wanted.cluster).await?));
        }
        match now {
            None => {
                body.retain(|_, value| !value.is_null());
                self.create(Objects::Vms, Value::Object(body)).await
            }
            Some(seen) => {
                if !body.is_empty() {
                    self.update(Objects::Vms, seen.id, Value::Object(body)).await?;
                }
                Ok(seen.id)
            }
        }
    }

    async fn interface(&mut self, vm: u64, seen: Option<&SeenNic>, nic: &Nic) -> Result<u64, NetboxError> {
        match seen {
            None => {
                let body = json!({"virtual_machine": vm, "name": nic.name, "enabled": nic.enabled});
                self.create(Objects::Interfaces, body).await
            }
            Some(seen) => {
                if seen.enabled != nic.enabled {
                    self.update(Objects::Interfaces, seen.id, json!({"enabled": nic.enabled})).await?;
                }
                Ok(seen.id)
            }
        }
    }

    /// The interface's own object of its MAC address, and no other: the same address elsewhere is another object.
    async fn macs(&mut self, interface: u64, seen: Option<&SeenNic>, nic: &Nic) -> Result<(), NetboxError> {
        let there = seen.map(|seen| seen.macs.as_slice()).unwrap_or_default();
        let primary = seen.and_then(|seen| seen.primary);
        let fits = |(_, mac): &&(u64, String)| nic.mac.as_ref() == Some(mac);
        // Of several the one that is the primary one already.
        let found = there.iter().filter(fits).find(|(id, _)| Some(*id) == primary).or_else(|| there.iter().find(fits));
        let wanted = match (&nic.mac, found) {
            (None, _) => None,
            (Some(_), Some((id, _))) => Some(*id),
            (Some(mac), None) => {
                let body = json!({"mac_address": mac, "assigned_object_type": ON, "assigned_object_id": interface});
                Some(self.create(Objects::Macs, body).await?)
            }
        };
        if primary != wanted {
            self.update(Objects::Interfaces, interface, json!({"primary_mac_address": wanted})).await?;
        }
        for (mac, _) in there.iter().filter(|(mac, _)| Some(*mac) != wanted) {
            self.delete(Objects::Macs, *mac).await?;
        }
        Ok(())
    }

    /// Each address on its interface: made, or moved from where the machine, or another guest of ours, has it. Texts and
    /// numbers of all that are wanted.
    async fn addresses(
        &mut self,
        vm: u64,
        there: &[SeenNic],
        wanted: &[(&Nic, u64)],
    ) -> Result<Vec<(String, u64)>, NetboxError> {
        let mut all = Vec::new();
        for (nic, interface) in wanted {
            for address in nic.addresses.iter().flatten() {
                let own = |seen: &SeenNic| {
                    let same = seen.ips.iter().find(|(_, text)| host_of(text) == host_of(address));
                    same.map(|(ip, text)| (*ip, seen.id == *interface && text == address))
                };
                let assigned = json!({"address": address, "assigned_object_type": ON, "assigned_object_id": interface});
                let ip = match there.iter().find_map(own) {
                    Some((ip, true)) => ip,
                    Some((ip, false)) => {
                        self.update(Objects::Ips, ip, assigned).await?;
                        ip
                    }
                    None => self.take(vm, address, assigned).await?,
                };
                all.push((address.clone(), ip));
            }
        }
        Ok(all)
    }

    /// An address that the machine has not yet.
    async fn take(&mut self, vm: u64, address: &str, assigned: Value) -> Result<u64, NetboxError> {
        let mut body = assigned.clone();
        body["status"] = json!("active");
        let taken = match self.create(Objects::Ips, body).await {
            Err(error) if error.is_address_taken() => error,
            made => return made,
        };
        let places = read::places(self.netbox, &[address.to_owned()]).await?;
        let Some(place) = places.first() else { return Err(taken) };
        let Some(other) = place.vm else { return Err(taken) };
        if other != vm {
            let holder = read::vm(self.netbox, other).await?;
            let holder = holder.filter(|holder| self.is_of_our_site(&holder.record.key));
            let Some(holder) = holder else { return Err(taken) };
            for (field, primary) in [("primary_ip4", holder.primary4), ("primary_ip6", holder.primary6)] {
                if primary == Some(place.id) {
                    self.update(Objects::Vms, other, json!({field: null})).await?;
                }
            }
        }
        self.update(Objects::Ips, place.id, assigned).await?;
        Ok(place.id)
    }

    async fn primaries(
        &mut self,
        vm: u64,
        now: Option<&Seen>,
        wanted: &Record,
        addresses: &[(String, u64)],
    ) -> Result<(), NetboxError> {
        let id = |address: &Option<String>| {
            let address = address.as_ref()?;
            addresses.iter().find(|(text, _)| text == address).map(|(_, id)| *id)
        };
        let was = |of: fn(&Seen) -> (Option<u64>, &Option<String>)| {
            now.map_or((None, None), |seen| {
                let (id, text) = of(seen);
                (id, text.clone())
            })
        };
        let mut body = Map::new();
        let both = [
            ("primary_ip4", &wanted.primary4, was(|seen| (seen.primary4, &seen.record.primary4))),
            ("primary_ip6", &wanted.primary6, was(|seen| (seen.primary6, &seen.record.primary6))),
        ];
        for (field, wanted, (before, text)) in both {
            // What differed was let go of with the machine's own fields.
            let held = before.filter(|_| text == *wanted);
            if id(wanted).is_some() && id(wanted) != held {
                body.insert(field.to_owned(), json!(id(wanted)));
            }
        }
        if body.is_empty() { Ok(()) } else { self.update(Objects::Vms, vm, Value::Object(body)).await }
    }
}
