//! The YAML of the documentation. ```yaml has nothing to be said about; `yaml error RB006` has that mistake.

use runbook::load::{Diagnostic, NotFound, Severity, Source, load_cluster, load_rehearsal, load_site, read_runbook};

use super::{Block, Page, none_of};

/// What an example of steps may refer to.
const AROUND_STEPS: &str = "\
runbook: example
schema: 1
target: proxmox
params:
  node: {type: node, positional: 1}
  max_parallel: {type: int, default: 1}
steps:
- id: placement
  uses: proxmox.plan_evacuation
  with: {node: \"{{ params.node }}\"}
";

const HEAD: &str = "runbook: example\nschema: 1\ntarget: proxmox\n";
const STEPS: &str = "steps:\n- uses: proxmox.node_empty\n  with: {node: pve2}\n";
const CLUSTER: &str = "cluster: {name: lab.example, nodes: [{name: pve1}]}\n";
const CREDENTIALS: &str = "credentials: {token: \"env:PVE_TOKEN\"}\n";
const OF_A_RUNBOOK: [&str; 7] = ["params", "vars", "require", "finally", "outputs", "define", "steps"];

/// What an example may call without showing it: any other runbook, one that looks whether a node is empty.
fn other(_: &Source, uses: &str) -> Result<Source, NotFound> {
    let stem = uses.trim_start_matches("runbook:").trim_start_matches("./").trim_end_matches(".yaml");
    let params = "params: {node: {type: node, default: pve2}}\n";
    Ok(Source::new(
        format!("runbooks/{stem}.yaml"),
        format!("runbook: {stem}\nschema: 1\ntarget: proxmox\n{params}{STEPS}outputs: {{free: 3}}\n"),
    ))
}

fn lint(text: &str) -> Vec<Diagnostic> {
    let key = |line: &str| line.split_once(':').map(|(key, _)| key.to_owned()).unwrap_or_default();
    let keys: Vec<String> = text.lines().filter(|l| l.starts_with(|c: char| c.is_ascii_lowercase())).map(key).collect();
    let has = |name: &str| keys.iter().any(|k| k == name);
    let named = |name: &str| {
        let line = text.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_default();
        line.split('#').next().unwrap_or_default().trim().trim_matches('"').to_owned()
    };
    let runbook = |name: &str, text: String| {
        let source = Source::new(format!("runbooks/{name}.yaml"), text);
        read_runbook(&source, &runbook::actions::specs(), &other).found.diagnostics
    };
    let first = text.lines().find(|l| !l.trim().is_empty() && !l.starts_with('#')).unwrap_or_default();
    if first.starts_with("- ") {
        return runbook("example", format!("{AROUND_STEPS}{text}"));
    }
    if has("runbook") {
        return runbook(&named("runbook:"), text.to_owned());
    }
    if keys.first().is_some_and(|k| OF_A_RUNBOOK.contains(&k.as_str())) {
        let steps = if has("steps") { "" } else { STEPS };
        return runbook("example", format!("{HEAD}{text}{steps}"));
    }
    if has("test") {
        let source = Source::new(format!("runbooks/tests/{}.yaml", named("test:")), text);
        return load_rehearsal(&source).err().unwrap_or_default();
    }
    if keys.first().is_some_and(|k| k == "name") {
        let source = Source::new(format!("clusters/{}.yaml", named("name:")), text);
        return load_cluster(&source).err().unwrap_or_default();
    }
    let cluster = if has("cluster") { "" } else { CLUSTER };
    let credentials = if has("credentials") { "" } else { CREDENTIALS };
    load_site(&Source::new("cluster-config.yaml", format!("{text}{cluster}{credentials}"))).err().unwrap_or_default()
}

/// What is wrong with the block, seen from how it is marked.
fn judge(block: &Block<'_>) -> Option<String> {
    let found = lint(&block.text);
    let errors = found.iter().filter(|d| d.severity == Severity::Error).count();
    let said: Vec<String> = found
        .iter()
        .map(|d| format!("  {} {} line {}: {}", d.severity.as_str(), d.code, d.span.line, d.message))
        .collect();
    let said = said.join("\n");
    // `file=` is for the commands that are run.
    let mut marks = block.info.split_whitespace().skip(1).filter(|mark| !mark.starts_with("file="));
    match marks.next() {
        None => (!found.is_empty()).then(|| format!("is not marked, but:\n{said}")),
        Some("error") if errors == 0 => Some("is marked as a mistake, but has none".into()),
        Some("error") => {
            let missing = marks.find(|code| !found.iter().any(|d| d.code == *code))?;
            Some(format!("has no {missing}, but:\n{said}"))
        }
        Some(mark) => Some(format!("has a mark that nobody knows: {mark}")),
    }
}

#[test]
fn the_yaml_is_what_it_says() {
    let mut problems = Vec::new();
    let mut count = 0;
    for page in Page::all() {
        for block in page.blocks().iter().filter(|b| b.info.split_whitespace().next() == Some("yaml")) {
            count += 1;
            problems.extend(judge(block).map(|why| format!("{}:{}: the block {why}", page.name(), block.line)));
        }
    }
    none_of(&problems);
    assert!(count > 10, "only {count} blocks of YAML were found");
}

#[test]
fn a_mistake_that_is_not_marked_is_found() {
    let block = |info: &'static str, text: &str| judge(&Block { info, text: text.into(), line: 1 });
    let broken = "- uses: proxmox.node_emptty\n  with: {node: pve2}\n";
    assert!(block("yaml", broken).is_some_and(|why| why.contains("RB015")));
    assert_eq!(block("yaml error RB015", broken), None);
    assert!(block("yaml error RB006", broken).is_some());
    let right = "- uses: proxmox.node_empty\n  with: {node: pve2}\n";
    assert_eq!(block("yaml", right), None);
    assert!(block("yaml error", right).is_some() && block("yaml whatever", right).is_some());
    assert!(block("yaml", "placement: {keep_fre: 15%}\n").is_some_and(|why| why.contains("RB006")));
}
