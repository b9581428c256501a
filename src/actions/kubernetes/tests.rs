use serde_json::{Value, json};

use super::On;
use super::blocks::{self, Allowed, Verdict};
use crate::clients::kubernetes::{Budget, Owner, Pod};

fn pod(name: &str, owner: Option<&str>) -> Pod {
    Pod {
        namespace: "shop".into(),
        name: name.into(),
        uid: name.into(),
        node: Some("w1".into()),
        phase: "Running".into(),
        ready: true,
        owner: owner.map(|kind| Owner { kind: kind.into(), name: "x".into() }),
        mirror: false,
        empty_dir: false,
        ending: false,
        labels: json!({"app": "web"}),
    }
}

fn budget(name: &str, allowed: Option<u64>) -> Budget {
    let selector: Value = json!({"matchLabels": {"app": "web"}});
    Budget { namespace: "shop".into(), name: name.into(), selector, allowed, needs: Some(2), has: Some(2) }
}

#[test]
fn what_stays_and_what_goes_is_as_kubectl_has_it() {
    let none = Allowed::default();
    assert_eq!(blocks::verdict(&pod("a", Some("ReplicaSet")), none), Verdict::Evict);
    assert_eq!(blocks::verdict(&pod("a", Some("DaemonSet")), none), Verdict::Stays);
    assert_eq!(blocks::verdict(&Pod { mirror: true, ..pod("a", Some("Node")) }, none), Verdict::Stays);
    assert!(matches!(blocks::verdict(&pod("a", None), none), Verdict::Forbidden(_)));
    assert_eq!(blocks::verdict(&pod("a", None), Allowed { bare: true, ..none }), Verdict::Evict);
    let dir = Pod { empty_dir: true, ..pod("a", Some("ReplicaSet")) };
    assert!(matches!(blocks::verdict(&dir, none), Verdict::Forbidden(_)));
    assert_eq!(blocks::verdict(&dir, Allowed { emptydir: true, ..none }), Verdict::Evict);
    let ended = Pod { phase: "Succeeded".into(), empty_dir: true, ..pod("a", None) };
    assert_eq!(blocks::verdict(&ended, none), Verdict::Evict);
}

#[test]
fn a_budget_that_says_nothing_allows_nothing() {
    let web = pod("a", Some("ReplicaSet"));
    assert_eq!(blocks::held(&web, &[]), None);
    assert_eq!(blocks::held(&web, &[budget("b", Some(1))]), None);
    let held = blocks::held(&web, &[budget("b", Some(0))]).unwrap();
    assert_eq!(held, "disruption budget shop/b (needs 2 healthy pods, has 2) allows no disruption");
    let ill = Pod { ready: false, ..web.clone() };
    assert_eq!(blocks::held(&ill, &[budget("b", Some(0))]).unwrap(), format!("{held}, and this pod is not ready"));
    assert!(blocks::held(&web, &[budget("b", None)]).unwrap().contains("has not said"));
    assert!(blocks::held(&web, &[budget("b", Some(1)), budget("c", Some(1))]).unwrap().contains("two"));
}

#[test]
fn a_pod_that_is_on_its_way_stops_nothing_and_is_waited_for() {
    let bare = Pod { ending: true, ..pod("bare", None) };
    let going = Pod { ending: true, ..pod("going", Some("ReplicaSet")) };
    let on = On { pods: vec![bare, going, pod("stays", Some("DaemonSet"))], budgets: Vec::new() };
    assert!(blocks::forbidden(&on, Allowed::default()).is_empty());
    let names: Vec<&str> = blocks::leaving(&on, Allowed::default()).iter().map(|pod| pod.name.as_str()).collect();
    assert_eq!(names, ["going"]);
}
