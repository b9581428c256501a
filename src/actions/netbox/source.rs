//! A NetBox, read for the World.
//!
//! | key | value |
//! |---|---|
//! | `netbox/version` | its version |
//! | `netbox/field/NAME` | a custom field: `{type, object_types}`, or null |
//! | `netbox/cluster_type/NAME` | `{slug}`, or null |
//! | `netbox/cluster/NAME` | `{type, status}`, or null |
//! | `netbox/guest/SITE/VMID` | the [`Record`](crate::inventory::netbox::Record) of what carries that mark, or null |
//! | `netbox/vm/ID` | the same of any virtual machine, by its number |
//! | `netbox/guests/CLUSTER` | `{guests: {KEY: record}, others: [{id, name}], twice: [KEY]}` |
//! | `netbox/marked/KEYS` | those of these guests (a JSON list) that are in any cluster: `{guests, twice}` |
//! | `netbox/places/ADDRESSES` | where these are (a JSON list): `[{id, address, vm, mark, on}]` |

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Map, Value, json};
use tokio::sync::Mutex;

use super::read::{self, Inside};
use super::{failed, unconfigured};
use crate::clients::netbox::{Netbox, NetboxError, Objects};
use crate::engine::ports::Source;
use crate::inventory::netbox::MARK;
use crate::model::effect::Done;
use crate::model::failure::{Class, Failure};
use crate::model::ids::ResourceKey;

/// Reads it.
#[derive(Clone)]
pub struct NetboxSource {
    netbox: Option<Netbox>,
    /// While planning: the site's cluster, read once.
    cluster: Option<String>,
    kept: Arc<Mutex<Option<Arc<Inside>>>>,
    /// While planning: guests that were looked for everywhere, and what was found.
    looked_for: Arc<Mutex<BTreeMap<String, Value>>>,
}

impl NetboxSource {
    pub fn new(netbox: Option<Netbox>) -> Self {
        Self { netbox, cluster: None, kept: Arc::default(), looked_for: Arc::default() }
    }

    /// The same for one plan, in which thousands of guests are looked at: what is in this cluster is read once.
    pub fn for_a_plan(&self, cluster: &str) -> Self {
        Self { cluster: Some(cluster.to_owned()), ..Self::new(self.netbox.clone()) }
    }

    async fn inside(&self, netbox: &Netbox, cluster: &str) -> Result<Arc<Inside>, NetboxError> {
        if self.cluster.as_deref() != Some(cluster) {
            return Ok(Arc::new(read::inside(netbox, cluster).await?));
        }
        let mut kept = self.kept.lock().await;
        match &*kept {
            Some(inside) => Ok(inside.clone()),
            None => Ok(kept.insert(Arc::new(read::inside(netbox, cluster).await?)).clone()),
        }
    }

    async fn guest(&self, netbox: &Netbox, key: &str) -> Result<Value, NetboxError> {
        if let Some(cluster) = &self.cluster {
            let inside = self.inside(netbox, cluster).await?;
            let is_twice = inside.twice.iter().any(|twice| twice == key);
            if let (Some(seen), false) = (inside.guests.get(key), is_twice) {
                return Ok(json!(seen.record));
            }
            if let Some(found) = self.looked_for.lock().await.get(key) {
                return Ok(found.clone());
            }
        }
        Ok(json!(read::guest(netbox, key).await?.map(|seen| seen.record)))
    }

    async fn read(&self, netbox: &Netbox, kind: &str, name: &str) -> Result<Option<Value>, NetboxError> {
        let named = async |of| read::named(netbox, of, name).await;
        Ok(Some(match kind {
            "version" => json!(netbox.version().await?),
            "field" => json!(
                named(Objects::CustomFields)
                    .await?
                    .map(|field| { json!({"type": field["type"]["value"], "object_types": field["object_types"]}) })
            ),
            "cluster_type" => json!(named(Objects::ClusterTypes).await?.map(|kind| json!({"slug": kind["slug"]}))),
            "cluster" => json!(
                named(Objects::Clusters)
                    .await?
                    .map(|cluster| { json!({"type": cluster["type"]["name"], "status": cluster["status"]["value"]}) })
            ),
            "guest" => self.guest(netbox, name).await?,
            "vm" => match name.parse() {
                Ok(id) => json!(read::vm(netbox, id).await?.map(|seen| seen.record)),
                Err(_) => return Ok(None),
            },
            "guests" => {
                let inside = self.inside(netbox, name).await?;
                let guests: Map<String, Value> =
                    inside.guests.iter().map(|(key, seen)| (key.clone(), json!(seen.record))).collect();
                let others: Vec<Value> =
                    inside.others.iter().map(|(id, name)| json!({"id": id, "name": name})).collect();
                json!({"guests": guests, "others": others, "twice": inside.twice})
            }
            "marked" => match serde_json::from_str::<Vec<String>>(name) {
                Ok(keys) => self.marked(netbox, &keys).await?,
                Err(_) => return Ok(None),
            },
            "places" => match serde_json::from_str::<Vec<String>>(name) {
                Ok(addresses) => self.places(netbox, &addresses).await?,
                Err(_) => return Ok(None),
            },
            _ => return Ok(None),
        }))
    }

    async fn marked(&self, netbox: &Netbox, keys: &[String]) -> Result<Value, NetboxError> {
        let (mut guests, mut twice) = (Map::new(), Vec::new());
        for seen in read::marked(netbox, keys).await? {
            let key = seen.record.key.clone();
            if guests.insert(key.clone(), json!(seen.record)).is_some() {
                twice.push(key);
            }
        }
        if self.cluster.is_some() {
            let once = keys.iter().filter(|key| !twice.contains(key));
            let found = once.map(|key| (key.clone(), guests.get(key).cloned().unwrap_or_default()));
            self.looked_for.lock().await.extend(found);
        }
        Ok(json!({"guests": guests, "twice": twice}))
    }

    /// With the mark of the machine that has each.
    async fn places(&self, netbox: &Netbox, addresses: &[String]) -> Result<Value, NetboxError> {
        let places = read::places(netbox, addresses).await?;
        let mut ids: Vec<String> = places.iter().filter_map(|place| place.vm).map(|id| id.to_string()).collect();
        ids.sort();
        ids.dedup();
        let vms = netbox.list_by(Objects::Vms, "id", &ids).await?;
        let mark = |id: Option<u64>| {
            let vm = vms.iter().find(|vm| vm["id"].as_u64() == id && id.is_some());
            vm.map(|vm| vm["custom_fields"][MARK].clone()).unwrap_or_default()
        };
        let shown = places.iter().map(|place| {
            json!({"id": place.id, "address": place.address, "vm": place.vm, "mark": mark(place.vm), "on": place.on})
        });
        Ok(shown.collect())
    }
}

#[async_trait]
impl Source for NetboxSource {
    async fn fetch(&self, resource: &ResourceKey) -> Result<Value, Failure> {
        let attempted = || match resource.as_str() {
            long if long.len() > 80 => "read the guests and addresses of a NetBox".to_owned(),
            key => format!("read {key}"),
        };
        let netbox = self.netbox.as_ref().ok_or_else(|| unconfigured(attempted()))?;
        let mut words = resource.as_str().splitn(3, '/').skip(1);
        let (kind, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let found =
            self.read(netbox, kind, name).await.map_err(|e| failed(attempted(), &e, Done::Whole).done(Done::None))?;
        found.ok_or_else(|| Failure::new(Class::Internal, attempted(), "expected one of actions/netbox/source.rs"))
    }
}
