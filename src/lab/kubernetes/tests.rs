use super::*;
use crate::lab::scenario::Scenario;
use crate::model::ids::NodeName;

fn world() -> World {
    World::from_scenario(&Scenario::named("three-node").unwrap(), 1, 1_800_000_000)
}

fn ask(world: &mut World, method: &str, path: &str, body: &Value) -> Said {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let query = query.split('&').filter_map(|pair| pair.split_once('=')).map(|(n, v)| (n.to_owned(), v.to_owned()));
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let content_type = "application/merge-patch+json".to_owned();
    answer(
        world,
        &Ask { method: method.into(), path: path.into(), query: query.collect(), content_type, body, ..Ask::default() },
    )
}

fn get(world: &mut World, path: &str) -> Value {
    let said = ask(world, "GET", path, &Value::Null);
    assert_eq!(said.status, 200, "{path}: {}", said.body);
    said.body
}

fn pods(world: &mut World, node: &str) -> Vec<String> {
    let list = get(world, &format!("/api/v1/pods?fieldSelector=spec.nodeName={node}"));
    let name = |pod: &Value| {
        format!("{}/{}", pod["metadata"]["namespace"].as_str().unwrap(), pod["metadata"]["name"].as_str().unwrap())
    };
    list["items"].as_array().unwrap().iter().map(name).collect()
}

fn evict(world: &mut World, pod: &str) -> Said {
    let (namespace, name) = pod.split_once('/').unwrap();
    let body =
        json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": namespace}});
    ask(world, "POST", &format!("/api/v1/namespaces/{namespace}/pods/{name}/eviction"), &body)
}

fn web(world: &mut World, node: &str) -> String {
    pods(world, node).into_iter().find(|pod| pod.starts_with("shop/web-")).unwrap()
}

#[test]
fn nodes_follow_their_machines() {
    let mut world = world();
    let node = get(&mut world, "/api/v1/nodes/cp1");
    assert_eq!(node["status"]["nodeInfo"]["osImage"], "Talos (v1.11.2)");
    assert_eq!(node["status"]["addresses"][0]["address"], "10.0.0.51");
    world.set_node_up(&NodeName::new("pve1"), false);
    let ready = |world: &mut World| get(world, "/api/v1/nodes/cp1")["status"]["conditions"][0]["status"].clone();
    assert_eq!(ready(&mut world), "True", "nobody has missed it yet");
    world.advance_to(60_000);
    assert_eq!(ready(&mut world), "Unknown");
    assert!(refuses(&world, Some("10.0.0.51")).unwrap().ends_with("no route to host"));
    assert_eq!((refuses(&world, Some("10.0.0.52")), refuses(&world, None)), (None, None));
    world.set_node_up(&NodeName::new("pve2"), false);
    assert!(refuses(&world, None).is_some(), "without quorum nobody holds the shared address");
    assert_eq!(ask(&mut world, "GET", "/api/v1/nodes", &Value::Null).status, 500);
}

#[test]
fn who_has_seen_an_older_one_is_refused() {
    let mut world = world();
    let mut node = get(&mut world, "/api/v1/nodes/w1");
    let cordon = json!({"spec": {"unschedulable": true}});
    let done = ask(&mut world, "PATCH", "/api/v1/nodes/w1", &cordon);
    assert!(done.status == 200 && done.changed && done.body["spec"]["taints"][0]["effect"] == "NoSchedule");
    assert!(!ask(&mut world, "PATCH", "/api/v1/nodes/w1", &cordon).changed, "it is so already");
    node["spec"]["unschedulable"] = json!(true);
    let late = ask(&mut world, "PUT", "/api/v1/nodes/w1", &node);
    assert_eq!((late.status, late.body["reason"].as_str()), (409, Some("Conflict")));
    let open = ask(&mut world, "PATCH", "/api/v1/nodes/w1", &json!({"spec": {"unschedulable": null}}));
    assert!(open.changed && open.body["spec"].get("taints").is_none());
}

#[test]
fn a_budget_is_kept_and_a_pod_comes_back_elsewhere() {
    let mut world = world();
    ask(&mut world, "PATCH", "/api/v1/nodes/w2", &json!({"spec": {"unschedulable": true}}));
    let (first, second) = (web(&mut world, "w2"), web(&mut world, "w1"));
    assert_eq!(evict(&mut world, &first).status, 201);
    let refused = evict(&mut world, &second);
    assert_eq!((refused.status, refused.body["reason"].as_str()), (429, Some("TooManyRequests")));
    let cause = refused.body["details"]["causes"][0]["message"].as_str().unwrap();
    assert_eq!(cause, "The disruption budget web needs 2 healthy pods and has 2 currently");
    let stays = |world: &mut World| pods(world, "w2").iter().any(|pod| pod.starts_with("shop/"));
    assert!(stays(&mut world), "it takes its time");
    world.advance_to(30_000);
    assert!(!stays(&mut world));
    assert_eq!(
        get(&mut world, "/api/v1/namespaces/shop/pods?labelSelector=app%3Dweb".replace("%3D", "=").as_str())["items"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    assert_eq!(evict(&mut world, &second).status, 201, "all are well again");
}

#[test]
fn what_nothing_owns_does_not_come_back_and_what_a_node_makes_does() {
    let mut world = world();
    assert_eq!(evict(&mut world, "default/debug").status, 201);
    assert_eq!(evict(&mut world, "kube-system/kube-apiserver-cp1").status, 201);
    world.advance_to(30_000);
    assert_eq!(ask(&mut world, "GET", "/api/v1/namespaces/default/pods/debug", &Value::Null).status, 404);
    assert!(pods(&mut world, "cp1").contains(&"kube-system/kube-apiserver-cp1".to_owned()));
}

#[test]
fn faults_are_seen_and_mended() {
    let mut world = world();
    assert!(world.block_budget("shop", "web") && !world.block_budget("shop", "nothing"));
    assert!(world.silence_kubelet("w1") && world.degrade_storage());
    let pod = web(&mut world, "w2");
    assert_eq!(evict(&mut world, &pod).status, 429);
    assert_eq!(get(&mut world, "/api/v1/nodes/w1")["status"]["conditions"][0]["status"], "Unknown");
    let volume = "/apis/longhorn.io/v1beta2/namespaces/longhorn-system/volumes/pvc-shop-db";
    assert_eq!(get(&mut world, volume)["status"]["robustness"], "degraded");
    world.mend_kubernetes();
    assert_eq!(get(&mut world, volume)["status"]["robustness"], "healthy");
    assert_eq!(evict(&mut world, &pod).status, 201);
}

#[test]
fn what_is_not_installed_is_not_found() {
    let mut scenario = Scenario::named("three-node").unwrap();
    scenario.kubernetes.storage.clear();
    let mut world = World::from_scenario(&scenario, 1, 1_800_000_000);
    let said = ask(&mut world, "GET", "/apis/longhorn.io/v1beta2/volumes", &Value::Null);
    assert_eq!(
        (said.status, said.as_kubectl().2.as_str()),
        (404, "Error from server (NotFound): the server could not find the requested resource\n")
    );
    assert_eq!(ask(&mut world, "GET", "/api/v1/pods?fieldSelector=spec.x=1", &Value::Null).status, 400);
}
