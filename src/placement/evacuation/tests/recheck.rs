//! Plans against the facts of a later moment.

use super::*;

fn wrong(plan: &Evacuation, now: &Facts) -> String {
    still_fits(plan, now).expect_err("it does not fit").join("\n")
}

#[test]
fn what_has_not_changed_still_fits_and_what_is_done_is_done() {
    let mut facts = cluster(vec![vm(101, 30), vm(102, 30)]);
    let plan = ok(&facts);
    assert_eq!(still_fits(&plan, &facts), Ok(()));
    facts.guests[0].node = target_of(&plan, 101).clone();
    assert_eq!(still_fits(&plan, &facts), Ok(()));
    facts.guests[1].node = target_of(&plan, 102).clone();
    assert_eq!(still_fits(&plan, &facts), Ok(()));
}

#[test]
fn room_that_others_took_is_told_by_name_and_amount() {
    let mut facts = cluster(vec![vm(101, 20), on("pve1", vm(201, 4)), on("pve3", vm(301, 1))]);
    let plan = ok(&facts);
    facts.guests[2].memory = 40 * GIB;
    let expected = "101 (vm101) on pve3: needs 20.2 GiB, 10.7 GiB free above the reserve: 9.5 GiB short";
    assert_eq!(wrong(&plan, &facts), expected);
    assert_eq!(verify_target(&plan, Vmid(101), &facts), Err(vec![expected.to_owned()]));
    assert!(verify_target(&plan, Vmid(777), &facts).is_err());
}

#[test]
fn moves_left_are_summed() {
    let mut facts = cluster(vec![vm(101, 12), vm(102, 12), vm(103, 12), vm(104, 12)]);
    let plan = ok(&facts);
    facts.guests.push(on(target_of(&plan, 101).as_str(), vm(201, 30)));
    assert_eq!(verify_target(&plan, Vmid(101), &facts), Ok(()));
    assert!(wrong(&plan, &facts).contains("short"));
}

#[test]
fn other_changes_are_named() {
    let start = cluster(vec![vm(101, 4), ha(HaState::Started, vm(102, 4))]);
    let plan = ok(&start);
    let changed = |change: &dyn Fn(&mut Facts)| {
        let mut now = start.clone();
        now.guests[1].node = "pve1".into();
        change(&mut now);
        match still_fits(&plan, &now) {
            Ok(()) => String::new(),
            Err(wrong) => wrong.join("\n"),
        }
    };
    let to = plan.moves[0].to.clone();
    assert_eq!(changed(&|_| {}), "");
    assert!(changed(&|f| f.guests[1].node = "pve2".into()).contains("102 (vm102): the HA manager has not moved it"));
    assert!(changed(&|f| f.guests.push(vm(105, 1))).contains("105 (vm105): is on pve2 and not in the plan"));
    assert!(changed(&|f| f.guests[0].lock = Some("backup".into())).contains("lock `backup`"));
    assert!(changed(&|f| f.guests[0].running = false).contains("was to move live, now only offline"));
    assert!(changed(&|f| f.guests[0].memory *= 2).contains("has grown from 4.0 GiB to 8.0 GiB"));
    assert!(changed(&|f| f.quorate = false).contains("not quorate"));
    assert!(
        changed(&|f| {
            f.guests.remove(0);
        })
        .contains("101 (vm101) is gone")
    );
    let offline = |f: &mut Facts| f.nodes.iter_mut().filter(|n| n.name == to).for_each(|n| n.online = false);
    assert!(changed(&offline).contains("offline"));
}

#[test]
fn storage_is_summed_over_the_moves_left() {
    let mut facts = cluster(vec![local(vm(101, 4), 200), local(vm(102, 4), 200)]);
    facts.nodes[2].online = false;
    let plan = ok(&facts);
    assert_eq!(still_fits(&plan, &facts), Ok(()));
    facts.nodes[0].storages[1].avail = 300 * GIB;
    assert!(
        wrong(&plan, &facts).contains("local-lvm has 300.0 GiB free, the moves left need 400.0 GiB: 100.0 GiB short")
    );
}
