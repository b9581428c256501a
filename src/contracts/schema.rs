//! A whole API version: which paths there are.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::LazyLock;

use serde_json::Value;

use super::method::Method;
use crate::contracts::Verb;

static V9: LazyLock<Schema> =
    LazyLock::new(|| Schema::load("9.2.3", include_bytes!("../../data/pve-api-9.2.3.json.gz")));
static V8: LazyLock<Schema> =
    LazyLock::new(|| Schema::load("8.4.2", include_bytes!("../../data/pve-api-8.4.2.json.gz")));

/// The API of one version of Proxmox VE.
#[derive(Debug)]
pub struct Schema {
    /// The version that the data is of (`9.2.3`).
    pub version: &'static str,
    methods: Vec<Method>,
    root: Segment,
}

/// One place in the tree of paths.
#[derive(Debug, Default)]
struct Segment {
    literal: BTreeMap<String, Segment>,
    variable: Option<Box<Segment>>,
    /// Takes the rest of the path, slashes included: the volume in `/storage/{storage}/content/{volume}`.
    greedy: bool,
    methods: BTreeMap<Verb, usize>,
}

impl Schema {
    /// The schema nearest to this version: that of the same major version, 9 for any other.
    ///
    /// The first call for a version reads about half a megabyte of JSON.
    pub fn version(version: &str) -> &'static Self {
        if version.split('.').next() == Some("8") { &V8 } else { &V9 }
    }

    fn load(version: &'static str, compressed: &[u8]) -> Self {
        let mut text = String::new();
        flate2::read::GzDecoder::new(compressed).read_to_string(&mut text).expect("the schema in the binary is gzip");
        let json: Value = serde_json::from_str(&text).expect("the schema in the binary is JSON");
        let mut schema = Self { version, methods: Vec::new(), root: Segment::default() };
        let paths = json["paths"].as_object().expect("the schema in the binary has paths");
        for (path, verbs) in paths {
            for (verb, method) in verbs.as_object().into_iter().flatten() {
                if let (Some(verb), Some(method)) = (Verb::parse(verb), method.as_object()) {
                    schema.add(Method::parse(verb, path, method));
                }
            }
        }
        schema
    }

    fn add(&mut self, method: Method) {
        let mut place = &mut self.root;
        for segment in segments(&method.template) {
            place = if segment.starts_with('{') {
                let next = place.variable.get_or_insert_default();
                next.greedy |= segment == "{volume}";
                next
            } else {
                place.literal.entry(segment.to_owned()).or_default()
            };
        }
        place.methods.insert(method.verb, self.methods.len());
        self.methods.push(method);
    }

    /// The method for a concrete path (`/nodes/pve1/qemu/104/migrate`, already percent-decoded), and the values of the
    /// names in its template. `None` is what the server answers with 501.
    pub fn find(&self, verb: Verb, path: &str) -> Option<(&Method, BTreeMap<String, String>)> {
        let parts: Vec<&str> = segments(path).collect();
        let method = &self.methods[walk(&self.root, &parts, verb)?];
        let mut values = BTreeMap::new();
        for (i, segment) in segments(&method.template).enumerate() {
            if let Some(name) = segment.strip_prefix('{').and_then(|s| s.strip_suffix('}')) {
                let value = if name == "volume" { parts[i..].join("/") } else { parts[i].to_owned() };
                values.insert(name.to_owned(), value);
            }
        }
        Some((method, values))
    }

    /// The method by the schema's own path.
    pub fn method(&self, verb: Verb, template: &str) -> Option<&Method> {
        let mut place = &self.root;
        for segment in segments(template) {
            place = if segment.starts_with('{') { place.variable.as_deref()? } else { place.literal.get(segment)? };
        }
        let method = &self.methods[*place.methods.get(&verb)?];
        (method.template == template).then_some(method)
    }

    pub fn methods(&self) -> impl Iterator<Item = &Method> {
        self.methods.iter()
    }
}

/// A literal name goes before a variable one; where it leads nowhere the variable is tried.
fn walk(place: &Segment, parts: &[&str], verb: Verb) -> Option<usize> {
    let Some((first, rest)) = parts.split_first() else {
        return place.methods.get(&verb).copied();
    };
    if let Some(found) = place.literal.get(*first).and_then(|next| walk(next, rest, verb)) {
        return Some(found);
    }
    let next = place.variable.as_deref()?;
    walk(next, rest, verb).or_else(|| next.greedy.then(|| next.methods.get(&verb).copied()).flatten())
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contracts::property::{Format, Property};

    #[test]
    fn a_concrete_path_is_found() {
        let (method, path) = Schema::version("9.2.3").find(Verb::Post, "/nodes/pve1/qemu/104/migrate").unwrap();
        assert_eq!(method.name, "migrate_vm");
        assert_eq!((path["node"].as_str(), path["vmid"].as_str()), ("pve1", "104"));
        assert!(method.protected);
        assert_eq!(method.proxyto.as_deref(), Some("node"));
    }

    #[test]
    fn a_literal_name_goes_before_a_variable_one() {
        let (method, _) = Schema::version("9").find(Verb::Get, "/nodes/pve1/qemu/104/status/current").unwrap();
        assert_eq!(method.template, "/nodes/{node}/qemu/{vmid}/status/current");
    }

    #[test]
    fn a_volume_takes_the_slashes_too() {
        let found = Schema::version("9").find(Verb::Delete, "/nodes/pve1/storage/local/content/local:iso/talos.iso");
        assert_eq!(found.unwrap().1["volume"], "local:iso/talos.iso");
    }

    #[test]
    fn versions_differ() {
        for (verb, path) in [
            (Verb::Get, "/nodes/a/lxc/101/migrate"),
            (Verb::Get, "/cluster/ha/rules"),
            (Verb::Post, "/cluster/bulk-action/guest/start"),
        ] {
            assert!(Schema::version("9.2.11").find(verb, path).is_some(), "{path}");
            assert!(Schema::version("8.4.21").find(verb, path).is_none(), "{path}");
        }
    }

    #[test]
    fn every_template_finds_itself() {
        for version in ["9.2.3", "8.4.2"] {
            for method in Schema::version(version).methods() {
                let found = Schema::version(version).method(method.verb, &method.template);
                assert_eq!(found.map(|m| &m.name), Some(&method.name), "{}", method.template);
            }
        }
    }

    #[test]
    fn every_pattern_compiles() {
        fn visit(property: &Property, at: &str) {
            if let Some(pattern) = &property.pattern {
                assert!(pattern.regex().is_some(), "{at}: {}", pattern.source());
            }
            let keys = match &property.format {
                Some(Format::PropertyString(keys)) => keys.values().collect(),
                _ => Vec::new(),
            };
            keys.into_iter().chain(property.items.as_deref()).chain(&property.one_of).for_each(|p| visit(p, at));
        }
        for version in ["9.2.3", "8.4.2"] {
            for method in Schema::version(version).methods() {
                method.params.iter().chain(&method.indexed).for_each(|(name, p)| visit(p, name));
            }
        }
    }
}
