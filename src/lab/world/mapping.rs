//! Resource mappings: a device by one name on every node that has it.

use serde_json::{Value, json};

use super::World;
use crate::lab::call::{Call, PveError, Reply};

pub(super) fn pci(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    Ok(rows(world, call, "pci"))
}

pub(super) fn usb(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    Ok(rows(world, call, "usb"))
}

pub(super) fn dir(world: &mut World, call: &Call) -> Result<Reply, PveError> {
    Ok(rows(world, call, "dir"))
}

fn rows(world: &World, call: &Call, class: &str) -> Reply {
    let Some(ids) = world.mappings.get(class) else { return Reply::read(json!([])) };
    let seen = ids.iter().filter(|(id, _)| call.privileges.may(&format!("/mapping/{class}/{id}"), "Mapping.Audit"));
    let rows: Vec<Value> = seen
        .map(|(id, places)| {
            let map: Vec<String> = places
                .iter()
                .map(|(node, place)| match class {
                    "pci" => format!("id=10de:2236,iommugroup=14,node={node},path={place}"),
                    "usb" => format!("id={place},node={node}"),
                    _ => format!("node={node},path={place}"),
                })
                .collect();
            let mut row = json!({"id": id, "type": class, "map": map, "description": ""});
            if call.params.contains_key("check-node") {
                row["checks"] = json!([]);
            }
            row
        })
        .collect();
    Reply::read(json!(rows))
}

impl World {
    /// The mappings that a guest uses: configuration key, mapping id, device class.
    pub(super) fn mapped_devices(&self, guest: &super::guest::Guest) -> Vec<(String, String, &'static str)> {
        let mut found = Vec::new();
        for (key, value) in &guest.config.0 {
            let class = match super::config::stem(key) {
                "hostpci" => "pci",
                "usb" => "usb",
                _ => continue,
            };
            if let Some(id) = super::config::option(value, "mapping") {
                found.push((key.clone(), id.to_owned(), class));
            }
        }
        found
    }

    pub(super) fn has_mapping(&self, class: &str, id: &str, node: &str) -> bool {
        self.mappings.get(class).and_then(|ids| ids.get(id)).is_some_and(|places| places.contains_key(node))
    }
}
