//! Recorded bodies as answers, for the tests of this folder.

use serde_json::Value;

use crate::clients::proxmox::{Answer, At, Verb};

pub fn answer(data: Value) -> Answer {
    Answer { data, total: None, at: At { verb: Verb::Get, path: "/recorded".into(), node: "pve1".into() } }
}

/// The `data` of a body under `tests/data/pve/`.
pub fn recorded(name: &str) -> Answer {
    let path = format!("{}/tests/data/pve/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = crate::sys::files::read_text(path).unwrap();
    let body: Value = serde_json::from_str(&text).unwrap();
    answer(body["data"].clone())
}
