//! Certificates: plugins, nodes' names, orders and what they end with; files that are sent.

use super::*;
use crate::lab::call::Upload;

const DATA: &str = "Q0ZfVG9rZW49eA==";
const ORDER: &str = "/nodes/pve1/certificates/acme/certificate";

fn refusal(world: &mut World, verb: Verb, path: &str, params: &[(&str, &str)]) -> String {
    let error = world.handle(&call(verb, path, params)).unwrap_err();
    error.errors.values().next().unwrap_or(&error.message).clone()
}

fn custom(world: &mut World, node: &str) -> Value {
    let rows = get(world, &format!("/nodes/{node}/certificates/info"));
    rows.as_array().unwrap().iter().find(|row| row["filename"] == "pveproxy-ssl.pem").cloned().unwrap_or_default()
}

#[test]
fn a_plugins_data_is_sent_in_base64_and_shown_as_it_is() {
    let mut world = site("tiny");
    let make = [("id", "cf"), ("type", "dns"), ("api", "cf"), ("data", DATA)];
    world.handle(&call(Verb::Post, "/cluster/acme/plugins", &make)).unwrap();
    assert_eq!(refusal(&mut world, Verb::Post, "/cluster/acme/plugins", &make), "ACME plugin ID 'cf' already exists");
    assert_eq!(get(&mut world, "/cluster/acme/plugins/cf")["data"], "CF_Token=x");
    assert_eq!(refusal(&mut world, Verb::Get, "/cluster/acme/plugins/x", &[]), "ACME plugin 'x' not defined");
    assert_eq!(refusal(&mut world, Verb::Put, "/cluster/acme/plugins/x", &[]), "ACME plugin ID 'x' does not exist");
    world.handle(&call(Verb::Delete, "/cluster/acme/plugins/x", &[])).unwrap();
    assert!(!world.snapshot_state()["acme"].to_string().contains("CF_Token"));
}

#[test]
fn a_node_has_its_names_by_its_configuration_and_the_rest_stays() {
    let mut world = site("acme");
    let config = get(&mut world, "/nodes/pve1/config");
    let stale = [("acmedomain1", "a.lab.example"), ("digest", "0")];
    assert!(refusal(&mut world, Verb::Put, "/nodes/pve1/config", &stale).contains("by other user?"));
    let twice = [("acmedomain1", "PVE1.lab.example"), ("digest", config["digest"].as_str().unwrap())];
    assert!(
        refusal(&mut world, Verb::Put, "/nodes/pve1/config", &twice).contains("duplicate domain 'pve1.lab.example'")
    );
    let good = [("acmedomain1", "a.lab.example"), ("delete", "acmedomain0")];
    world.handle(&call(Verb::Put, "/nodes/pve1/config", &good)).unwrap();
    let now = get(&mut world, "/nodes/pve1/config");
    assert_eq!(
        (&now["description"], &now["acmedomain1"], &now["acmedomain0"]),
        (&"rack 1".into(), &"a.lab.example".into(), &Value::Null)
    );
    assert!(
        refusal(&mut world, Verb::Post, "/nodes/pve2/certificates/acme/certificate", &[])
            .contains("domain list in node configuration is missing!")
    );
}

#[test]
fn certificates_are_ordered_renewed_and_removed() {
    let mut world = site("acme");
    assert!(refusal(&mut world, Verb::Put, ORDER, &[]).contains("No current (custom) certificate found"));
    let task = upid(world.handle(&call(Verb::Post, ORDER, &[])).unwrap().data);
    assert!(task.contains(":acmenewcert::"), "{task}");
    run(&mut world, 60);
    assert_eq!(outcome(&mut world, &task).0, "OK");
    let first = custom(&mut world, "pve1");
    assert!(first["issuer"].as_str().unwrap().contains("(STAGING)") && first["san"][0] == "pve1.lab.example");
    assert_eq!(refusal(&mut world, Verb::Post, ORDER, &[]), "Custom certificate exists but 'force' is not set.");
    assert!(refusal(&mut world, Verb::Put, ORDER, &[]).contains("does not expire within the next 30 days"));
    let due = "/nodes/pve3/certificates/acme/certificate";
    let (before, task) = (custom(&mut world, "pve3"), upid(world.handle(&call(Verb::Put, due, &[])).unwrap().data));
    run(&mut world, 60);
    assert_eq!(outcome(&mut world, &task).0, "OK");
    let after = custom(&mut world, "pve3");
    assert!(after["notafter"].as_i64() > before["notafter"].as_i64() && after["fingerprint"] != before["fingerprint"]);
    world.handle(&call(Verb::Delete, "/nodes/pve1/certificates/custom", &[("restart", "1")])).unwrap();
    assert_eq!(custom(&mut world, "pve1"), Value::Null);
}

#[test]
fn a_challenge_that_fails_leaves_everything_as_it_was() {
    let mut world = site("acme");
    world.fail_challenge("pve1.lab.example");
    for (wanted, times) in [("failed - status: invalid", 1), ("OK", 1)] {
        let task = upid(world.handle(&call(Verb::Post, ORDER, &[])).unwrap().data);
        run(&mut world, 60);
        assert!(outcome(&mut world, &task).0.ends_with(wanted), "{times}");
    }
    assert!(custom(&mut world, "pve1").is_object());
    // Nobody reaches a lab over HTTP.
    world.handle(&call(Verb::Put, "/nodes/pve2/config", &[("acmedomain0", "pve2.lab.example")])).unwrap();
    let path = "/nodes/pve2/certificates/acme/certificate";
    let task = upid(world.handle(&call(Verb::Post, path, &[])).unwrap().data);
    run(&mut world, 60);
    assert!(outcome(&mut world, &task).0.contains("status: invalid"));
}

#[test]
fn an_account_is_registered_by_whoever_agrees() {
    let mut world = site("tiny");
    let ends = |world: &mut World, params: &[(&str, &str)]| {
        let task = upid(world.handle(&call(Verb::Post, "/cluster/acme/account", params)).unwrap().data);
        run(world, 60);
        outcome(world, &task).0
    };
    let contact = ("contact", "ops@lab.example");
    assert!(ends(&mut world, &[contact]).contains("must agree to terms of service"));
    assert_eq!(ends(&mut world, &[contact, ("tos_url", "https://x")]), "OK");
    let account = get(&mut world, "/cluster/acme/account/default");
    assert_eq!(account["account"]["contact"], Value::Null, "Let's Encrypt keeps none");
    let own = [contact, ("name", "own"), ("directory", "https://ca.lab.example/directory"), ("tos_url", "https://x")];
    assert_eq!(ends(&mut world, &own), "OK");
    let account = get(&mut world, "/cluster/acme/account/own");
    assert_eq!(account["account"]["contact"][0], "mailto:ops@lab.example");
    let again = refusal(&mut world, Verb::Post, "/cluster/acme/account", &[contact]);
    assert_eq!(again, "ACME account config file 'default' already exists.");
}

#[test]
fn an_account_is_read_anew_where_no_contact_is_given() {
    let mut world = site("acme");
    let path = "/cluster/acme/account/default";
    let contact = |world: &mut World| get(world, path)["account"]["contact"].clone();
    assert_eq!(contact(&mut world)[0], "mailto:ops@lab.example", "from when contacts were kept");
    let task = upid(world.handle(&call(Verb::Put, path, &[])).unwrap().data);
    run(&mut world, 60);
    assert!(task.contains(":acmerefresh::") && contact(&mut world).is_null(), "{task}");
}

#[test]
fn each_name_that_is_checked_by_dns_takes_its_delay() {
    let mut world = site("acme");
    world.handle(&call(Verb::Put, "/cluster/acme/plugins/dns", &[("validation-delay", "100")])).unwrap();
    let more = [("acmedomain1", "a.lab.example,plugin=dns")];
    world.handle(&call(Verb::Put, "/nodes/pve1/config", &more)).unwrap();
    upid(world.handle(&call(Verb::Post, ORDER, &[])).unwrap().data);
    run(&mut world, 210);
    assert_eq!(custom(&mut world, "pve1"), Value::Null);
    run(&mut world, 10);
    assert!(custom(&mut world, "pve1").is_object());
}

#[test]
fn a_file_that_is_sent_shows_before_it_is_whole() {
    let mut world = site("tiny");
    let base = [("content", "iso"), ("filename", "a b.iso"), ("tmpfilename", "/var/tmp/pveupload-0a")];
    let sent = |more: &[(&str, &str)]| {
        let params: Vec<(&str, &str)> = base.iter().chain(more).copied().collect();
        let sums = [("sha256", "aa".to_owned())].into();
        let upload = Some(Arc::new(Upload { size: 1 << 30, sums }));
        Call { upload, ..call(Verb::Post, "/nodes/pve2/storage/local/upload", &params) }
    };
    let size = |world: &mut World| {
        let rows = get(world, "/nodes/pve2/storage/local/content");
        rows.as_array().unwrap().iter().find(|row| row["volid"] == "local:iso/a_b.iso").map(|row| row["size"].clone())
    };
    let wrong = upid(world.handle(&sent(&[("checksum", "bb"), ("checksum-algorithm", "sha256")])).unwrap().data);
    run(&mut world, 1);
    assert_eq!(outcome(&mut world, &wrong).0, "checksum mismatch: got 'aa' != expect 'bb'");
    let task = upid(world.handle(&sent(&[("checksum", "AA"), ("checksum-algorithm", "sha256")])).unwrap().data);
    // The node that was asked does the work, whichever the file is for.
    assert!(task.starts_with("UPID:pve1:") && task.contains(":imgcopy::"), "{task}");
    run(&mut world, 1);
    assert_eq!(size(&mut world), Some((1 << 29).into()));
    run(&mut world, 30);
    assert_eq!((outcome(&mut world, &task).0.as_str(), size(&mut world)), ("OK", Some((1 << 30).into())));
    let none = call(Verb::Post, "/nodes/pve2/storage/local/upload", &base);
    assert_eq!(world.handle(&none).unwrap_err().message, "missing temporary file name");
}
