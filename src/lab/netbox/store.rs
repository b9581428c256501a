//! The objects: each a row of plain values, references as numbers.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::kind::{Kind, VM_INTERFACE};

pub type Row = Map<String, Value>;

/// All that there is. Cloned for each change, so that a change that is refused has changed nothing.
#[derive(Debug, Clone, Default)]
pub struct Store {
    rows: BTreeMap<Kind, BTreeMap<u64, Row>>,
    given: BTreeMap<Kind, u64>,
    /// Counts changes: what stands for the time of the last one.
    changes: u64,
}

impl Store {
    pub fn get(&self, kind: Kind, id: u64) -> Option<&Row> {
        self.rows.get(&kind)?.get(&id)
    }

    pub fn all(&self, kind: Kind) -> impl Iterator<Item = (u64, &Row)> {
        self.rows.get(&kind).into_iter().flatten().map(|(id, row)| (*id, row))
    }

    pub fn next_id(&mut self, kind: Kind) -> u64 {
        let given = self.given.entry(kind).or_default();
        *given += 1;
        *given
    }

    pub fn put(&mut self, kind: Kind, id: u64, mut row: Row) {
        self.changes += 1;
        row.insert("stamp".into(), json!(self.changes));
        let vm = row.get("virtual_machine").and_then(Value::as_u64).filter(|_| kind == Kind::Disk);
        self.rows.entry(kind).or_default().insert(id, row);
        vm.into_iter().for_each(|vm| self.sum_disks(vm));
    }

    /// The size of a virtual machine's disk is that of its virtual disks, as soon as it has any.
    fn sum_disks(&mut self, vm: u64) {
        let disks = self.referring(Kind::Disk, "virtual_machine", vm);
        let sizes: Vec<u64> = disks.iter().filter_map(|disk| self.get(Kind::Disk, *disk)?["size"].as_u64()).collect();
        let sum = if sizes.is_empty() { Value::Null } else { json!(sizes.iter().sum::<u64>()) };
        if let Some(row) = self.rows.get_mut(&Kind::Vm).and_then(|rows| rows.get_mut(&vm)) {
            row.insert("disk".into(), sum);
        }
    }

    pub fn etag(&self, kind: Kind, id: u64) -> Option<String> {
        let stamp = self.get(kind, id)?["stamp"].as_u64()?;
        Some(format!("W/\"2026-01-01T00:{:02}:{:02}.{:06}+00:00\"", stamp / 60 % 60, stamp % 60, stamp))
    }

    /// Rows of `kind` whose `field` is this number.
    pub fn referring(&self, kind: Kind, field: &str, id: u64) -> Vec<u64> {
        self.all(kind).filter(|(_, row)| row.get(field).and_then(Value::as_u64) == Some(id)).map(|(id, _)| id).collect()
    }

    /// What is assigned to an interface of a virtual machine.
    pub fn assigned(&self, kind: Kind, interface: u64) -> Vec<u64> {
        let rows = self.all(kind).filter(|(_, row)| interface_of(row) == Some(interface));
        rows.map(|(id, _)| id).collect()
    }

    /// The virtual machine that a MAC or IP address belongs to.
    pub fn vm_of(&self, row: &Row) -> Option<u64> {
        self.get(Kind::Interface, interface_of(row)?)?["virtual_machine"].as_u64()
    }

    /// Takes an object away with all that goes with it; references to it become nothing.
    ///
    /// # Errors
    /// Others depend on it.
    pub fn remove(&mut self, kind: Kind, id: u64) -> Result<(), String> {
        let protects: &[(Kind, &str)] = match kind {
            Kind::ClusterType => &[(Kind::Cluster, "type")],
            Kind::Cluster => &[(Kind::Vm, "cluster")],
            _ => &[],
        };
        for (other, field) in protects {
            let held: Vec<String> =
                self.referring(*other, field, id).iter().map(|id| self.named(*other, *id)).collect();
            if !held.is_empty() {
                let all = held.join(", ");
                return Err(format!("Unable to delete object. {} dependent objects were found: {all}", held.len()));
            }
        }
        match kind {
            Kind::Vm => {
                for (below, field) in [(Kind::Interface, "virtual_machine"), (Kind::Disk, "virtual_machine")] {
                    for id in self.referring(below, field, id) {
                        self.remove(below, id)?;
                    }
                }
            }
            Kind::Interface => {
                for below in [Kind::Mac, Kind::Ip] {
                    for id in self.assigned(below, id) {
                        self.remove(below, id)?;
                    }
                }
            }
            Kind::Mac => self.forget(Kind::Interface, "primary_mac_address", id),
            Kind::Ip => {
                self.forget(Kind::Vm, "primary_ip4", id);
                self.forget(Kind::Vm, "primary_ip6", id);
            }
            Kind::CustomField => self.drop_values(id),
            Kind::ClusterType | Kind::Cluster | Kind::Disk => {}
        }
        let gone = self.rows.get_mut(&kind).and_then(|rows| rows.remove(&id));
        if let (Kind::Disk, Some(vm)) = (kind, gone.and_then(|row| row.get("virtual_machine")?.as_u64())) {
            self.sum_disks(vm);
        }
        self.changes += 1;
        Ok(())
    }

    /// `web (5)`
    fn named(&self, kind: Kind, id: u64) -> String {
        let name = self.get(kind, id).and_then(|row| row.get("name")).and_then(Value::as_str).unwrap_or_default();
        format!("{name} ({id})")
    }

    fn forget(&mut self, kind: Kind, field: &str, id: u64) {
        for holder in self.referring(kind, field, id) {
            if let Some(row) = self.rows.get_mut(&kind).and_then(|rows| rows.get_mut(&holder)) {
                row.insert(field.to_owned(), Value::Null);
            }
        }
    }

    /// A custom field takes its values with it.
    fn drop_values(&mut self, id: u64) {
        let Some(name) = self.get(Kind::CustomField, id).and_then(|row| row["name"].as_str().map(str::to_owned)) else {
            return;
        };
        for row in self.rows.values_mut().flat_map(BTreeMap::values_mut) {
            if let Some(Value::Object(values)) = row.get_mut("custom_fields") {
                values.remove(&name);
            }
        }
    }

    /// Names of the custom fields of a kind of object.
    pub fn custom_fields(&self, kind: Kind) -> impl Iterator<Item = &str> {
        let wanted = kind.content_type();
        let of = move |row: &&Row| row["object_types"].as_array().is_some_and(|all| all.iter().any(|t| *t == wanted));
        self.all(Kind::CustomField).map(|(_, row)| row).filter(of).filter_map(|row| row["name"].as_str())
    }
}

pub fn interface_of(row: &Row) -> Option<u64> {
    row.get("assigned_object_type").filter(|kind| **kind == VM_INTERFACE)?;
    row.get("assigned_object_id")?.as_u64()
}
