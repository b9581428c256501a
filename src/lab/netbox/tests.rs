//! What the stand-in takes and what it refuses, in NetBox's own words.

use serde_json::{Value, json};

use super::{Ask, Netbox, Said};

struct Lab(Netbox);

impl Lab {
    fn new() -> Self {
        Self(Netbox::default())
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Said {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let query = query.split('&').filter_map(|pair| pair.split_once('='));
        let ask = Ask {
            method: method.into(),
            path: format!("/api/{path}"),
            query: query.map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
            authorization: Some(format!("Bearer {}", self.0.token())),
            if_match: None,
            body: if body.is_null() { Vec::new() } else { body.to_string().into_bytes() },
        };
        self.0.answer(&ask, false)
    }

    #[track_caller]
    fn post(&self, path: &str, body: Value) -> u64 {
        let said = self.ask("POST", path, &body);
        assert_eq!(said.status, 201, "{}", said.body);
        said.body["id"].as_u64().unwrap()
    }

    #[track_caller]
    fn refused(&self, method: &str, path: &str, body: Value, part: &str) {
        let before = self.0.comparable();
        let said = self.ask(method, path, &body);
        assert!(
            (400..500).contains(&said.status) && said.body.to_string().contains(part),
            "{} {}",
            said.status,
            said.body
        );
        assert_eq!(self.0.comparable(), before, "a refusal has changed something");
    }

    fn get(&self, path: &str) -> Value {
        self.ask("GET", path, &Value::Null).body
    }

    /// A machine with an interface: their numbers.
    fn machine(&self, name: &str) -> (u64, u64) {
        if self.get("virtualization/clusters/")["count"] == 0 {
            let kind = self.post("virtualization/cluster-types/", json!({"name": "T", "slug": "t"}));
            self.post("virtualization/clusters/", json!({"name": "c", "type": kind}));
        }
        let vm = self.post("virtualization/virtual-machines/", json!({"name": name, "cluster": {"name": "c"}}));
        (vm, self.post("virtualization/interfaces/", json!({"virtual_machine": vm, "name": "net0"})))
    }
}

fn on(interface: u64, mut more: Value) -> Value {
    more["assigned_object_type"] = json!("virtualization.vminterface");
    more["assigned_object_id"] = json!(interface);
    more
}

#[test]
fn tokens_of_both_kinds_are_told_apart() {
    let lab = Lab::new();
    let with = |authorization: Option<String>| {
        let path = "/api/status/".to_owned();
        lab.0.answer(&Ask { method: "GET".into(), path, authorization, ..Ask::default() }, false)
    };
    assert_eq!(with(Some(format!("Token {}", lab.0.old_token()))).status, 200);
    assert_eq!(with(Some(format!("Bearer {}", lab.0.token()))).body["netbox-version"], "4.6.8");
    assert!(lab.0.token().starts_with("nbt_"));
    for wrong in [format!("Token {}", lab.0.token()), format!("Bearer {}", lab.0.old_token()), "Basic eA==".into()] {
        assert_eq!(with(Some(wrong)).status, 403);
    }
    assert_eq!(with(None).body["detail"], "Authentication credentials were not provided.");
}

#[test]
fn machines_are_named_once_in_a_cluster_whatever_the_case() {
    let lab = Lab::new();
    let (vm, _) = lab.machine("web");
    let vms = "virtualization/virtual-machines/";
    lab.refused("POST", vms, json!({"name": "WEB", "cluster": 1}), "Virtual machine name must be unique per cluster.");
    lab.refused("POST", vms, json!({"name": "x".repeat(65), "cluster": 1}), "no more than 64 characters");
    lab.refused("POST", vms, json!({"name": "x"}), "must be assigned to a site, cluster, or device");
    lab.refused("POST", vms, json!({"cluster": 1}), "This field is required.");
    lab.refused("POST", vms, json!({"name": "y", "cluster": 9}), "numeric ID: 9");
    lab.refused("POST", vms, json!({"name": "y", "cluster": 1, "status": "running"}), "is not a valid choice");
    lab.refused(
        "PATCH",
        &format!("{vms}{vm}/"),
        json!({"custom_fields": {"nobody": 1}}),
        "Unknown field name 'nobody' in custom field data.",
    );
}

#[test]
fn addresses_and_their_primaries_are_guarded() {
    let lab = Lab::new();
    let ((vm, nic), (other, far)) = (lab.machine("web"), lab.machine("db"));
    let (ips, of) = ("ipam/ip-addresses/", |id: u64| format!("ipam/ip-addresses/{id}/"));
    let ip = lab.post(ips, on(nic, json!({"address": "10.0.0.5/24"})));
    lab.refused("POST", ips, on(far, json!({"address": "10.0.0.5/16"})), "Duplicate IP address found in global table");
    lab.refused("POST", ips, on(nic, json!({"address": "10.0.0.0/24"})), "network ID");
    lab.refused("POST", ips, on(nic, json!({"address": "nonsense"})), "Invalid IP address format");
    let machine = |id: u64| format!("virtualization/virtual-machines/{id}/");
    lab.refused("PATCH", &machine(other), json!({"primary_ip4": ip}), "is not assigned to this VM");
    lab.refused("PATCH", &machine(vm), json!({"primary_ip6": ip}), "Must be an IPv6 address");
    assert_eq!(lab.ask("PATCH", &machine(vm), &json!({"primary_ip4": ip})).status, 200);
    lab.refused("PATCH", &of(ip), on(far, json!({})), "Cannot reassign IP address while it is designated");
    assert_eq!(lab.ask("DELETE", &of(ip), &Value::Null).status, 204);
    assert_eq!(lab.get(&machine(vm))["primary_ip4"], Value::Null);
}

#[test]
fn a_mac_address_is_an_object_and_may_be_there_twice() {
    let lab = Lab::new();
    let ((vm, nic), (_, far)) = (lab.machine("web"), lab.machine("db"));
    let nics = format!("virtualization/interfaces/{nic}/");
    lab.ask("PATCH", &nics, &json!({"mac_address": "02:00:00:00:00:01"}));
    assert_eq!(lab.get(&nics)["mac_address"], Value::Null, "read only since 4.2");
    let mac = lab.post("dcim/mac-addresses/", on(nic, json!({"mac_address": "02-00-00-00-00-0a"})));
    let twin = lab.post("dcim/mac-addresses/", on(far, json!({"mac_address": "02:00:00:00:00:0A"})));
    assert_eq!(lab.get("dcim/mac-addresses/?mac_address=02:00:00:00:00:0a")["count"], 2);
    assert_eq!(lab.get(&format!("dcim/mac-addresses/?mac_address=02:00:00:00:00:0a&vminterface_id={far}"))["count"], 1);
    lab.refused("PATCH", &nics, json!({"primary_mac_address": twin}), "different interface");
    assert_eq!(lab.ask("PATCH", &nics, &json!({"primary_mac_address": mac})).status, 200);
    assert_eq!(lab.get(&nics)["mac_address"], "02:00:00:00:00:0A");
    let path = format!("dcim/mac-addresses/{mac}/");
    lab.refused("PATCH", &path, on(far, json!({})), "Cannot reassign MAC Address");
    assert_eq!(lab.ask("DELETE", &format!("virtualization/virtual-machines/{vm}/"), &Value::Null).status, 204);
    assert_eq!(lab.get(&path)["detail"], "No MACAddress matches the given query.", "it goes with its machine");
}

#[test]
fn lists_have_pages_and_filters_and_are_taken_whole_or_not_at_all() {
    let lab = Lab::new();
    lab.machine("m-0");
    let vms = "virtualization/virtual-machines/";
    let all: Vec<Value> = (1..1050).map(|n| json!({"name": format!("m-{n}"), "cluster": 1})).collect();
    assert_eq!(lab.ask("POST", vms, &json!(all)).status, 201);
    lab.refused("POST", vms, json!([{"name": "fresh", "cluster": 1}, {"name": "M-7", "cluster": 1}]), "unique");
    let page = |query: &str| {
        let body = lab.get(&format!("{vms}?{query}"));
        (body["count"].as_u64().unwrap(), body["results"].as_array().unwrap().len(), !body["next"].is_null())
    };
    assert_eq!(page(""), (1050, 50, true));
    assert_eq!(page("limit=5000&offset=0"), (1050, 1000, true));
    assert_eq!(page("limit=0&offset=1000"), (1050, 50, false));
    assert_eq!(page("name=m-7&name=m-8"), (2, 2, false));
    assert_eq!(page("nonsense=1&limit=1").0, 1050, "a filter that there is not is passed over");
    lab.refused("GET", &format!("{vms}?cluster_id=7"), Value::Null, "Select a valid choice. 7 is not one of");
    lab.refused("GET", "ipam/ip-addresses/?virtual_machine_id=x", Value::Null, "Enter a number.");
    lab.refused("DELETE", "virtualization/clusters/1/", Value::Null, "1050 dependent objects were found");
}

#[test]
fn a_custom_field_is_searched_by_its_own_way() {
    let lab = Lab::new();
    let field = |name: &str, logic: &str| {
        let types = ["virtualization.virtualmachine"];
        lab.post(
            "extras/custom-fields/",
            json!({"name": name, "type": "text", "object_types": types, "filter_logic": logic}),
        )
    };
    field("strict", "exact");
    field("lax", "loose");
    lab.machine("web");
    for (name, value) in [("a", "x/104"), ("b", "x/1040")] {
        let custom = json!({"strict": value, "lax": value});
        lab.post("virtualization/virtual-machines/", json!({"name": name, "cluster": 1, "custom_fields": custom}));
    }
    let count = |query: &str| lab.get(&format!("virtualization/virtual-machines/?{query}"))["count"].as_u64();
    assert_eq!((count("cf_strict=x/104"), count("cf_lax=X/104"), count("cf_other=1")), (Some(1), Some(2), Some(3)));
    lab.refused(
        "POST",
        "extras/custom-fields/",
        json!({"name": "strict", "type": "text", "object_types": ["dcim.site"]}),
        "already exists",
    );
}

#[test]
fn who_is_late_is_told_by_the_tag() {
    let lab = Lab::new();
    let (vm, _) = lab.machine("web");
    let path = format!("/api/virtualization/virtual-machines/{vm}/");
    let ask = |method: &str, tag: Option<String>| Ask {
        method: method.into(),
        path: path.clone(),
        authorization: Some(format!("Bearer {}", lab.0.token())),
        if_match: tag,
        body: br#"{"memory": 1024}"#.to_vec(),
        ..Ask::default()
    };
    let tag = lab.0.answer(&Ask { body: Vec::new(), ..ask("GET", None) }, false).etag;
    assert_eq!(lab.0.answer(&ask("PATCH", tag.clone()), false).status, 200);
    assert_eq!(lab.0.answer(&ask("PATCH", tag), false).status, 412);
}
