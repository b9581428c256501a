//! What a server or a guest answers, as JSON: reading interfaces from it never panics, and neither do its errors' texts.
#![no_main]

use libfuzzer_sys::fuzz_target;
use runbook::inventory::{agent, container, format, refusal};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(body) = serde_json::from_slice(bytes) {
        let _ = agent(&body);
        let _ = container(&body);
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = refusal(text);
        let _ = format::read(text);
    }
});
