//! `runbook inventory`.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::app::inventory::{self as app, Ask, Asking, Diff, Format, Found, Watch};
use crate::app::{AppError, Exit};
use crate::cli::args::{Inventory, InventoryCommand, Output};
use crate::cli::{Face, signals};
use crate::model::ids::GuestKind;
use crate::model::inventory::{Address, DiscoveredHost, Interface};
use crate::report::{Cell, Column, FORMAT_VERSION, Table};

/// Of what is missing, so much is told one by one.
const TOLD: usize = 12;

pub async fn run(face: &Face, args: Inventory) -> Result<Exit, AppError> {
    if let Some(InventoryCommand::Diff { before, after }) = &args.command {
        let here = |path| face.settings.cwd.join(path);
        let found = app::diff_files(&here(before), &here(after))?;
        return Ok(differences(face, &found));
    }
    let details = args.host.is_some() || face.printer.output == Output::Ansible;
    let ask = Ask { details, ..ask(&args) };
    let mut asking = Asking::open(&face.settings, &face.redactor, ask).await?;
    if args.watch {
        return watch(face, asking, args.every).await;
    }
    let found = asking.collect().await?;
    // What is kept for the next run is on the disk by now.
    drop(asking);
    show(face, &args, &found);
    // Ansible shows whatever a script writes to stderr as an error.
    if !args.script || !found.notes.is_empty() || !found.inventory.missing.is_empty() {
        tell(face, &found);
    }
    // A script that fails would take the other hosts along: Ansible finds what is missing in `proxmox_missing`.
    Ok(if args.script { Exit::Done } else { found.exit() })
}

fn ask(args: &Inventory) -> Ask {
    let kind = args.kind.as_deref().map(|kind| if kind == "lxc" { GuestKind::Lxc } else { GuestKind::Qemu });
    Ask {
        node: args.node.as_deref().map(Into::into),
        tags: args.tag.clone(),
        kind,
        status: args.status.clone(),
        pool: args.pool.clone(),
        all_addresses: args.all_addresses,
        details: false,
        deadline: args.deadline,
        max_age: if args.fresh { Duration::ZERO } else { args.max_age },
    }
}

fn show(face: &Face, args: &Inventory, found: &Found) {
    let inventory = &found.inventory;
    if let Some(name) = &args.host {
        return face.printer.data(&app::of_ansible_host(inventory, name));
    }
    let format = match face.printer.output {
        Output::Json => return face.printer.stream(|to| app::write_json(inventory, false, to)),
        Output::Jsonl => return face.printer.stream(|to| app::write_json(inventory, true, to)),
        Output::Yaml => Format::Yaml,
        Output::Csv => Format::Csv,
        Output::Ansible => Format::Ansible,
        Output::Netbox => Format::Netbox,
        Output::PrometheusSd => Format::Prometheus { port: args.port },
        Output::Hosts => Format::Hosts,
        Output::Name => {
            let names: Vec<&str> = inventory.hosts.iter().map(|host| host.name.as_str()).collect();
            return face.printer.data(&names.join("\n"));
        }
        Output::Table | Output::Wide if inventory.hosts.is_empty() => return,
        Output::Table => return face.printer.data(&table(&inventory.hosts).render(face.printer.look(), 0)),
        Output::Wide => return face.printer.data(&wide(&inventory.hosts).render(&face.printer.wide_look(), 0)),
    };
    face.printer.data(&app::written(inventory, format));
}

/// Counts, what is missing, and what else a person should know: on stderr, whatever the format.
fn tell(face: &Face, found: &Found) {
    let hosts = &found.inventory.hosts;
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for unknown in hosts.iter().filter_map(|host| host.unknown.as_ref()) {
        *reasons.entry(unknown.reason.as_str()).or_default() += 1;
    }
    let known = hosts.iter().filter(|host| host.primary.is_some()).count();
    let mut text = format!("{} hosts, {known} with an address", hosts.len());
    if !reasons.is_empty() {
        let each: Vec<String> = reasons.iter().map(|(why, n)| format!("{n} {}", why.replace('_', " "))).collect();
        text.push_str(&format!("; not known: {}", each.join(", ")));
    }
    face.printer.note(&text);
    found.notes.iter().for_each(|note| face.printer.note(&format!("note: {note}")));
    let missing = &found.inventory.missing;
    if missing.is_empty() {
        return;
    }
    face.printer.note(&format!("INCOMPLETE, {} missing:", missing.len()));
    missing.iter().take(TOLD).for_each(|one| face.printer.note(&format!("  {}", one.why)));
    if missing.len() > TOLD {
        face.printer.note(&format!("  and {} more: -o json has them all", missing.len() - TOLD));
    }
}

fn table(hosts: &[DiscoveredHost]) -> Table {
    let mut table = Table::new(&[
        Column::new("vmid").right(),
        Column::new("name").flexible(),
        Column::new("type").expendable(3),
        Column::new("node"),
        Column::new("status"),
        Column::new("address"),
        Column::new("mac").expendable(1),
        Column::new("tags").flexible().expendable(2),
        Column::new("why no address").flexible(),
    ]);
    for host in hosts {
        let own = host.interfaces.iter().find(|i| i.addresses.iter().any(|a| Some(a.address) == host.primary));
        let mac = own.or(host.interfaces.first()).and_then(|interface| interface.mac);
        table.row(vec![
            Cell::new(text(host.vmid.as_ref())),
            Cell::new(&host.name),
            Cell::new(kind(host)),
            Cell::new(text(host.node.as_ref())),
            Cell::new(&host.status),
            Cell::new(text(host.primary.as_ref())),
            Cell::new(text(mac.as_ref())),
            Cell::new(host.tags.join(", ")),
            Cell::new(host.unknown.as_ref().map_or("", |unknown| unknown.text.as_str())),
        ]);
    }
    table
}

/// A line for each network card and each interface, with all that is known of it.
fn wide(hosts: &[DiscoveredHost]) -> Table {
    let mut table = Table::new(&[
        Column::new("vmid").right(),
        Column::new("name"),
        Column::new("type"),
        Column::new("node"),
        Column::new("status"),
        Column::new("nic"),
        Column::new("interface"),
        Column::new("mac"),
        Column::new("bridge"),
        Column::new("vlan").right(),
        Column::new("model"),
        Column::new("addresses"),
        Column::new("tags"),
        Column::new("pool"),
        Column::new("why no address"),
    ]);
    for host in hosts {
        let none = Interface::default();
        let interfaces = if host.interfaces.is_empty() { std::slice::from_ref(&none) } else { &host.interfaces };
        for (place, interface) in interfaces.iter().enumerate() {
            table.row(wide_row(host, interface, place == 0));
        }
    }
    table
}

fn wide_row(host: &DiscoveredHost, interface: &Interface, first: bool) -> Vec<Cell> {
    let once = |text: String| Cell::new(if first { text } else { String::new() });
    let addresses: Vec<String> = interface.addresses.iter().map(|a| shown(a, host)).collect();
    vec![
        once(text(host.vmid.as_ref())),
        once(host.name.clone()),
        once(kind(host).to_owned()),
        once(text(host.node.as_ref())),
        once(host.status.clone()),
        Cell::new(text(interface.nic.as_ref())),
        Cell::new(text(interface.name.as_ref())),
        Cell::new(text(interface.mac.as_ref())),
        Cell::new(text(interface.bridge.as_ref())),
        Cell::new(text(interface.vlan.as_ref())),
        Cell::new(text(interface.model.as_ref())),
        Cell::new(addresses.join(" ")),
        once(host.tags.join(",")),
        once(text(host.pool.as_ref())),
        once(host.unknown.as_ref().map(|unknown| unknown.text.clone()).unwrap_or_default()),
    ]
}

/// `10.0.0.4/24*(agent)`: the star is at the primary one.
fn shown(address: &Address, host: &DiscoveredHost) -> String {
    let prefix = address.prefix.map(|prefix| format!("/{prefix}")).unwrap_or_default();
    let star = if host.primary == Some(address.address) { "*" } else { "" };
    format!("{}{prefix}{star}({})", address.address, address.source.as_str())
}

fn kind(host: &DiscoveredHost) -> &'static str {
    match (host.template, host.kind) {
        (true, _) => "template",
        (false, Some(GuestKind::Qemu)) => "vm",
        (false, Some(GuestKind::Lxc)) => "ct",
        (false, None) => "",
    }
}

fn text<T: ToString>(value: Option<&T>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}

fn differences(face: &Face, found: &[Diff]) -> Exit {
    if face.printer.json(&serde_json::json!({"format_version": FORMAT_VERSION, "differences": found})) {
        return Exit::Done;
    }
    if found.is_empty() {
        face.printer.note("No differences.");
    }
    for diff in found {
        face.printer.data(&line(diff));
    }
    Exit::Done
}

fn line(diff: &Diff) -> String {
    let changes: Vec<String> = diff.changes.iter().map(ToString::to_string).collect();
    let node = diff.node.as_deref().unwrap_or_default();
    let at = diff.primary.as_deref().unwrap_or("no address");
    format!("{:>6} {} ({node}, {at}): {}", text(diff.vmid.as_ref()), diff.name, changes.join("; "))
}

/// Until it is told to end.
async fn watch(face: &Face, asking: Asking, every: Duration) -> Result<Exit, AppError> {
    let (mut watch, found) = Watch::begin(asking, every).await?;
    tell(face, &found);
    face.printer.note(&format!("Watching; a look each {} s. Ctrl-C ends it.", every.as_secs_f64()));
    let looks = async {
        loop {
            let watched = watch.next().await;
            let at = crate::app::moment_now();
            watched.notes.iter().for_each(|note| face.printer.note(&format!("{at} note: {note}")));
            for diff in &watched.changes {
                let value = serde_json::json!({"format_version": FORMAT_VERSION, "at": at, "difference": diff});
                match face.printer.output {
                    Output::Table | Output::Wide | Output::Name => face.printer.data(&format!("{at} {}", line(diff))),
                    _ => face.printer.data(&value.to_string()),
                }
            }
        }
    };
    tokio::select! {
        never = looks => never,
        exit = signals::cut_off() => Ok(exit),
    }
}
