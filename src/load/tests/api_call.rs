//! Calls of `proxmox.api`: held against the official schemas as far as they are literal.

use super::*;

fn api(with: &str) -> String {
    let text = format!(
        "runbook: x\nschema: 1\ntarget: proxmox\nparams:\n  n: {{type: node}}\n  kind: {{type: string}}\n  p: {{type: map}}\nsteps:\n  - id: a\n    uses: proxmox.api\n    with: {with}\n"
    );
    let real = crate::load::read_runbook(&Source::new("x.yaml", text.as_str()), &specs(), &NoOthers);
    said(&real.found)
}

/// The catalogue's own description of the action, as far as loading needs it.
fn specs() -> crate::model::action_spec::Catalogue {
    use crate::model::action_spec::ActionSpec;
    use crate::model::effect::Effect;
    use crate::model::param::{Param, ValueType};
    let effects =
        [("get", Effect::Read), ("put", Effect::Change), ("post", Effect::Change), ("delete", Effect::Destroy)];
    let spec = ActionSpec::new("proxmox.api", Effect::Destroy, "Call")
        .effect_by("method", &effects)
        .param(Param::new("method", ValueType::String).required().choices(&["get", "post", "put", "delete"]))
        .param(Param::new("path", ValueType::String).required())
        .param(Param::new("params", ValueType::Map))
        .output("data", ValueType::Any, "What it answers");
    [(spec.name.clone(), spec)].into()
}

#[test]
fn what_some_version_takes_is_fine() {
    for with in [
        "{method: get, path: /version}",
        "{method: get, path: /cluster/ha/rules}",
        "{method: get, path: /cluster/ha/groups}",
        "{method: post, path: \"/nodes/{{ params.n }}/{{ params.kind }}/104/status/start\"}",
        "{method: post, path: \"/nodes/{{ params.n }}/qemu/104/migrate\", params: {target: \"{{ params.n }}\", online: true}}",
        "{method: put, path: /nodes/a/qemu/104/config, params: \"{{ params.p }}\"}",
    ] {
        assert_eq!(api(with), "", "{with}");
    }
}

#[test]
fn what_no_version_takes_is_said() {
    for (with, part) in [
        ("{method: get, path: /nodes/a/quemu}", "has no GET /nodes/a/quemu"),
        (
            "{method: post, path: \"/nodes/{{ params.n }}/qemu/104/migrate\", params: {online: yes}}",
            "target: property is missing",
        ),
        (
            "{method: post, path: /nodes/a/qemu/104/migrate, params: {target: b, onlin: 1}}",
            "onlin: property is not defined",
        ),
        ("{method: put, path: /nodes/a/qemu/104/config, params: {cipassword: x}}", "`cipassword` is a secret"),
        ("{method: post, path: /access/ticket, params: {username: a}}", "RB017"),
    ] {
        let said = api(with);
        assert!(said.contains(part), "{with}: {said}");
    }
}

#[test]
fn a_call_that_destroys_is_never_retried_and_one_that_reads_may_check() {
    let step = |method: &str| {
        let with = format!("{{method: {method}, path: /pools/x}}\n    retry: {{attempts: 2}}");
        api(&with)
    };
    assert!(step("delete").contains("never retried"), "{}", step("delete"));
    assert_eq!(step("get"), "");
}
