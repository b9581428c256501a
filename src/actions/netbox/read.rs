//! What a NetBox has of guests: their virtual machines with all below them, and the numbers of all that.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::clients::netbox::{Netbox, NetboxError, Objects};
use crate::inventory::netbox::{MARK, Nic, Record, host_of};

/// A virtual machine as it is there.
#[derive(Debug, Clone)]
pub struct Seen {
    pub id: u64,
    pub record: Record,
    pub primary4: Option<u64>,
    pub primary6: Option<u64>,
    pub nics: Vec<SeenNic>,
}

#[derive(Debug, Clone)]
pub struct SeenNic {
    pub id: u64,
    pub name: String,
    pub enabled: bool,
    pub primary: Option<u64>,
    /// Numbers and texts.
    pub macs: Vec<(u64, String)>,
    pub ips: Vec<(u64, String)>,
}

/// A cluster's virtual machines.
#[derive(Debug, Clone, Default)]
pub struct Inside {
    /// By their marks.
    pub guests: BTreeMap<String, Seen>,
    /// Those of others: numbers and names.
    pub others: Vec<(u64, String)>,
    /// Marks that more than one has.
    pub twice: Vec<String>,
}

fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

fn mark(vm: &Value) -> Option<String> {
    text(&vm["custom_fields"][MARK])
}

/// A list that must be there: older servers lack it.
fn needs<'a>(value: &'a Value, what: &str) -> Result<&'a Vec<Value>, NetboxError> {
    let old = || NetboxError::Shape(format!("the interface has no {what}: NetBox 4.2 or newer is needed"));
    value.as_array().ok_or_else(old)
}

fn nic(interface: &Value, ips: &[Value]) -> Result<SeenNic, NetboxError> {
    let id = interface["id"].as_u64().unwrap_or_default();
    let macs = needs(&interface["mac_addresses"], "`mac_addresses`")?;
    let pair = |object: &Value, field: &str| Some((object["id"].as_u64()?, object[field].as_str()?.to_owned()));
    let upper = |(id, mac): (u64, String)| (id, mac.to_uppercase());
    let here = |ip: &&Value| {
        ip["assigned_object_type"] == "virtualization.vminterface" && ip["assigned_object_id"].as_u64() == Some(id)
    };
    Ok(SeenNic {
        id,
        name: text(&interface["name"]).unwrap_or_default(),
        enabled: interface["enabled"] != false,
        primary: interface["primary_mac_address"]["id"].as_u64(),
        macs: macs.iter().filter_map(|mac| pair(mac, "mac_address")).map(upper).collect(),
        ips: ips.iter().filter(here).filter_map(|ip| pair(ip, "address")).collect(),
    })
}

/// Puts a virtual machine together; of the lists only its own parts are taken.
fn seen(vm: &Value, interfaces: &[Value], ips: &[Value]) -> Result<Seen, NetboxError> {
    let id = vm["id"].as_u64().unwrap_or_default();
    let own = interfaces.iter().filter(|nic| nic["virtual_machine"]["id"].as_u64() == Some(id));
    let nics: Vec<SeenNic> = own.map(|interface| nic(interface, ips)).collect::<Result<_, _>>()?;
    let custom = &vm["custom_fields"];
    let shown = nics.iter().map(|nic| {
        let primary = nic.macs.iter().find(|(id, _)| Some(*id) == nic.primary);
        Nic {
            name: nic.name.clone(),
            enabled: nic.enabled,
            mac: primary.map(|(_, mac)| mac.clone()),
            addresses: Some(nic.ips.iter().map(|(_, address)| address.clone()).collect()),
            open: false,
            more_macs: nic.macs.iter().filter(|(id, _)| Some(*id) != nic.primary).map(|(_, mac)| mac.clone()).collect(),
        }
    });
    let record = Record {
        key: mark(vm).unwrap_or_default(),
        name: text(&vm["name"]).unwrap_or_default(),
        cluster: text(&vm["cluster"]["name"]).unwrap_or_default(),
        status: text(&vm["status"]["value"]),
        vcpus: vm["vcpus"].as_f64().or_else(|| vm["vcpus"].as_str()?.parse().ok()),
        memory: number(&vm["memory"]),
        disk: number(&vm["disk"]),
        has_disks: vm["virtual_disk_count"].as_u64().is_some_and(|count| count > 0),
        vmid: number(&custom["proxmox_vmid"]),
        node: text(&custom["proxmox_node"]),
        kind: text(&custom["proxmox_vm_type"]).or_else(|| text(&custom["proxmox_vm_type"]["value"])),
        interfaces: Some(shown.collect()),
        primary4: text(&vm["primary_ip4"]["address"]),
        primary6: text(&vm["primary_ip6"]["address"]),
    };
    Ok(Seen {
        id,
        record: record.sorted(),
        primary4: vm["primary_ip4"]["id"].as_u64(),
        primary6: vm["primary_ip6"]["id"].as_u64(),
        nics,
    })
}

async fn whole(netbox: &Netbox, vms: &[Value]) -> Result<Vec<Seen>, NetboxError> {
    let ids: Vec<String> = vms.iter().filter_map(|vm| vm["id"].as_u64()).map(|id| id.to_string()).collect();
    let (interfaces, ips) = tokio::try_join!(
        netbox.list_by(Objects::Interfaces, "virtual_machine_id", &ids),
        netbox.list_by(Objects::Ips, "virtual_machine_id", &ids)
    )?;
    let (nics, ips) = (by(&interfaces, |nic| nic["virtual_machine"]["id"].as_u64()), by(&ips, holder));
    let none = Vec::new();
    let own = |all: &BTreeMap<u64, Vec<Value>>, id: u64| all.get(&id).unwrap_or(&none).clone();
    let of = |vm: &Value| {
        let id = vm["id"].as_u64().unwrap_or_default();
        seen(vm, &own(&nics, id), &own(&ips, id))
    };
    vms.iter().map(of).collect()
}

/// Whose machine's address it is.
fn holder(ip: &Value) -> Option<u64> {
    ip["assigned_object"]["virtual_machine"]["id"].as_u64()
}

fn by(all: &[Value], of: impl Fn(&Value) -> Option<u64>) -> BTreeMap<u64, Vec<Value>> {
    let mut parted: BTreeMap<u64, Vec<Value>> = BTreeMap::new();
    for value in all {
        if let Some(id) = of(value) {
            parted.entry(id).or_default().push(value.clone());
        }
    }
    parted
}

/// The virtual machine with this mark. A server passes over a filter that it does not know, and one by part of a text
/// finds more than was asked for: what comes back is looked through.
pub async fn guest(netbox: &Netbox, key: &str) -> Result<Option<Seen>, NetboxError> {
    let filter = format!("cf_{MARK}");
    let found = netbox.list(Objects::Vms, &[(&filter, key.to_owned())]).await?;
    let marked: Vec<Value> = found.into_iter().filter(|vm| mark(vm).as_deref() == Some(key)).collect();
    if marked.len() > 1 {
        let ids: Vec<String> = marked.iter().map(|vm| vm["id"].to_string()).collect();
        let why = format!("the virtual machines {} all carry the mark {key}: take it off all but one", ids.join(", "));
        return Err(NetboxError::Wrong(why));
    }
    Ok(whole(netbox, &marked).await?.pop())
}

/// Marks in one request.
const MARKS: usize = 50;

/// The virtual machines with these marks, wherever they are; those of a mark that several carry, too.
pub async fn marked(netbox: &Netbox, keys: &[String]) -> Result<Vec<Seen>, NetboxError> {
    let filter = format!("cf_{MARK}");
    let mut found: BTreeMap<u64, Value> = BTreeMap::new();
    for chunk in keys.chunks(MARKS) {
        let filters: Vec<(&str, String)> = chunk.iter().map(|key| (filter.as_str(), key.clone())).collect();
        let all = netbox.list(Objects::Vms, &filters).await?;
        // One without a mark: the server knows no such filter, and this is all that it has.
        let is_whole = all.iter().any(|vm| mark(vm).is_none());
        let wanted = all.into_iter().filter(|vm| mark(vm).is_some_and(|mark| keys.contains(&mark)));
        found.extend(wanted.filter_map(|vm| Some((vm["id"].as_u64()?, vm))));
        if is_whole {
            break;
        }
    }
    whole(netbox, &found.into_values().collect::<Vec<_>>()).await
}

/// Whether an address is at this virtual machine at the moment.
pub async fn is_at(netbox: &Netbox, ip: u64, vm: u64) -> Result<bool, NetboxError> {
    Ok(netbox.get(Objects::Ips, ip).await?.as_ref().and_then(holder) == Some(vm))
}

/// A virtual machine by its number.
pub async fn vm(netbox: &Netbox, id: u64) -> Result<Option<Seen>, NetboxError> {
    let found = netbox.get(Objects::Vms, id).await?;
    Ok(whole(netbox, &found.into_iter().collect::<Vec<_>>()).await?.pop())
}

/// The number of the object that is called so, or nothing.
pub async fn named(netbox: &Netbox, of: Objects, name: &str) -> Result<Option<Value>, NetboxError> {
    let found = netbox.list(of, &[("name", name.to_owned())]).await?;
    let mut found = found.into_iter().filter(|object| object["name"] == name);
    match (found.next(), found.next()) {
        (first, None) => Ok(first),
        (_, Some(_)) => {
            Err(NetboxError::Wrong(format!("{}: several are called {name}: rename all but one", of.path())))
        }
    }
}

/// Everything in a cluster; nothing where there is no such cluster.
pub async fn inside(netbox: &Netbox, cluster: &str) -> Result<Inside, NetboxError> {
    let Some(found) = named(netbox, Objects::Clusters, cluster).await? else { return Ok(Inside::default()) };
    let id = found["id"].to_string();
    let all = netbox.list(Objects::Vms, &[("cluster_id", id)]).await?;
    let own = all.into_iter().filter(|vm| vm["cluster"]["id"] == found["id"]);
    let (marked, others): (Vec<Value>, Vec<Value>) = own.partition(|vm| mark(vm).is_some());
    let others = others.iter().filter_map(|vm| Some((vm["id"].as_u64()?, vm["name"].as_str()?.to_owned()))).collect();
    let mut inside = Inside { others, ..Inside::default() };
    for seen in whole(netbox, &marked).await? {
        let key = seen.record.key.clone();
        if inside.guests.insert(key.clone(), seen).is_some() {
            inside.twice.push(key);
        }
    }
    Ok(inside)
}

/// Where an address is.
#[derive(Debug, Clone)]
pub struct Place {
    pub id: u64,
    pub address: String,
    /// The virtual machine that has it.
    pub vm: Option<u64>,
    /// As a person reads it.
    pub on: String,
}

/// Which of these addresses are there, in the global table, whatever their prefixes.
pub async fn places(netbox: &Netbox, addresses: &[String]) -> Result<Vec<Place>, NetboxError> {
    let hosts: Vec<String> = addresses.iter().filter_map(|address| host_of(address)).map(|ip| ip.to_string()).collect();
    let found = netbox.list_by(Objects::Ips, "address", &hosts).await?;
    let global = found.into_iter().filter(|ip| ip["vrf"].is_null());
    let place = |ip: Value| {
        let address = ip["address"].as_str()?.to_owned();
        let wanted = hosts.contains(&host_of(&address)?.to_string());
        let object = &ip["assigned_object"];
        let on = match (holder(&ip), object["display"].as_str()) {
            (Some(_), _) => format!("on virtual machine {}", object["virtual_machine"]["name"].as_str().unwrap_or("?")),
            (None, Some(name)) => format!("on {name}"),
            (None, None) => "there, and assigned to nothing".to_owned(),
        };
        wanted.then(|| Some(Place { id: ip["id"].as_u64()?, vm: holder(&ip), address, on }))?
    };
    Ok(global.filter_map(place).collect())
}
