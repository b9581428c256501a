//! All guests with their network cards and addresses.

use super::ProxmoxSource;
use crate::actions::inventory::gather;
use crate::actions::proxmox::inventory::{HowToCollect, ProxmoxCollector};
use crate::inventory::{Choice, Memory};
use crate::model::failure::Failure;
use crate::model::ids::GuestKind;
use crate::model::inventory::Inventory;

impl ProxmoxSource {
    /// A step asks each time: what an earlier run was told is not believed.
    pub(super) async fn inventory(&self, params: &[(String, String)]) -> Result<Inventory, Failure> {
        let all = |name: &str| -> Vec<String> {
            params.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect()
        };
        let one = |name: &str| all(name).into_iter().next();
        let kind = one("type").and_then(|kind| match kind.as_str() {
            "qemu" => Some(GuestKind::Qemu),
            "lxc" => Some(GuestKind::Lxc),
            _ => None,
        });
        let choice = Choice {
            node: one("node").map(Into::into),
            tags: all("tag"),
            kind,
            status: one("status"),
            pool: one("pool"),
        };
        let how = HowToCollect { choice, all_addresses: one("all").is_some(), ..HowToCollect::default() };
        let collector = ProxmoxCollector::new(self.site.clone(), how, Memory::new());
        let (inventory, notes) = gather(self.site.name(), &[&collector]).await?;
        notes.iter().for_each(|note| tracing::info!(note, "inventory"));
        Ok(inventory)
    }
}
