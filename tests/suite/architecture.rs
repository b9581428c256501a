//! The walls of the house: who may use whom, and which file alone names a replaceable crate.
//!
//! The sources are parsed, so a comment or a string is no arrow and an inline path is one. Test code is left out: it
//! may reach wherever it needs to. `rules.rs` has the rules with their reasons, `source.rs` reads the tree.

mod checks;
mod rules;
mod source;

use source::Tree;

/// Fails with all that is wrong at once, so that one run shows the whole repair.
#[track_caller]
fn none(broken: Vec<String>) {
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[track_caller]
fn arrows_of(module: &str) {
    let tree = Tree::of_this_crate();
    assert!(rules::WALLS.iter().any(|wall| wall.module == module), "rules.rs says nothing of {module}");
    none(rules::broken_arrows(tree, module));
}

#[test]
fn sys_knows_nothing_of_us() {
    arrows_of("sys");
}

#[test]
fn model_is_at_the_bottom() {
    arrows_of("model");
}

#[test]
fn event_uses_the_model_alone() {
    arrows_of("event");
}

#[test]
fn expr_uses_only_what_is_pure() {
    arrows_of("expr");
}

#[test]
fn graph_uses_only_what_is_pure() {
    arrows_of("graph");
}

#[test]
fn contracts_know_no_client() {
    arrows_of("contracts");
}

#[test]
fn load_reads_text_and_nothing_else() {
    arrows_of("load");
}

#[test]
fn engine_uses_ports_and_never_an_implementation() {
    arrows_of("engine");
}

#[test]
fn the_machine_uses_no_other_part_of_the_engine() {
    arrows_of("engine::machine");
}

#[test]
fn placement_uses_the_model_alone() {
    arrows_of("placement");
}

#[test]
fn inventory_uses_the_model_alone() {
    arrows_of("inventory");
}

#[test]
fn clients_know_nothing_of_runbooks() {
    arrows_of("clients");
}

#[test]
fn actions_meet_the_engine_at_its_ports() {
    arrows_of("actions");
}

#[test]
fn journal_meets_the_engine_at_its_ports() {
    arrows_of("journal");
}

#[test]
fn secrets_meet_the_engine_at_its_ports() {
    arrows_of("secrets");
}

#[test]
fn report_sees_events_and_nothing_else() {
    arrows_of("report");
}

#[test]
fn ingest_makes_drafts_from_text() {
    arrows_of("ingest");
}

#[test]
fn lab_shares_no_code_with_the_clients_it_tests() {
    arrows_of("lab");
}

#[test]
fn app_knows_no_face() {
    arrows_of("app");
}

#[test]
fn cli_goes_through_the_use_cases() {
    arrows_of("cli");
}

#[test]
fn web_goes_through_the_use_cases() {
    arrows_of("web");
}

#[test]
fn mcp_goes_through_the_use_cases() {
    arrows_of("mcp");
}

#[test]
fn main_uses_the_command_line_alone() {
    arrows_of("main");
}

#[test]
fn every_module_has_a_wall() {
    none(rules::modules_without_a_wall(Tree::of_this_crate()));
}

#[test]
fn the_machine_is_pure() {
    none(rules::impurities(Tree::of_this_crate(), &rules::MACHINE));
}

#[test]
fn the_planning_modules_are_pure() {
    for purity in &rules::PURE {
        none(rules::impurities(Tree::of_this_crate(), purity));
    }
}

#[test]
fn replaceable_crates_are_named_in_one_place() {
    let tree = Tree::of_this_crate();
    none(rules::OWNED.iter().flat_map(|owned| rules::trespasses(tree, owned)).collect());
}

#[test]
fn only_the_embedded_driver_grants_the_right_to_change_the_world() {
    none(rules::grants(Tree::of_this_crate()));
}

#[test]
fn there_is_no_unsafe_code() {
    none(rules::unsafe_code(Tree::of_this_crate()));
}

#[test]
fn main_is_short() {
    none(rules::longer_than(Tree::of_this_crate(), "src/main.rs", 59));
}

#[test]
fn no_file_is_too_long_to_read_in_one_sitting() {
    none(rules::longer_than(Tree::of_this_crate(), "src/", 800));
}

#[test]
fn every_module_says_what_it_is_for() {
    none(rules::modules_without_a_word(Tree::of_this_crate()));
}

#[test]
fn every_file_belongs_to_a_module() {
    none(
        Tree::of_this_crate().strays().map(|path| format!("{path}: no `mod` leads to it: it is never built")).collect(),
    );
}
