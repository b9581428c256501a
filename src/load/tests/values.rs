use serde_json::{Value, json};

use super::*;
use crate::model::param::{Param, Positional, ValueType};
use crate::model::runbook::Runbook;

fn show(param: &Param, value: &Value) -> String {
    coerce(param, value).map_or_else(|e| format!("! {}", e.expected), |v| v.to_string())
}

#[test]
fn each_type_reads_its_spellings() {
    use ValueType as T;
    let table = [
        (T::String, json!("a"), "\"a\""),
        (T::String, json!(1), "! expected a text"),
        (T::Int, json!("12"), "12"),
        (T::Int, json!("-3"), "-3"),
        (T::Int, json!("012"), "! expected a whole number"),
        (T::Int, json!(2.0), "2"),
        (T::Int, json!(2.5), "! expected a whole number"),
        (T::Float, json!("1.5"), "1.5"),
        (T::Bool, json!("true"), "true"),
        (T::Bool, json!("yes"), "! expected true or false"),
        (T::List, json!("a, b"), r#"["a","b"]"#),
        (T::List, json!(""), "[]"),
        (T::Map, json!("a=1,b=2"), r#"{"a":"1","b":"2"}"#),
        (T::Map, json!("{\"a\": 1}"), r#"{"a":1}"#),
        (T::Map, json!("a"), "! expected a map: `key=value,key=value`"),
        (T::Duration, json!("90s"), "90000"),
        (T::Duration, json!("1h30m"), "5400000"),
        (T::Duration, json!("250ms"), "250"),
        (T::Duration, json!(1500), "1500"),
        (T::Duration, json!("90"), "! expected a duration such as 90s, 5m or 1h30m"),
        (T::Duration, json!("99999999999999999d"), "! expected a duration such as 90s, 5m or 1h30m"),
        (T::Size, json!("32GiB"), "34359738368"),
        (T::Size, json!("32G"), "34359738368"),
        (T::Size, json!("1.5K"), "1536"),
        (T::Size, json!("32GB"), "! expected a size such as 512MiB, 32GiB or 32G"),
        (T::Size, json!(4096), "4096"),
        (T::Percent, json!("15%"), "15"),
        (T::Percent, json!(12.5), "12.5"),
        (T::Percent, json!("101%"), "! expected a percentage from 0% to 100%"),
        (T::Version, json!("v1.11.2"), "\"1.11.2\""),
        (T::Version, json!("1.12.0-beta.1"), "\"1.12.0-beta.1\""),
        (T::Version, json!(1.1), "! expected a version such as \"1.11.2\", in quotes"),
        (T::Version, json!("1"), "! expected a version such as \"1.11.2\", in quotes"),
        (T::Ip, json!("10.0.0.1"), "\"10.0.0.1\""),
        (T::Ip, json!("fd00::1"), "\"fd00::1\""),
        (T::Ip, json!("10.0.0.256"), "! expected an IP address"),
        (T::Cidr, json!("10.0.0.5/24"), "\"10.0.0.5/24\""),
        (T::Cidr, json!("10.0.0.0/33"), "! expected an address with its prefix such as 10.0.0.0/24"),
        (T::Mac, json!("bc:24:11:00:10:5a"), "\"BC:24:11:00:10:5A\""),
        (T::Mac, json!("01:00:00:00:00:00"), "! expected a MAC address of one machine such as 02:54:00:00:10:51"),
        (T::Url, json!("https://host/x"), "\"https://host/x\""),
        (T::Url, json!("host/x"), "! expected a URL such as https://host/path"),
        (T::Vmid, json!("104"), "104"),
        (T::Vmid, json!(99), "! expected a VMID: a whole number from 100 to 999999999"),
        (T::Guest, json!("104"), "104"),
        (T::Guest, json!("web-1"), "\"web-1\""),
        (T::Guest, json!("web 1"), "! expected a VMID or the name of a guest"),
        (T::Node, json!("pve2"), "\"pve2\""),
        (T::Node, json!("-x"), "! expected the name of a Proxmox node"),
        (T::Secret, json!("pass:a/b#line=1"), "\"pass:a/b#line=1\""),
        (T::Secret, json!("hunter2"), "! expected a reference such as pass:PATH, env:NAME or file:PATH"),
        (T::Any, json!([1, "a"]), r#"[1,"a"]"#),
    ];
    for (ty, value, expected) in table {
        assert_eq!(show(&Param::new("p", ty), &value), expected, "{} {value}", ty.as_str());
    }
    let secret = coerce_text(&Param::new("p", T::Secret), "hunter2").unwrap_err();
    assert!(!secret.to_string().contains("hunter2"));
}

#[test]
fn bounds_choices_and_items_hold() {
    let mut width = Param::new("width", ValueType::Int);
    (width.min, width.max) = (Some(1.0), Some(8.0));
    assert_eq!(show(&width, &json!("9")), "! expected at most 8");
    assert_eq!(show(&width, &json!(0)), "! expected at least 1");
    let mut wait = Param::new("wait", ValueType::Duration);
    wait.min = Some(10_000.0);
    assert_eq!(show(&wait, &json!("5s")), "! expected at least 10s");
    let mode = Param::new("mode", ValueType::String).choices(&["live", "offline"]);
    assert_eq!(show(&mode, &json!("lvie")), "! expected one of live, offline; did you mean `live`?");
    let mut tag = Param::new("tag", ValueType::String);
    tag.pattern = Some("[a-z]+".into());
    assert_eq!(show(&tag, &json!("a1")), "! expected a text that matches [a-z]+");
    let stay = Param::new("stay", ValueType::List).items(ValueType::Guest);
    assert_eq!(show(&stay, &json!("104,web-1")), r#"[104,"web-1"]"#);
    assert_eq!(show(&stay, &json!([5])), "! expected a VMID or the name of a guest");
}

fn runbook() -> Runbook {
    let source = shipped::source("node-evacuation").unwrap();
    load_runbook(&source, &catalogue(), &NoOthers).unwrap()
}

fn bind(runbook: &Runbook, positional: &[&str], set: &[(&str, &str)]) -> String {
    let positional: Vec<String> = positional.iter().map(|s| (*s).to_owned()).collect();
    let set: Vec<(String, String)> = set.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    match bind_params(runbook, &positional, &set) {
        Ok(bound) => serde_json::to_string(&bound).unwrap(),
        Err(errors) => errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
    }
}

#[test]
fn arguments_are_bound_and_all_that_is_wrong_is_said() {
    let runbook = runbook();
    insta::assert_snapshot!(bind(&runbook, &["pve2"], &[("stay", "104,web-1"), ("keep_free", "20%")]), @r#"{"allow_stop":false,"keep_free":20,"max_parallel":1,"node":"pve2","stay":[104,"web-1"]}"#);
    insta::assert_snapshot!(bind(&runbook, &[], &[("max_paralel", "2"), ("max_parallel", "9"), ("xyz", "1")]), @r"
    parameter `max_paralel`: there is no such parameter; did you mean `max_parallel`?
    parameter `max_parallel`: `9`; expected at most 8
    parameter `xyz`: there is no such parameter; `node-evacuation` takes node, keep_free, max_parallel, stay, allow_stop
    parameter `node`: not given; expected the name of a Proxmox node
    ");
    insta::assert_snapshot!(bind(&runbook, &["pve2", "pve3"], &[("node", "pve1")]), @r"
    parameter `2`: the argument `pve3` is one too many; `node-evacuation` takes 1 by position; name others with --set NAME=VALUE
    parameter `node`: given twice; give it once, as an argument or with --set
    ");
}

#[test]
fn the_rest_of_the_arguments_is_a_list() {
    let mut runbook = runbook();
    runbook.params.retain(|p| p.name == "node" || p.name == "stay");
    runbook.params[1].positional = Some(Positional::Rest);
    assert_eq!(bind(&runbook, &["pve2", "104", "db"], &[]), r#"{"node":"pve2","stay":[104,"db"]}"#);
    assert_eq!(bind(&runbook, &["pve2"], &[]), r#"{"node":"pve2","stay":[]}"#);
}

#[test]
fn defaults_may_use_the_configuration() {
    use crate::expr::{Datum, Scope};
    let mut runbook = runbook();
    runbook.params.retain(|p| p.name == "keep_free");
    runbook.params[0].default = Some(json!("{{ config.placement.keep_free }}"));
    let mut scope = Scope::new();
    scope.insert("config", Datum::Known(json!({"placement": {"keep_free": 15}})));
    let mut bound = bind_params(&runbook, &[], &[]).unwrap();
    fill_defaults(&runbook, &mut bound, &scope).unwrap();
    assert_eq!(bound["keep_free"], json!(15));
    runbook.params[0].default = Some(json!("{{ config.placement.kep_free }}"));
    let mut bound = bind_params(&runbook, &[], &[]).unwrap();
    insta::assert_snapshot!(fill_defaults(&runbook, &mut bound, &scope).unwrap_err()[0], @"parameter `keep_free`: its default `{{ config.placement.kep_free }}` cannot be used; there is no `config.placement.kep_free`; did you mean `config.placement.keep_free`?");
}
