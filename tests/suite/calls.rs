//! Runbooks that call procedures: what they hand over, and what stands in the paths of their steps.

use crate::harness::{Got, Lab, World};

fn planned(steps: &str) -> Got {
    let world = World::new();
    let head = "runbook: x\nschema: 1\ntarget: proxmox\n";
    let define = "define:\n  down:\n    params: {guest: {type: guest}, also: {type: list, items: guest, default: []}, beside: {type: node, default: pve1}}\n    steps:\n      - id: stop\n        uses: proxmox.guest_shutdown\n        with: {guest: \"{{ params.guest }}\"}\n";
    world.write("x.yaml", &format!("{head}steps:\n{steps}{define}"));
    let got = world.lab(&Lab::default(), "runbook plan ./x.yaml");
    world.nothing_changed();
    got
}

#[test]
fn a_guest_that_a_call_names_becomes_its_vmid() {
    planned("  - id: a\n    uses: local.down\n    with: {guest: web, also: [web, 105]}\n")
        .exits(0)
        .says(&["a/stop", "VM 104 (web)"]);
    planned("  - uses: local.down\n    with: {guest: wbe}\n").exits(5).complains(&[
        "step down: parameter guest of local.down: there is no guest \"wbe\" [site::unknown_guest]",
        "did you mean \"web\"? name a guest by its VMID or by a name that only it has",
    ]);
    planned("  - uses: local.down\n    with: {guest: 104, beside: pve11}\n")
        .exits(5)
        .complains(&["parameter beside of local.down: there is no node \"pve11\"", "did you mean \"pve1\"?"]);
}

#[test]
fn a_guest_that_a_step_names_becomes_its_vmid() {
    let down = |guest: &str| format!("  - id: a\n    uses: proxmox.guest_shutdown\n    with: {{guest: {guest}}}\n");
    planned(&down("web")).exits(0).says(&["VM 104 (web)"]);
    planned(&down("'104'")).exits(0).says(&["VM 104 (web)"]);
    planned(&down("wbe")).exits(5).complains(&[
        "step a: parameter guest of proxmox.guest_shutdown: there is no guest \"wbe\" [site::unknown_guest]",
        "did you mean \"web\"? name a guest by its VMID or by a name that only it has",
    ]);
    // A step before it might have made it: the step itself says that it is not there.
    planned(&down("999")).exits(6).says(&["look for guest 999", "no node has it"]);
}

#[test]
fn a_key_that_would_not_fit_into_a_path_is_refused() {
    let fan = |list: &str| {
        format!(
            "  - id: each\n    for_each: {list}\n    uses: local.run\n    with: {{argv: [echo, \"{{{{ item }}}}\"]}}\n"
        )
    };
    planned(&fan("\"['nfs:100/a', 'b[1']\"")).exits(0).says(&["each[nfs:100/a]", "each[b[1]"]);
    planned(&fan("\"['a]/b']\"")).exits(6).says(&[
        "an item has the key \"a]/b\"",
        "it takes no `]` and one line",
        "`key` gives each item another",
    ]);
}
