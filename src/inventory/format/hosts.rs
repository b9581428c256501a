//! Lines for `/etc/hosts`: the primary address and a name for each host that has one.

use crate::inventory::names::unique_names;
use crate::model::inventory::Inventory;

/// `10.0.0.4  web web.lab.example`; who has no address is named in a comment.
pub fn hosts(inventory: &Inventory) -> String {
    let names = unique_names(&inventory.hosts);
    let mut out = format!("# {}, by runbook inventory\n", inventory.site);
    for (host, name) in inventory.hosts.iter().zip(&names) {
        let what = host.vmid.map(|vmid| format!("{vmid}")).unwrap_or_default();
        match (host.primary, label(name)) {
            (Some(address), Some(label)) => {
                let own = domain(&inventory.site).filter(|_| !label.contains('.'));
                let domain = own.map(|domain| format!(" {label}.{domain}")).unwrap_or_default();
                out.push_str(&format!("{address:<15} {label}{domain}\n"));
            }
            (Some(address), None) => out.push_str(&format!("# {address} {what}: {name:?} is no host name\n")),
            (None, _) => {
                let why = host.unknown.as_ref().map_or("no address", |unknown| unknown.text.as_str());
                out.push_str(&format!("# {what} {}: {}\n", one_line(name), one_line(why)));
            }
        }
    }
    out
}

/// The name, if it is one for hosts; names with dots are whole already.
fn label(name: &str) -> Option<String> {
    let fits = |part: &str| {
        !part.is_empty()
            && part.len() <= 63
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    name.split('.').all(fits).then(|| name.to_ascii_lowercase())
}

fn domain(site: &str) -> Option<&str> {
    (site.contains('.') && label(site).is_some()).then_some(site)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
