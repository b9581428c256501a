//! `talosctl get … -o json` writes one object after another, each over several lines, and no array.

use serde_json::Value;

/// All objects.
///
/// # Errors
/// What is no JSON.
pub fn objects(text: &str) -> Result<Vec<Value>, String> {
    serde_json::Deserializer::from_str(text).into_iter::<Value>().collect::<Result<_, _>>().map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_of_objects_is_read() {
        let text = "{\n    \"node\": \"10.0.0.2\",\n    \"spec\": {}\n}\n{\n    \"node\": \"10.0.0.2\"\n}\n";
        assert_eq!(objects(text).unwrap().len(), 2);
        assert!(objects("").unwrap().is_empty());
        assert!(objects("{\"cut\": ").is_err());
    }
}
