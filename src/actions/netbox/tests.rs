//! One guest's objects against the lab's NetBox: what is made, moved and taken away, and that nothing else is.

use std::sync::Arc;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::converge::Converge;
use super::{NetboxCompare, NetboxDeps, NetboxGuest, NetboxSource, read};
use crate::clients::net::Keys;
use crate::clients::netbox::{Netbox, NetboxCall, NetboxReply, NetboxSettings, NetboxWire, Objects};
use crate::engine::ports::{Action, Call, Source, Unreadable};
use crate::engine::world::LiveWorld;
use crate::inventory::netbox::{Nic, Record};
use crate::lab::netbox as lab;
use crate::model::ids::ResourceKey;
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
        open: false,
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
        has_disks: false,
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

#[tokio::test]
async fn nothing_is_an_orphan_where_the_token_may_not_see_all() {
    let rig = Rig::new().await;
    rig.put(&record(104, "web", &[("net0", A, &["10.0.0.4/24"])])).await;
    rig.put(&record(999, "secret", &[])).await;
    let hosts = json!([host(104, "web", "10.0.0.4")]);
    let why = "token a@pve!t lacks VM.Audit on /vms: guests that it may not see are left out";
    let narrow = rig.compare(json!({"hosts": hosts, "hidden": why, "delete_orphans": true})).await.unwrap();
    assert_eq!(narrow["orphans"], json!([]));
    let wide = rig.compare(json!({"hosts": hosts, "hidden": null})).await.unwrap();
    assert_eq!(wide["orphans"][0]["vmid"], 999);
}

#[tokio::test]
async fn an_orphan_that_has_the_name_of_a_guest_is_a_clash_until_it_is_taken_away() {
    let rig = Rig::new().await;
    rig.put(&record(999, "Web", &[])).await;
    let hosts = json!([host(104, "web", "10.0.0.4")]);
    let found = rig.compare(json!({"hosts": hosts})).await.unwrap();
    assert_eq!((&found["changes"], &found["clashes"][0]["key"]), (&json!([]), &json!(format!("{SITE}/104"))));
    let why = format!("{SITE}/999 has the name Web in NetBox, and is no guest any more: delete_orphans takes it away");
    assert_eq!(found["clashes"][0]["why"], why);
    let deleting = rig.compare(json!({"hosts": hosts, "delete_orphans": true})).await.unwrap();
    assert_eq!((&deleting["changes"][0]["vmid"], &deleting["clashes"]), (&json!(104), &json!([])));
    let held = rig.compare(json!({"hosts": hosts, "delete_orphans": true, "missing": ["pve2"]})).await.unwrap();
    assert!(held["clashes"][0]["why"].as_str().unwrap().contains("not all of the site could be read"), "{held}");
}

#[tokio::test]
async fn a_guest_of_ours_in_another_cluster_is_found_by_its_mark() {
    let rig = Rig::new().await;
    let web = record(104, "web", &[("net0", A, &["10.0.0.4/24"])]);
    rig.put(&web).await;
    let id = read::guest(&rig.netbox, &web.key).await.unwrap().unwrap().id;
    rig.netbox.update(Objects::Vms, id, json!({"cluster": {"name": "office"}})).await.unwrap();
    let found =
        rig.compare(json!({"hosts": [host(104, "web", "10.0.0.4"), host(105, "db", "10.0.0.5")]})).await.unwrap();
    let changes = found["changes"].as_array().unwrap();
    assert_eq!((changes[0]["new"].clone(), changes[1]["new"].clone()), (json!(false), json!(true)), "{found}");
    assert_eq!(changes[0]["diff"], json!([format!("~ cluster office -> {SITE}")]));
    // A plan sees it, too, without a request for each guest that there is not.
    let source = NetboxSource::new(Some(rig.netbox.clone())).for_a_plan(SITE);
    for _ in 0..2 {
        let key = ResourceKey::new(format!("netbox/marked/{}", json!([web.key, format!("{SITE}/105")])));
        assert_eq!(source.fetch(&key).await.unwrap()["guests"][&web.key]["cluster"], "office");
        let key = ResourceKey::new(format!("netbox/guest/{}", web.key));
        assert_eq!(source.fetch(&key).await.unwrap()["cluster"], "office");
    }
    let all: Vec<String> = (0..120).map(|n| format!("{SITE}/{}", 1000 + n)).chain([web.key.clone()]).collect();
    assert_eq!(read::marked(&rig.netbox, &all).await.unwrap().len(), 1);
    // A server that passes over the filter.
    let bare = Rig::of(lab::Netbox::seeded("tiny", SITE), false);
    assert!(read::marked(&bare.netbox, &all).await.unwrap().is_empty());
}

/// Another guest's step comes in between: before the first request for this path.
struct Between {
    lab: Direct,
    path: String,
    then: std::sync::Mutex<Option<NetboxCall>>,
}

#[async_trait]
impl NetboxWire for Between {
    async fn send(&self, call: NetboxCall) -> Result<NetboxReply, HttpError> {
        let then = if call.path == self.path { self.then.lock().unwrap().take() } else { None };
        if let Some(then) = then {
            assert_eq!(self.lab.send(then).await?.status, 200);
        }
        self.lab.send(call).await
    }
}

impl Rig {
    fn request(&self, method: &'static str, path: String, body: Value) -> NetboxCall {
        let authorization = SecretString::from(format!("Bearer {}", self.lab.token()));
        NetboxCall { method, path, query: Vec::new(), authorization, body: Some(body) }
    }

    /// The same, where an address moves to another interface right before it is touched.
    fn moving(&self, ip: u64, to: u64) -> Netbox {
        let path = format!("{}{ip}/", Objects::Ips.path());
        let body = json!({"assigned_object_type": "virtualization.vminterface", "assigned_object_id": to});
        let then = std::sync::Mutex::new(Some(self.request("PATCH", path.clone(), body)));
        let settings = NetboxSettings { url: "https://n".into(), token: "env:T".into(), ca_file: None };
        let wire = Between { lab: Direct(self.lab.clone()), path, then };
        Netbox::over(&settings, Arc::new(Token(self.lab.token().to_owned())), Arc::new(wire))
    }

    async fn seen(&self, key: &str) -> read::Seen {
        read::guest(&self.netbox, key).await.unwrap().unwrap()
    }
}

#[tokio::test]
async fn an_address_that_another_guest_takes_meanwhile_is_not_deleted() {
    for absent in [false, true] {
        let rig = Rig::new().await;
        let mut web = record(104, "web", &[("net0", A, &["10.0.0.4/24", "10.0.0.5/24"])]);
        let db = record(105, "db", &[("net0", B, &[])]);
        rig.put(&web).await;
        rig.put(&db).await;
        let (was, to) = (rig.seen(&web.key).await, rig.seen(&db.key).await.nics[0].id);
        let ip = was.nics[0].ips.iter().find(|(_, address)| address == "10.0.0.5/24").unwrap().0;
        let (netbox, key) = (rig.moving(ip, to), web.key.clone());
        let mut work = Converge::new(&netbox, &key, None);
        if absent {
            work.absent().await.unwrap();
        } else {
            web.interfaces.as_mut().unwrap()[0].addresses = Some(vec!["10.0.0.4/24".into()]);
            work.present(&web).await.unwrap();
        }
        assert!(rig.get(&db.key).await.unwrap().has("10.0.0.5/24"), "absent: {absent}");
    }
}

#[tokio::test]
async fn nothing_is_taken_from_a_guest_of_another_site_in_the_same_netbox() {
    let rig = Rig::new().await;
    let mut theirs = record(104, "theirs", &[("net0", A, &["10.0.0.5/24"])]);
    theirs.key = "other.example/104".into();
    rig.put(&theirs).await;
    let web = record(105, "web", &[("net0", B, &["10.0.0.5/24"])]);
    let error = Converge::new(&rig.netbox, &web.key, None).present(&web).await.unwrap_err();
    assert!(error.is_address_taken(), "{error}");
    assert_eq!(rig.get(&theirs.key).await.unwrap(), theirs);
    // Marked by somebody else since it was planned to be taken over.
    let id = rig.seen(&theirs.key).await.id;
    let vault = record(106, "vault", &[]);
    let error = Converge::new(&rig.netbox, &vault.key, Some(id)).present(&vault).await.unwrap_err();
    assert!(error.to_string().contains("is other.example/104 already"), "{error}");
    assert_eq!(rig.get(&theirs.key).await.unwrap(), theirs);
}

#[tokio::test]
async fn a_disk_whose_size_follows_from_virtual_disks_is_left_alone() {
    let rig = Rig::new().await;
    let web = record(104, "web", &[]);
    rig.put(&web).await;
    let id = rig.seen(&web.key).await.id;
    let disk = json!({"virtual_machine": id, "name": "scsi0", "size": 50_000});
    let made = rig.request("POST", "/api/virtualization/virtual-disks/".into(), disk);
    assert_eq!(Direct(rig.lab.clone()).send(made).await.unwrap().status, 201);
    let mut next = web.clone();
    (next.disk, next.status) = (Some(64_000), Some("offline".into()));
    Converge::new(&rig.netbox, &web.key, None).present(&next).await.unwrap();
    let world = LiveWorld(Arc::new(NetboxSource::new(Some(rig.netbox.clone()))));
    let probe = NetboxGuest::default().probe(&call(json!({"key": web.key, "record": next})), &world).await.unwrap();
    assert!(probe.satisfied, "{}", probe.summary);
}
