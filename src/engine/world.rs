//! The World: what is observed, and while planning what earlier steps are expected to have changed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde_json::Value;

use super::ports::{Observed, Source, World};
use crate::model::failure::Failure;
use crate::model::ids::ResourceKey;
use crate::model::world::Delta;

/// The world of a run: neither cached nor overlaid.
pub struct LiveWorld(pub Arc<dyn Source>);

#[async_trait]
impl World for LiveWorld {
    async fn read(&self, resource: &ResourceKey) -> Result<Observed, Failure> {
        self.0.fetch(resource).await.map(|value| Observed::Known(Arc::new(value)))
    }
}

/// The world of a plan: each resource is read once, and shows what the steps so far would have made of it.
pub struct PlannedWorld {
    source: Arc<dyn Source>,
    overlay: Mutex<Overlay>,
}

#[derive(Default)]
struct Overlay {
    read: BTreeMap<ResourceKey, Arc<Value>>,
    deltas: BTreeMap<ResourceKey, Vec<Value>>,
    taints: BTreeMap<ResourceKey, String>,
    disturbed: bool,
}

impl PlannedWorld {
    pub fn new(source: Arc<dyn Source>) -> Self {
        Self { source, overlay: Mutex::default() }
    }

    fn overlay(&self) -> std::sync::MutexGuard<'_, Overlay> {
        self.overlay.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lays what a step is expected to change over what is read from now on.
    pub fn expect(&self, deltas: Vec<Delta>, taints: Vec<(ResourceKey, String)>) {
        let mut overlay = self.overlay();
        overlay.disturbed |= !deltas.is_empty() || !taints.is_empty();
        for Delta { resource, patch } in deltas {
            if let Some(value) = overlay.read.get_mut(&resource) {
                merge_patch(Arc::make_mut(value), &patch);
            } else {
                overlay.deltas.entry(resource).or_default().push(patch);
            }
        }
        overlay.taints.extend(taints);
    }
}

impl Overlay {
    /// Why `resource` is unknown: it, or something above it, is tainted.
    fn tainted(&self, resource: &ResourceKey) -> Option<String> {
        let mut at = resource.as_str();
        loop {
            if let Some(why) = self.taints.get(at) {
                return Some(why.clone());
            }
            at = &at[..at.rfind('/')?];
        }
    }
}

#[async_trait]
impl World for PlannedWorld {
    fn is_planned(&self) -> bool {
        true
    }

    async fn read(&self, resource: &ResourceKey) -> Result<Observed, Failure> {
        {
            let overlay = self.overlay();
            if let Some(why) = overlay.tainted(resource) {
                return Ok(Observed::Unknown(why));
            }
            if let Some(value) = overlay.read.get(resource) {
                return Ok(Observed::Known(value.clone()));
            }
        }
        let mut value = self.source.fetch(resource).await?;
        let mut overlay = self.overlay();
        for patch in overlay.deltas.remove(resource).unwrap_or_default() {
            merge_patch(&mut value, &patch);
        }
        let value = Arc::new(value);
        overlay.read.insert(resource.clone(), value.clone());
        Ok(Observed::Known(value))
    }

    fn is_disturbed(&self) -> bool {
        self.overlay().disturbed
    }
}

/// RFC 7386.
pub fn merge_patch(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Value::Object(map) = target else { return };
    for (key, value) in patch {
        if value.is_null() {
            map.remove(key);
        } else {
            merge_patch(map.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::json;

    use super::*;

    #[derive(Default)]
    struct Guests(AtomicUsize);

    #[async_trait]
    impl Source for Guests {
        async fn fetch(&self, _: &ResourceKey) -> Result<Value, Failure> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Ok(json!({"node": "pve2", "status": "running"}))
        }
    }

    fn moved(resource: &str) -> Vec<Delta> {
        vec![Delta { resource: resource.into(), patch: json!({"node": "pve3"}) }]
    }

    async fn node(world: &PlannedWorld, resource: &str) -> Value {
        let Observed::Known(value) = world.read(&resource.into()).await.unwrap() else { panic!("known") };
        value["node"].clone()
    }

    #[tokio::test]
    async fn the_next_step_sees_what_the_last_one_would_leave() {
        let source = Arc::new(Guests::default());
        let world = PlannedWorld::new(source.clone());
        assert_eq!(node(&world, "guest/104").await, "pve2");
        world.expect(moved("guest/104"), vec![]);
        world.expect(moved("guest/105"), vec![]);
        assert_eq!(node(&world, "guest/104").await, "pve3");
        assert_eq!(node(&world, "guest/105").await, "pve3");
        assert_eq!(node(&world, "guest/106").await, "pve2");
        assert_eq!(source.0.load(Ordering::SeqCst), 3, "each resource is read once");
    }

    #[tokio::test]
    async fn what_is_below_a_taint_is_unknown() {
        let world = PlannedWorld::new(Arc::new(Guests::default()));
        world.expect(vec![], vec![("node/pve3".into(), "a guest moves".into())]);
        let seen = world.read(&"node/pve3/status".into()).await.unwrap();
        assert_eq!(seen, Observed::Unknown("a guest moves".into()));
        assert!(matches!(world.read(&"node/pve33".into()).await.unwrap(), Observed::Known(_)));
    }

    #[test]
    fn a_null_in_a_patch_takes_the_member_away() {
        let mut value = json!({"lock": "migrate", "node": {"name": "pve2"}});
        merge_patch(&mut value, &json!({"lock": null, "node": {"zone": 1}}));
        assert_eq!(value, json!({"node": {"name": "pve2", "zone": 1}}));
    }
}
