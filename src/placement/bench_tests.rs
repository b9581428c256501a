//! The measured instances: does the packer still find what it found, as well as it did?
//!
//! 200 synthetic evacuations with proven optima and 186 tight twins (`tests/data/placement`).

use std::io::Read;

use serde_json::Value;

use super::*;

const INSTANCES: &[u8] = include_bytes!("../../tests/data/placement/instances.json.gz");
const TIGHT: &[u8] = include_bytes!("../../tests/data/placement/tight.json.gz");

fn read(packed: &[u8]) -> Vec<Value> {
    let mut text = String::new();
    flate2::read::GzDecoder::new(packed).read_to_string(&mut text).unwrap();
    let Value::Object(mut file) = serde_json::from_str(&text).unwrap() else { panic!("not an object") };
    let Value::Array(all) = file.remove("instances").unwrap() else { panic!("not a list") };
    all
}

fn lists(value: &Value) -> Vec<Vec<usize>> {
    serde_json::from_value(value.clone()).unwrap()
}

fn problem(instance: &Value) -> Problem {
    let int = |v: &Value| v.as_u64().unwrap();
    let source = int(&instance["src"]) as usize;
    let target = |n: &Value| Target {
        memory: int(&n["cap"]),
        vcpus: int(&n["cpu"]),
        memory_held: int(&n["um"]),
        vcpus_held: int(&n["uc"]),
        rooms: vec![Room { free: int(&n["st"]), slow: int(&n["slow"]) == 1 }],
        room_of_class: vec![Some(0)],
    };
    let mut targets: Vec<Target> = instance["nodes"].as_array().unwrap().iter().map(target).collect();
    targets[source].memory_held = 0;
    targets[source].vcpus_held = 0;
    let guest = |g: &Value| Guest {
        memory: int(&g[0]),
        vcpus: int(&g[1]),
        disks: if int(&g[2]) > 0 { vec![(0, int(&g[2]))] } else { vec![] },
        allowed: NodeSet(u128::from_str_radix(g[5].as_str().unwrap(), 16).unwrap() & !(1 << source)),
    };
    let apart = |members| Apart { members, at_most: 1, held: vec![] };
    Problem {
        targets,
        guests: instance["guests"].as_array().unwrap().iter().map(guest).collect(),
        apart: lists(&instance["anti"]).into_iter().map(apart).collect(),
        together: lists(&instance["aff"]),
    }
}

#[test]
fn feasible_instances_are_found_near_the_optimum_and_infeasible_ones_never() {
    let (mut found, mut gaps, mut slow, mut slow_best, mut proved) = (0, Vec::new(), 0, 0, 0);
    for instance in read(INSTANCES) {
        let (problem, best) = (problem(&instance), &instance["best"]);
        let outcome = pack(&problem, &Effort { spare: 0, ..Effort::default() });
        let feasible = best["feasible"].as_bool().unwrap();
        match outcome {
            Outcome::Placed(placement) => {
                assert!(feasible, "{}: a placement where none exists", instance["id"]);
                assert_eq!(check(&problem, &placement.targets), Ok(()), "{}", instance["id"]);
                let optimum = best["z"].as_u64().unwrap();
                assert!(placement.lower_bound <= optimum, "{}: the bound is no bound", instance["id"]);
                gaps.push(placement.worst.saturating_sub(optimum));
                found += 1;
                if problem.guests.iter().any(|g| !g.disks.is_empty()) {
                    let Outcome::Placed(cut) = pack(&problem, &Effort::default()) else { panic!("lost a placement") };
                    assert!(cut.worst <= placement.worst + 200);
                    slow += cut.slow;
                    slow_best += best["lex_slow"].as_u64().unwrap();
                }
            }
            Outcome::Impossible { proof, .. } => {
                assert!(!feasible, "{}: a false proof: {proof}", instance["id"]);
                proved += 1;
            }
            Outcome::NotFound { .. } => {}
        }
    }
    let mean = gaps.iter().sum::<u64>() as f64 / gaps.len() as f64 / 100.0;
    let optimal = gaps.iter().filter(|gap| **gap == 0).count();
    let worst = gaps.iter().max().copied().unwrap_or(0);
    let report = format!(
        "found {found}/186, gap mean {mean:.3} worst {worst}/100 points, optimal {optimal}, \
         proved {proved}/14, slow GiB {slow} (best {slow_best})"
    );
    assert!(found == 186 && mean <= 0.05 && proved >= 5, "{report}");
    assert!(slow <= slow_best * 2, "{report}");
}

#[test]
fn tight_twins_are_found() {
    let mut found = 0;
    for instance in read(TIGHT) {
        if let Outcome::Placed(placement) = pack(&problem(&instance), &Effort { spare: 0, ..Effort::default() }) {
            assert_eq!(check(&problem(&instance), &placement.targets), Ok(()), "{}", instance["id"]);
            found += 1;
        }
    }
    assert!(found >= 184, "found {found} of 186 tight twins");
}
