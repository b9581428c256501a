//! `notify` of a site's configuration: read strictly, with places, and no secret shown.

use std::str::FromStr;

use crate::load::diagnostic::Source;
use crate::load::{load_site, scope_of};
use crate::model::notify::{Moment, Receiver};
use crate::model::site::Site;

const SMALLEST: &str = "cluster: {name: x.example, nodes: [{name: pve1}]}\ncredentials: {pass_path: a/b}\n";

/// What is wrong with the entries, as a person reads it.
fn wrong(entries: &str) -> String {
    let source = Source::new("c.yaml", format!("{SMALLEST}notify:\n{entries}"));
    let found = load_site(&source).expect_err("it was taken");
    found.iter().map(|d| d.plain(&source)).collect()
}

#[test]
fn each_kind_is_read() {
    let text = "notify:
  - {ntfy: https://ntfy.example/ops, token: 'env:NTFY', priority: {failed: 5}, on: [failed]}
  - {slack: 'pass:ops/slack', on: [all]}
  - {webhook: http://10.0.0.2/x, secret: 'env:K', headers: {X-Team: ops, Authorization: 'env:A'}, on: [waiting], ca_file: ca.pem}
metrics: {textfile_dir: /var/lib/node_exporter}
";
    let site = Site::from_str(&format!("{SMALLEST}{text}")).unwrap();
    let [ntfy, slack, webhook] = &site.notify[..] else { panic!("{:?}", site.notify) };
    let Receiver::Ntfy { token, priority, .. } = &ntfy.to else { panic!("{ntfy:?}") };
    assert_eq!((token.as_deref(), priority[&Moment::Failed]), (Some("env:NTFY"), 5));
    assert_eq!(slack.to.address(), "pass:ops/slack");
    assert_eq!(slack.on.len(), Moment::ALL.len());
    let Receiver::Webhook { headers, .. } = &webhook.to else { panic!("{webhook:?}") };
    assert_eq!((headers.len(), webhook.ca_file.as_deref()), (2, Some("ca.pem")));
    assert_eq!(site.metrics.textfile_dir.as_deref(), Some("/var/lib/node_exporter"));
    assert!(scope_of(&site, None)["config"].get("notify").is_none(), "an expression could show an address");
}

#[test]
fn what_is_wrong_has_its_place() {
    for (entry, place, message) in [
        ("- {on: [failed]}", "5:3:", "needs a receiver"),
        ("- {ntfy: https://n/a, slack: 'env:S', on: [all]}", "5:", "here are `ntfy` and `slack`"),
        ("- {slack: 'env:S', token: 'env:T', on: [all]}", "5:20:", "`token` belongs to `ntfy`"),
        ("- {ntfy: https://n/a}", "5:3:", "needs the key `on`"),
        ("- {ntfy: https://n/a, on: []}", "5:27:", "when to tell"),
        ("- {ntfy: https://n/, on: [all]}", "5:10:", "a topic is missing"),
        ("- {ntfy: ftp://n/a, on: [all]}", "5:10:", "http or https"),
        ("- {ntfy: http://n/a, token: 'env:T', on: [all]}", "5:10:", "in the open"),
        ("- {ntfy: https://n/a, on: [all], priority: {failed: 6}}", "5:53:", "from 1 to 5"),
        ("- {webhook: https://n, headers: {Host: x}, on: [all]}", "5:34:", "written by runbook"),
        ("- {webhook: https://n, headers: {'a b': x}, on: [all]}", "5:34:", "name of a header"),
        ("- {webhook: https://n, secret: 12345, on: [all]}", "5:32:", "reference"),
    ] {
        let said = wrong(&format!("\n{entry}\n"));
        assert!(said.contains(&format!("c.yaml:{place}")) && said.contains(message), "{entry}\n{said}");
    }
}

#[test]
fn a_mistake_beside_a_secret_does_not_show_it() {
    for entry in [
        "- {slack: https://hooks.example/services/PLANTED, on: [bogus]}",
        "- {slack: PLANTED, on: [all]}",
        "- {webhook: 'https://ops:PLANTED@n/', on: [all]}",
        "- {webhook: https://n/, headers: {Authorization: Bearer PLANTED}, on: [all]}",
        "- {ntfy: https://n/a, token: PLANTED, on: [all]}",
        "- {webhook: https://n/, secret: PLANTED, on: [all]}",
        "- slack: https://hooks.example/services/PLANTED\n  on: [all]\n  tokn: x",
    ] {
        let said = wrong(&format!("{entry}\n"));
        assert!(said.contains("c.yaml:4:") || said.contains("c.yaml:6:"), "{said}");
        assert!(!said.contains("PLANTED"), "{said}");
    }
}

#[test]
fn a_secret_may_go_in_the_open_to_this_machine_alone() {
    let read = |url: &str| Site::from_str(&format!("{SMALLEST}notify: [{{slack: '{url}', on: [all]}}]\n"));
    for url in ["http://127.0.0.1:8080/x", "http://localhost/x", "http://[::1]:80/x", "https://hooks.example/x"] {
        assert!(read(url).is_ok(), "{url}");
    }
    assert!(read("http://10.0.0.2/x").is_err());
}
