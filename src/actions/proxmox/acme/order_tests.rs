//! Orders, renewals and removals, without a site.

use serde_json::{Value, json};

use super::CUSTOM;
use super::order::CertificateOrder;
use crate::actions::deps::Timing;
use crate::actions::proxmox::act::{Act as _, Seen};
use crate::actions::proxmox::object::ShownCertificate;
use crate::actions::proxmox::testing::{FakeWorld, call, node};
use crate::clients::proxmox::{Params, Verb};
use crate::engine::ports::{Call, Probe, Unreadable};
use crate::model::effect::Effect;

const DAY: i64 = 86_400;

const NOW: i64 = 1_800_000_000;

fn certificate(names: &[&str], days: i64, print: &str) -> Value {
    json!({"subject": "/CN=x", "issuer": "/C=US/O=Let's Encrypt/CN=R13", "san": names, "notbefore": NOW - 100,
        "notafter": NOW + days * DAY, "fingerprint": print})
}

fn world(custom: Value) -> FakeWorld {
    let own = certificate(&["pve1"], 300, "OWN");
    let mut all = json!({"pve-ssl.pem": own});
    if !custom.is_null() {
        all[CUSTOM] = custom;
    }
    FakeWorld::default()
        .with("proxmox/node/pve1", node("pve1"))
        .with("proxmox/node/pve1/certificates", all)
        .with("proxmox/node/pve1/config", json!({"values": {"acmedomain0": "pve1.example.org,plugin=cf"}}))
        .with("proxmox/api/nodes/pve1/time", json!({"time": NOW}))
        .with("proxmox/node/pve1/shown", Value::Null)
}

fn asked(more: Value) -> Call {
    let mut with = json!({"node": "pve1", "days": 30, "state": "present", "force": false, "replace": false});
    with.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    call(with)
}

fn act() -> CertificateOrder {
    CertificateOrder::new(Timing::default())
}

#[tokio::test]
async fn it_orders_renews_or_leaves_alone() {
    let request = async |custom: Value, more: Value| {
        let (act, call) = (act(), asked(more));
        let probe = act.look(&call, &world(custom)).await.unwrap();
        let request = act.request(&call, &probe.before).unwrap();
        (probe.satisfied, request.verb, request.params)
    };
    let (forced, plain) = (Params::new().set("force", "1"), Params::new());
    let right = |days| certificate(&["pve1.example.org"], days, "A");
    assert_eq!(request(Value::Null, json!({})).await, (false, Verb::Post, plain.clone()));
    assert!(request(right(40), json!({})).await.0);
    assert_eq!(request(right(10), json!({})).await, (false, Verb::Put, plain));
    assert_eq!(request(right(40), json!({"days": 60})).await, (false, Verb::Put, forced.clone()));
    assert_eq!(request(right(80), json!({"force": true})).await, (false, Verb::Put, forced.clone()));
    let other = certificate(&["other.example.org"], 80, "A");
    assert_eq!(request(other, json!({"replace": true})).await, (false, Verb::Post, forced));
    assert!(request(certificate(&["*.example.org"], 80, "A"), json!({})).await.0);
}

#[tokio::test]
async fn what_is_not_right_is_not_written_over_unasked() {
    let refusal =
        async |custom: Value, more: Value| act().look(&asked(more), &world(custom)).await.unwrap_err().to_string();
    let other = certificate(&["*.sub.example.org"], 80, "A");
    assert!(refusal(other, json!({})).await.contains("it is not for pve1.example.org"));
    let issuer = refusal(certificate(&["pve1.example.org"], 80, "A"), json!({"issuer": "O=Own CA"})).await;
    assert!(issuer.contains("its issuer is /C=US/O=Let's Encrypt"), "{issuer}");
}

#[tokio::test]
async fn it_is_done_when_new_connections_are_shown_it() {
    let (act, call) = (act(), asked(json!({})));
    let before = json!({"node": "pve1", "how": "order"});
    let judge = async |world: FakeWorld| act.judge(&call, &before, None, &world).await.unwrap();
    assert!(matches!(judge(world(Value::Null)).await, Seen::Untouched(_)));
    let new = || world(certificate(&["pve1.example.org"], 89, "NEW"));
    let shown =
        |print: &str, trusted| json!({"fingerprint": print, "by": "fingerprint", "trusted": trusted, "others": true});
    let old = judge(new().with("proxmox/node/pve1/shown", shown("OWN", true))).await;
    assert!(matches!(&old, Seen::Partial(said) if said.contains("still shows OWN")), "{old:?}");
    let Seen::Done(outputs) = judge(new().with("proxmox/node/pve1/shown", shown("NEW", false))).await else { panic!() };
    assert_eq!(outputs["trusted"], false);
    let advice = outputs["advice"].as_str().unwrap();
    assert!(advice.contains("give pve1 `fingerprint: \"NEW\"`"), "{advice}");
    let by_system = |by: &str| ShownCertificate {
        fingerprint: "NEW".into(),
        by: by.into(),
        trusted: false,
        others: true,
        host: "10.0.0.11".into(),
    };
    for by in ["system", "ca_file"] {
        let told = super::order::advice(&"pve1".into(), &by_system(by)).unwrap();
        assert!(told.contains("or it is not for 10.0.0.11"), "{told}");
        assert!(told.contains("give pve1 a `host` that is one of its names, or `fingerprint: \"NEW\"`"), "{told}");
    }
    let wrong = judge(world(certificate(&["other.example.org"], 89, "NEW"))).await;
    assert!(matches!(wrong, Seen::Strange(_)), "{wrong:?}");
}

#[tokio::test]
async fn another_certificate_than_the_one_that_was_given_is_not_taken_for_it() {
    let (act, call) = (act(), asked(json!({})));
    let before = json!({"node": "pve1", "how": "order"});
    let left = async |custom: &str| {
        let world = world(certificate(&["pve1.example.org"], 89, custom));
        act.judge(&call, &before, Some(&json!({"fingerprint": "GIVEN"})), &world).await.unwrap()
    };
    assert!(matches!(left("GIVEN").await, Seen::Done(_)));
    assert_eq!(left("LATER").await, Seen::Strange("pve1 was given GIVEN, and has LATER now".into()));
    let undo = act.undo(&call, &before, Some(&json!({"fingerprint": "GIVEN"}))).unwrap();
    assert_eq!(undo.with, json!({"node": "pve1", "state": "absent", "fingerprint": "GIVEN"}));
    let look = async |custom: &str| {
        let world = world(certificate(&["pve1.example.org"], 89, custom));
        act_look(&undo.with, &world).await
    };
    assert_eq!(look("GIVEN").await.unwrap().effect, Some(Effect::Destroy));
    let refusal = look("LATER").await.unwrap_err().to_string();
    assert!(refusal.contains("it is LATER, not GIVEN"), "{refusal}");
    let both = act_look(&json!({"node": "pve1", "state": "present", "fingerprint": "A"}), &world(Value::Null)).await;
    assert!(both.unwrap_err().to_string().contains("fingerprint goes with state: absent"));
}

async fn act_look(with: &Value, world: &FakeWorld) -> Result<Probe, Unreadable> {
    act().look(&call(with.clone()), world).await
}

#[tokio::test]
async fn a_pinned_node_is_told_of_in_the_plan() {
    let note = async |others: bool| {
        let shown = json!({"fingerprint": "OWN", "by": "fingerprint", "trusted": true, "others": others});
        let probe = act().look(&asked(json!({})), &world(Value::Null).with("proxmox/node/pve1/shown", shown)).await;
        probe.unwrap().notes.remove(0)
    };
    assert!(note(true).await.contains("other commands refuse the node"));
    assert!(note(false).await.contains("this run may stop then"));
}
