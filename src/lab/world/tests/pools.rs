use serde_json::json;

use super::*;

fn ask(world: &mut World, verb: Verb, path: &str, params: &[(&str, &str)]) -> Result<Value, String> {
    world.handle(&call(verb, path, params)).map(|reply| reply.data).map_err(|e| format!("{} {}", e.status, e.message))
}

fn create(world: &mut World, id: &str) -> Result<Value, String> {
    ask(world, Verb::Post, "/pools", &[("poolid", id), ("comment", "for a test")])
}

#[test]
fn only_one_of_two_creates_a_pool() {
    let mut world = site("two-node");
    assert_eq!(create(&mut world, "a"), Ok(Value::Null));
    assert_eq!(create(&mut world, "a"), Err("500 create pool failed: pool 'a' already exists".into()));
    assert_eq!(get(&mut world, "/pools"), json!([{"poolid": "a", "comment": "for a test"}]));
    let one = get_with(&mut world, "/pools", &[("poolid", "a")]);
    assert_eq!(one, json!([{"poolid": "a", "comment": "for a test", "members": []}]));
    assert_eq!(get(&mut world, "/pools/a"), json!({"comment": "for a test", "members": []}));
    assert_eq!(row(&mut world, "/pool/a"), json!({"id": "/pool/a", "pool": "a", "type": "pool"}));
    assert_eq!(ask(&mut world, Verb::Delete, "/pools", &[("poolid", "a")]), Ok(Value::Null));
    let gone = ask(&mut world, Verb::Delete, "/pools/a", &[]);
    assert_eq!(gone, Err("500 delete pool failed: pool 'a' does not exist".into()));
    let gone = ask(&mut world, Verb::Get, "/pools", &[("poolid", "a")]);
    assert_eq!(gone, Err("500 pool 'a' does not exist".into()));
}

#[test]
fn pools_nest_below_a_parent() {
    let mut world = site("two-node");
    let orphan = create(&mut world, "a/b");
    assert_eq!(orphan, Err("500 create pool failed: parent 'a' of pool 'a/b' does not exist".into()));
    create(&mut world, "a").unwrap();
    create(&mut world, "a/b").unwrap();
    let full = ask(&mut world, Verb::Delete, "/pools", &[("poolid", "a")]);
    assert_eq!(full, Err("500 delete pool failed: pool 'a' is not empty (contains pool 'a/b')".into()));
}

#[test]
fn members_come_go_and_move() {
    let mut world = site("two-node");
    create(&mut world, "a").unwrap();
    create(&mut world, "b").unwrap();
    let put = |world: &mut World, params: &[(&str, &str)]| ask(world, Verb::Put, "/pools", params);
    put(&mut world, &[("poolid", "a"), ("vms", "104,106"), ("storage", "local-lvm"), ("comment", "new")]).unwrap();
    let members = get_with(&mut world, "/pools", &[("poolid", "a")])[0]["members"].clone();
    let ids: Vec<&str> = members.as_array().unwrap().iter().filter_map(|m| m["id"].as_str()).collect();
    assert_eq!(ids, ["qemu/104", "qemu/106", "storage/pve1/local-lvm"]);
    assert_eq!(get(&mut world, "/pools/a")["comment"], "new");
    assert_eq!(row(&mut world, "qemu/104")["pool"], "a");
    let twice = put(&mut world, &[("poolid", "a"), ("vms", "104")]);
    assert_eq!(twice, Err("500 update pools failed: VM 104 is already a pool member".into()));
    let elsewhere = put(&mut world, &[("poolid", "b"), ("vms", "104")]).unwrap_err();
    assert_eq!(elsewhere, "500 update pools failed: VM 104 belongs already to pool 'a' and 'allow-move' is not set");
    put(&mut world, &[("poolid", "b"), ("vms", "104"), ("allow-move", "1")]).unwrap();
    assert_eq!(row(&mut world, "qemu/104")["pool"], "b");
    let full = ask(&mut world, Verb::Delete, "/pools", &[("poolid", "b")]);
    assert_eq!(full, Err("500 delete pool failed: pool 'b' is not empty (contains VM 104)".into()));
    put(&mut world, &[("poolid", "b"), ("vms", "104"), ("delete", "1")]).unwrap();
    assert!(row(&mut world, "qemu/104").get("pool").is_none());
    ask(&mut world, Verb::Delete, "/pools", &[("poolid", "b")]).unwrap();
    let stranger = put(&mut world, &[("poolid", "a"), ("storage", "local-lvm, nfs"), ("delete", "1")]);
    assert_eq!(stranger, Err("500 update pools failed: Storage 'nfs' is not a pool member".into()));
    let full = ask(&mut world, Verb::Delete, "/pools", &[("poolid", "a")]);
    assert_eq!(full, Err("500 delete pool failed: pool 'a' is not empty (contains VM 106)".into()));
    assert_eq!(world.pool_memberships().keys().collect::<Vec<_>>(), ["/storage/local-lvm", "/vms/106"]);
}

#[test]
fn whoever_may_not_see_a_pool_is_refused() {
    struct Nothing;
    impl Privileges for Nothing {
        fn may(&self, _: &str, _: &str) -> bool {
            false
        }
    }
    let mut world = site("two-node");
    create(&mut world, "a").unwrap();
    let list = Call { privileges: Arc::new(Nothing), ..call(Verb::Get, "/pools", &[]) };
    assert_eq!(world.handle(&list).unwrap().data, json!([]));
    let one = Call { privileges: Arc::new(Nothing), ..call(Verb::Get, "/pools", &[("poolid", "a")]) };
    let error = world.handle(&one).unwrap_err();
    assert_eq!((error.status, error.message.as_str()), (403, "Permission check failed (/pool/a, Pool.Audit)"));
    let add = Call { privileges: Arc::new(Nothing), ..call(Verb::Put, "/pools", &[("poolid", "a"), ("vms", "104")]) };
    assert_eq!(world.handle(&add).unwrap_err().status, 403);
    assert!(row(&mut world, "qemu/104").get("pool").is_none(), "refused: nothing of it was done");
}
