//! All profiles of a site together: what two of them claim, and what does not fit the site.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::diagnostic::{Diagnostic, Severity, Span, code};
use crate::expr::nearest;
use crate::model::cluster::{Assignment, Cluster, NodeGroup, TemplateRef};
use crate::model::ids::Vmid;
use crate::model::site::Site;
use crate::model::value::cidr;

/// Checks the profiles of a site against each other and against the site. All problems are listed.
///
/// Spans carry line and column only: [`Source::span_of`](super::diagnostic::Source::span_of) gives the rest.
pub fn check_profiles(site: &Site, clusters: &[Cluster]) -> Vec<Diagnostic> {
    let mut checker = Checker { clusters, diagnostics: Vec::new(), claims: BTreeMap::new() };
    for (i, cluster) in clusters.iter().enumerate() {
        checker.cluster(site, i, cluster);
    }
    checker.networks();
    checker.diagnostics
}

/// A value in a file: the cluster and the path in it.
#[derive(Clone)]
struct At {
    cluster: usize,
    path: String,
}

struct Checker<'c> {
    clusters: &'c [Cluster],
    diagnostics: Vec<Diagnostic>,
    /// What is claimed, by kind and value, and where first.
    claims: BTreeMap<(&'static str, String), At>,
}

impl Checker<'_> {
    fn report(&mut self, code: &'static str, at: &At, message: String) -> &mut Diagnostic {
        let cluster = &self.clusters[at.cluster];
        self.diagnostics.push(Diagnostic {
            severity: Severity::Error,
            code,
            message,
            help: None,
            file: format!("clusters/{}.yaml", cluster.name),
            span: span(cluster, &at.path),
            labels: Vec::new(),
            conceal: false,
        });
        self.diagnostics.last_mut().expect("one was pushed just now")
    }

    /// Claims a value for a place; two claims are a clash that names both.
    fn claim(&mut self, kind: &'static str, value: String, at: At) {
        match self.claims.get(&(kind, value.clone())).cloned() {
            None => drop(self.claims.insert((kind, value), at)),
            Some(first) => {
                let there = &self.clusters[first.cluster];
                let line = span(there, &first.path).line;
                let message = format!("the {kind} {value} is taken by clusters/{}.yaml, line {line}", there.name);
                let same_file = (first.cluster == at.cluster).then(|| span(there, &first.path));
                let diagnostic = self.report(code::CLASH, &at, message);
                if let Some(span) = same_file {
                    diagnostic.label(span, "taken here");
                }
            }
        }
    }

    fn cluster(&mut self, site: &Site, i: usize, cluster: &Cluster) {
        let at = |path: &str| At { cluster: i, path: path.into() };
        self.claim("cluster name", cluster.name.clone(), at("name"));
        if let (Some(TemplateRef::Vmid(vmid)), Some(range)) = (&cluster.template, site.vmid_ranges.templates)
            && !range.contains(*vmid)
        {
            let message = format!("template {vmid} is outside of the templates' range {}-{}", range.first, range.last);
            // A template may be any guest: only worth a word.
            self.report(code::RANGE, &at("template"), message).severity = Severity::Warning;
        }
        if let Some(flux) = &cluster.flux {
            self.flux(cluster, i, &flux.repo, &flux.path);
        }
        if let Some(vip) = cluster.talos.as_ref().and_then(|t| t.vip.as_ref()) {
            self.claim("address", vip.ip.clone(), at("talos/vip/ip"));
        }
        for (name, group) in groups(cluster) {
            self.group(site, i, cluster, name, group);
        }
    }

    /// Two clusters may not share a folder, nor may one's lie inside the other's.
    fn flux(&mut self, cluster: &Cluster, i: usize, repo: &str, path: &str) {
        let folder = |path: &str| format!("{}/", path.trim_matches(|c| c == '/' || c == '.'));
        let mine = folder(path);
        for other in &self.clusters[..i] {
            let Some(theirs) = other.flux.as_ref().filter(|f| f.repo == repo).map(|f| folder(&f.path)) else {
                continue;
            };
            if mine.starts_with(&theirs) || theirs.starts_with(&mine) {
                let message = format!("the Flux path `{path}` overlaps with that of clusters/{}.yaml", other.name);
                self.report(code::CLASH, &At { cluster: i, path: "flux/path".into() }, message)
                    .help(format!("give each cluster a folder of its own, such as clusters/{}", cluster.name));
            }
        }
    }

    fn group(&mut self, site: &Site, i: usize, cluster: &Cluster, name: &str, group: &NodeGroup) {
        let base = format!("nodes/{name}");
        let at = |path: &str| At { cluster: i, path: format!("{base}/{path}") };
        if group.assignments.len() > group.count as usize {
            let message = format!("count is {}, but there are {} assignments", group.count, group.assignments.len());
            self.report(code::RANGE, &at("count"), message).help(format!("count: {}", group.assignments.len()));
        }
        for (n, member) in group.members().iter().enumerate() {
            let assigned = n < group.assignments.len();
            let field = |key: &str| {
                let own = format!("{base}/assignments/{n}/{key}");
                let fallback = if key == "name" { "name_prefix" } else { "start_vmid" };
                let path =
                    if assigned && cluster.places.contains_key(&own) { own } else { format!("{base}/{fallback}") };
                At { cluster: i, path }
            };
            self.claim("VM name", member.name.clone(), field("name"));
            if let Some(vmid) = member.vmid {
                self.vmid(site, vmid, field("vmid"));
            }
            self.assignment(site, cluster, member, &field);
        }
    }

    fn vmid(&mut self, site: &Site, vmid: Vmid, at: At) {
        self.claim("VMID", vmid.to_string(), at.clone());
        if let Some(range) = site.vmid_ranges.vms.filter(|range| !range.contains(vmid)) {
            let message = format!("VMID {vmid} is outside of the VMs' range {}-{}", range.first, range.last);
            self.report(code::RANGE, &at, message);
        }
    }

    fn assignment(&mut self, site: &Site, cluster: &Cluster, member: &Assignment, field: &dyn Fn(&str) -> At) {
        let nodes = || site.cluster.nodes.iter().map(|n| n.name.as_str());
        if let Some(node) = &member.node
            && !nodes().any(|known| known == node.as_str())
        {
            let near = nearest(node.as_str(), nodes());
            let known = nodes().collect::<Vec<_>>().join(", ");
            let diagnostic = self.report(code::NOT_THERE, &field("node"), format!("the site has no node `{node}`"));
            diagnostic.suggest(near);
            if diagnostic.help.is_none() {
                diagnostic.help(format!("its nodes are {known}"));
            }
        }
        if let Some(mac) = &member.mac {
            self.claim("MAC address", mac.clone(), field("mac"));
        }
        let Some((ip, prefix)) = member.ip.as_deref().and_then(cidr) else { return };
        self.claim("address", ip.to_string(), field("ip"));
        let gateway = cluster.network.gateway.as_deref().and_then(|g| g.parse::<IpAddr>().ok());
        if gateway.is_some_and(|gateway| !overlaps((ip, prefix), (gateway, full(gateway)))) {
            let message = format!(
                "{ip}/{prefix} does not hold the gateway {}",
                gateway.map(|g| g.to_string()).unwrap_or_default()
            );
            self.report(code::RANGE, &field("ip"), message);
        }
        if gateway == Some(ip) {
            self.report(code::CLASH, &field("ip"), format!("{ip} is the gateway's address"));
        }
    }

    /// Pod, service and node networks: none may overlap with another, within a cluster and between clusters.
    /// Clusters may share a network of nodes.
    fn networks(&mut self) {
        let mut seen: Vec<(&'static str, (IpAddr, u8), At)> = Vec::new();
        for (i, cluster) in self.clusters.iter().enumerate() {
            for (kind, path, net) in networks(cluster) {
                let at = At { cluster: i, path };
                let clash = seen.iter().find(|(other, range, there)| {
                    let both_nodes = kind == "node network" && *other == kind;
                    let twice = *other == kind && there.cluster == i;
                    !both_nodes && !twice && overlaps(net, *range)
                });
                if let Some((other, (ip, prefix), there)) = clash {
                    let file = &self.clusters[there.cluster].name;
                    let message = format!(
                        "the {kind} {}/{} overlaps with the {other} {ip}/{prefix} of clusters/{file}.yaml",
                        net.0, net.1
                    );
                    self.report(code::CLASH, &at, message).help("choose a range that nothing else uses");
                }
                seen.push((kind, net, at));
            }
        }
    }
}

fn groups(cluster: &Cluster) -> impl Iterator<Item = (&'static str, &NodeGroup)> {
    let Cluster { nodes, .. } = cluster;
    [("controlplane", nodes.controlplane.as_ref()), ("workers", nodes.workers.as_ref())]
        .into_iter()
        .filter_map(|(name, group)| Some((name, group?)))
}

/// The networks of a cluster; that of the nodes from the first address that is assigned.
fn networks(cluster: &Cluster) -> Vec<(&'static str, String, (IpAddr, u8))> {
    let network = &cluster.network;
    let named = [
        ("pod network", "network/pod_cidr", network.pod_cidr.as_deref()),
        ("service network", "network/service_cidr", network.service_cidr.as_deref()),
    ];
    let mut out: Vec<_> = groups(cluster)
        .filter_map(|(name, group)| {
            let (n, net) =
                group.assignments.iter().enumerate().find_map(|(n, a)| Some((n, cidr(a.ip.as_deref()?)?)))?;
            Some(("node network", format!("nodes/{name}/assignments/{n}/ip"), net))
        })
        .take(1)
        .collect();
    out.extend(named.into_iter().filter_map(|(kind, path, text)| Some((kind, path.to_owned(), cidr(text?)?))));
    out
}

fn full(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

/// Whether two ranges share an address: they agree in the shorter prefix.
fn overlaps((a, a_prefix): (IpAddr, u8), (b, b_prefix): (IpAddr, u8)) -> bool {
    let bits = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => u128::from(ip.to_bits()) << 96,
        IpAddr::V6(ip) => ip.to_bits(),
    };
    let prefix = u32::from(a_prefix.min(b_prefix));
    a.is_ipv4() == b.is_ipv4() && (prefix == 0 || (bits(a) ^ bits(b)) >> (128 - prefix) == 0)
}

/// The place of a value: its own, or that of what holds it.
fn span(cluster: &Cluster, path: &str) -> Span {
    let mut path = path;
    loop {
        if let Some(place) = cluster.places.get(path) {
            return Span { line: place.line, column: place.column, offset: 0, len: 0 };
        }
        match path.rsplit_once('/') {
            Some((outer, _)) => path = outer,
            None => return Span { line: 1, column: 1, offset: 0, len: 0 },
        }
    }
}
