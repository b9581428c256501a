//! A finished run looked at: its page, its JUnit file, its replay; and the graph of what it did.

use crate::harness::lab_exec;

#[test]
fn a_replay_prints_what_the_run_printed() {
    let script = "runbook plan evacuate pve2 --out p.plan >/dev/null && \
                  runbook apply p.plan --yes --progress plain 2>run.txt >/dev/null && \
                  runbook replay last --progress plain >replay.txt && \
                  runbook replay last --until 3 --progress jsonl >three.jsonl && \
                  runbook replay last --speed 0; echo exit $?";
    let (world, got) = lab_exec("empty-node", &[], script);
    got.exits(0).says(&["exit 2"]);
    let replay = world.read("replay.txt");
    assert!(replay.lines().count() > 5 && replay.contains(": ok after "), "{replay}");
    // Progress is shown as it comes and not kept: all else is there again, in order, word for word.
    let kept: String = world
        .read("run.txt")
        .lines()
        .filter(|line| !line.contains(": waiting for "))
        .map(|line| format!("{line}\n"))
        .collect();
    assert!(kept.contains(&replay), "{kept}\n---\n{replay}");
    assert_eq!(world.read("three.jsonl").lines().count(), 3);
}

#[test]
fn a_run_is_handed_on_as_a_page_and_as_junit_however_it_ended() {
    let script = "runbook run evacuate pve2 --apply --yes --junit run.xml --inject fail:maintenance; echo run $?; \
                  runbook export last --format html --to run.html && runbook export last --format junit >again.xml; echo exit $?; \
                  runbook export last --format html --to no/such/folder/x.html; echo exit $?";
    let (world, got) = lab_exec("empty-node", &[], script);
    got.exits(0).says(&["run 1", "exit 0", "exit 3"]).complains(&["export::unwritable"]);
    let (page, xml) = (world.read("run.html"), world.read("run.xml"));
    assert!(page.contains("\u{2717} failed") && page.contains("verified: ") && page.contains("</html>"), "{page}");
    for outside in ["<script", "src=", "<link"] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert_eq!(xml, world.read("again.xml"));
    assert!(xml.contains("failures=\"1\"") && xml.contains("<failure type="), "{xml}");
}

#[test]
fn a_run_that_was_refused_is_one_case_in_error_and_one_with_nothing_to_do_none() {
    let script = "runbook freeze --reason 'a change of power' && \
                  runbook run evacuate pve2 --apply --yes --junit frozen.xml; echo run $?; runbook unfreeze; \
                  runbook run evacuate nowhere --apply --yes --junit node.xml; echo run $?; \
                  runbook do proxmox.ha_maintenance node=pve2 enabled=false --apply --yes --junit nothing.xml; echo do $?";
    let (world, got) = lab_exec("tiny", &[], script);
    got.exits(0).says(&["run 6", "run 5", "do 0"]);
    for (file, code) in [("frozen.xml", "site::frozen"), ("node.xml", "site::unknown_node")] {
        let xml = world.read(file);
        assert_eq!(xml.matches("tests=\"1\" failures=\"0\" errors=\"1\"").count(), 2, "{file}: {xml}");
        assert!(xml.contains(&format!("name=\"run\" time=\"0\"><error type=\"{code}\"")), "{file}: {xml}");
    }
    assert!(world.read("frozen.xml").contains("a change of power"), "{}", world.read("frozen.xml"));
    assert!(world.read("nothing.xml").contains("tests=\"0\""), "{}", world.read("nothing.xml"));
}

#[test]
fn a_graph_of_a_runbook_and_of_a_saved_plan() {
    let script = "runbook graph evacuate && runbook graph evacuate --format dot && runbook graph evacuate --format mermaid && \
                  runbook plan evacuate pve2 --out p.plan >/dev/null && runbook graph p.plan && \
                  runbook graph p.plan --format json >graph.json && runbook graph p.plan --format svg >graph.svg; echo exit $?; \
                  runbook graph nothing; echo exit $?";
    let (world, got) = lab_exec("three-node", &[], script);
    got.exits(0).says(&["~ move", "digraph \"node-evacuation\" {", "flowchart TD", "~ [104]", "exit 0", "exit 5"]);
    let graph: serde_json::Value = serde_json::from_str(&world.read("graph.json")).unwrap();
    let moves = graph["steps"].as_array().unwrap().iter().find(|step| step["path"] == "move").unwrap();
    assert_eq!(moves["steps"].as_array().unwrap().len(), 10);
    assert!(world.read("graph.svg").ends_with("</svg>\n"));
}
