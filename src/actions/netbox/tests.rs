//! One guest's objects against the lab's NetBox: what is made, moved and taken away, and that nothing else is.

use std::sync::Arc;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::converge::Converge;
use super::{NetboxCompare, NetboxDeps, NetboxGuest, NetboxSource, read};
use crate::clients::net::Keys;
use crate::clients::netbox::{Netbox, NetboxCall, NetboxReply, NetboxSettings, NetboxWire, Objects};
use crate::engine::ports::{Action, Call, Unreadable};
use crate::engine::world::LiveWorld;
use crate::inventory::netbox::{Nic, Record};
use crate::lab::netbox as lab;
use crate::sys::http::HttpError;

fn call(with: Value) -> Call {
    Call { run: None, path: "step".into(), attempt: 1, with }
}

struct Direct(Arc<lab::Netbox>);

#[async_trait]
impl NetboxWire for Direct {
    async fn send(&self, call: NetboxCall) -> Result<NetboxReply, HttpError> {
        let ask = lab::Ask {
            method: call.method.into(),
            path: call.path,
            query: call.query,
            authorization: Some(call.authorization.expose_secret().into()),
            if_match: None,
            body: call.body.map(|body| body.to_string().into_bytes()).unwrap_or_default(),
        };
        let said = self.0.answer(&ask, false);
        let body = if said.body.is_null() { Vec::new() } else { said.body.to_string().into_bytes() };
        Ok(NetboxReply { status: said.status, retry_after: None, body })
    }
}

struct Token(String);

#[async_trait]
impl Keys for Token {
    async fn secret(&self, _: &str) -> Result<Option<SecretString>, String> {
        Ok(Some(self.0.clone().into()))
    }

    fn redact(&self, text: &str) -> String {
        text.to_owned()
    }
}

struct Rig {
    lab: Arc<lab::Netbox>,
    netbox: Netbox,
}

const SITE: &str = "lab.example";

impl Rig {
    /// With the cluster and the custom fields.
    async fn new() -> Self {
        let rig = Self::of(lab::Netbox::seeded("tiny", SITE), false);
        for (name, ty, _) in crate::inventory::netbox::FIELDS {
            let types = ["virtualization.virtualmachine"];
            rig.make(Objects::CustomFields, json!({"name": name, "type": ty, "object_types": types})).await;
        }
        let kind = rig.make(Objects::ClusterTypes, json!({"name": "Proxmox VE", "slug": "proxmox-ve"})).await;
        rig.make(Objects::Clusters, json!({"name": SITE, "type": kind})).await;
        rig
    }

    fn of(lab: lab::Netbox, old: bool) -> Self {
        let token = if old { lab.old_token() } else { lab.token() }.to_owned();
        let lab = Arc::new(lab);
        let settings = NetboxSettings { url: "https://n".into(), token: "env:T".into(), ca_file: None };
        let netbox = Netbox::over(&settings, Arc::new(Token(token)), Arc::new(Direct(lab.clone())));
        Self { lab, netbox }
    }

    async fn make(&self, of: Objects, body: Value) -> u64 {
        self.netbox.create(of, body).await.unwrap()["id"].as_u64().unwrap()
    }

    /// Makes it so, and looks: how many requests changed something.
    async fn put(&self, record: &Record) -> usize {
        let key = record.key.clone();
        let mut work = Converge::new(&self.netbox, &key, None);
        work.present(record).await.unwrap();
        let writes = work.work.writes;
        assert_eq!(&self.get(&key).await.unwrap(), record);
        writes
    }

    async fn get(&self, key: &str) -> Option<Record> {
        read::guest(&self.netbox, key).await.unwrap().map(|seen| seen.record)
    }

    fn others(&self) -> Value {
        self.lab.comparable()["other"].clone()
    }

    async fn compare(&self, with: Value) -> Result<Value, String> {
        let deps = NetboxDeps { site: SITE.into(), cluster: SITE.into() };
        let world = LiveWorld(Arc::new(NetboxSource::new(Some(self.netbox.clone()))));
        match NetboxCompare::new(Some(deps)).read(&call(with), &world).await {
            Ok(reading) => Ok(reading.outputs),
            Err(Unreadable::Failed(failure)) => Err(failure.to_string()),
            Err(other) => panic!("{other}"),
        }
    }
}

fn record(vmid: u64, name: &str, nics: &[(&str, &str, &[&str])]) -> Record {
    let nic = |(name, mac, addresses): &(&str, &str, &[&str])| Nic {
        name: (*name).into(),
        enabled: true,
        mac: Some((*mac).into()),
        addresses: Some(addresses.iter().map(|address| (*address).into()).collect()),
        more_macs: Vec::new(),
    };
    let first = |four: bool| {
        let mut all = nics.iter().flat_map(|(_, _, addresses)| addresses.iter());
        all.find(|address| address.contains('.') == four).map(|address| (*address).to_owned())
    };
    Record {
        key: format!("{SITE}/{vmid}"),
        name: name.into(),
        cluster: SITE.into(),
        status: Some("active".into()),
        vcpus: Some(2.0),
        memory: Some(2048),
        disk: Some(32_000),
        vmid: Some(vmid),
        node: Some("pve1".into()),
        kind: Some("vm".into()),
        interfaces: Some(nics.iter().map(nic).collect()),
        primary4: first(true),
        primary6: first(false),
    }
    .sorted()
}

const A: &str = "BC:24:11:00:00:0A";
const B: &str = "BC:24:11:00:00:0B";

#[tokio::test]
async fn a_guest_is_made_once_changed_where_it_differs_and_taken_away_whole() {
    let rig = Rig::new().await;
    let others = rig.others();
    let web = record(104, "web", &[("net0", A, &["10.0.0.5/24", "2001:db8::5/64"]), ("net1", B, &[])]);
    assert_eq!(rig.put(&web).await, 10, "a machine, 2 interfaces, 2 MACs and which is primary, 2 addresses, primaries");
    assert_eq!(rig.put(&web).await, 0);
    let mut next = record(104, "web-1", &[("net0", B, &["10.0.0.6/24"]), ("net2", A, &["10.0.0.5/16"])]);
    next.status = Some("offline".into());
    next.primary4 = Some("10.0.0.5/16".into());
    rig.put(&next).await;
    assert_eq!(rig.put(&next).await, 0);
    Converge::new(&rig.netbox, &web.key, None).absent().await.unwrap();
    assert_eq!((rig.get(&web.key).await, rig.others()), (None, others), "and nothing else is touched");
}

#[tokio::test]
async fn the_other_kind_of_token_does_as_well() {
    let rig = Rig::of(lab::Netbox::seeded("tiny", SITE), true);
    assert_eq!(rig.netbox.version().await.unwrap(), lab::VERSION);
    assert_eq!(rig.netbox.list(Objects::Vms, &[]).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_mark_that_only_begins_alike_is_another_guest() {
    // The custom field is searched loosely, as NetBox makes one where nothing is said.
    let rig = Rig::new().await;
    rig.put(&record(1040, "b", &[])).await;
    assert_eq!(rig.get(&format!("{SITE}/104")).await, None);
    rig.put(&record(104, "a", &[])).await;
    assert_eq!(rig.get(&format!("{SITE}/1040")).await.unwrap().name, "b");
}

#[tokio::test]
async fn the_same_mac_elsewhere_is_another_object_and_one_too_many_goes() {
    let rig = Rig::new().await;
    rig.put(&record(104, "a", &[("net0", A, &[])])).await;
    rig.put(&record(105, "b", &[("net0", A, &[])])).await;
    let seen = read::guest(&rig.netbox, &format!("{SITE}/104")).await.unwrap().unwrap();
    // A request of which the answer was lost, carried out late.
    let on = json!({"mac_address": A, "assigned_object_type": "virtualization.vminterface", "assigned_object_id": seen.nics[0].id});
    rig.make(Objects::Macs, on).await;
    let twice = rig.get(&format!("{SITE}/104")).await.unwrap();
    assert_eq!(twice.nics()[0].more_macs, [A]);
    assert_eq!(rig.put(&record(104, "a", &[("net0", A, &[])])).await, 1);
    assert_eq!(rig.get(&format!("{SITE}/105")).await.unwrap().nics()[0].mac.as_deref(), Some(A));
}

#[tokio::test]
async fn an_address_moves_from_one_guest_to_another_and_from_nobody_else() {
    let rig = Rig::new().await;
    rig.put(&record(104, "a", &[("net0", A, &["10.0.0.5/24"])])).await;
    rig.put(&record(105, "b", &[("net0", B, &["10.0.0.5/24"])])).await;
    let left = rig.get(&format!("{SITE}/104")).await.unwrap();
    assert_eq!((left.addresses().count(), left.primary4), (0, None));
    let others = rig.others();
    let foreign = record(106, "c", &[("net0", B, &["192.0.2.10/24"])]);
    let key = foreign.key.clone();
    let error = Converge::new(&rig.netbox, &key, None).present(&foreign).await.unwrap_err();
    assert!(error.is_address_taken() && rig.others() == others, "{error}");
}

fn host(vmid: u64, name: &str, address: &str) -> Value {
    json!({"site": SITE, "vmid": vmid, "type": "qemu", "name": name, "status": "running", "node": "pve1",
        "interfaces": [{"nic": "net0", "mac": A, "addresses": [{"address": address, "prefix": 24}]}]})
}

#[tokio::test]
async fn a_comparison_tells_changes_orphans_and_clashes() {
    let rig = Rig::new().await;
    rig.put(&record(104, "web", &[("net0", A, &["10.0.0.4/24"])])).await;
    rig.put(&record(999, "gone", &[])).await;
    let theirs = rig.make(Objects::Vms, json!({"name": "VAULT", "cluster": {"name": SITE}})).await;
    let mut same = host(104, "web", "10.0.0.4");
    for (name, value) in [("cpus", json!(2)), ("memory", json!(2_048_000_000_u64)), ("disk", json!(32_000_000_000_u64))]
    {
        same[name] = value;
    }
    let hosts =
        json!([same, host(105, "db", "10.0.0.5"), host(111, "vault", "10.0.0.11"), host(106, "erp-2", "192.0.2.10")]);
    let found = rig.compare(json!({"hosts": hosts})).await.unwrap();
    let keys = |list: &str| -> Vec<String> {
        found[list].as_array().unwrap().iter().map(|item| item["key"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(found["unchanged"], 1, "{found}");
    assert_eq!(keys("changes"), [format!("{SITE}/105"), format!("{SITE}/106")]);
    assert_eq!(keys("orphans"), [format!("{SITE}/999")]);
    assert_eq!(keys("clashes"), [format!("{SITE}/111"), format!("{SITE}/106")]);
    let why = found["clashes"].to_string();
    assert!(
        why.contains("is there, and is not ours") && why.contains("192.0.2.10/24 is on virtual machine erp"),
        "{why}"
    );
    assert_eq!(found["changes"][1]["record"]["interfaces"][0]["addresses"], json!([]));
    let partly = rig.compare(json!({"hosts": hosts, "missing": ["pve2"]})).await.unwrap();
    assert_eq!(partly["orphans"], json!([]), "who was not asked is not gone");
    let adopting = rig.compare(json!({"hosts": hosts, "adopt": true})).await.unwrap();
    let vault = adopting["changes"].as_array().unwrap().iter().find(|change| change["vmid"] == 111).unwrap().clone();
    assert_eq!(vault["adopt"], theirs);
    let nobody = rig.compare(json!({"hosts": []})).await.unwrap_err();
    assert!(nobody.contains("everything in NetBox would be an orphan"), "{nobody}");
    // Taken over, it is the same object with our mark.
    let world = LiveWorld(Arc::new(NetboxSource::new(Some(rig.netbox.clone()))));
    let with = call(json!({"key": vault["key"], "record": vault["record"], "adopt": theirs}));
    let act = NetboxGuest::default();
    let probe = act.probe(&with, &world).await.unwrap();
    assert!(
        probe.summary.contains("is taken over") && act.undo(&with, &probe.before, None).is_none(),
        "{}",
        probe.summary
    );
    let record: Record = serde_json::from_value(vault["record"].clone()).unwrap();
    let key = record.key.clone();
    Converge::new(&rig.netbox, &key, Some(theirs)).present(&record).await.unwrap();
    assert_eq!(read::guest(&rig.netbox, &key).await.unwrap().unwrap().id, theirs);
}

#[tokio::test]
async fn thousands_are_read_in_pages() {
    let rig = Rig::new().await;
    let cluster = read::named(&rig.netbox, Objects::Clusters, SITE).await.unwrap().unwrap()["id"].clone();
    let vms: Vec<Value> = (0..1200_u32)
        .map(|n| json!({"name": format!("m-{n}"), "cluster": cluster, "custom_fields": {"runbook_guest": format!("{SITE}/{}", 1000 + n)}}))
        .collect();
    rig.netbox.create(Objects::Vms, json!(vms)).await.unwrap();
    let inside = read::inside(&rig.netbox, SITE).await.unwrap();
    assert_eq!((inside.guests.len(), inside.twice.len()), (1200, 0));
}
