//! The packer and its verifier on problems small enough to know the answer.

use proptest::prelude::*;

use super::*;

fn target(memory: u64, held: u64) -> Target {
    Target { memory, vcpus: 100, memory_held: held, vcpus_held: 0, rooms: vec![], room_of_class: vec![] }
}

fn guest(memory: u64, allowed: &[usize]) -> Guest {
    Guest { memory, vcpus: 1, disks: vec![], allowed: allowed.iter().copied().collect() }
}

fn placed(problem: &Problem) -> Placement {
    match pack(problem, &Effort::default()) {
        Outcome::Placed(placement) => placement,
        other => panic!("{other:?}"),
    }
}

fn proof(problem: &Problem) -> Proof {
    match pack(problem, &Effort::default()) {
        Outcome::Impossible { proof, .. } => proof,
        other => panic!("{other:?}"),
    }
}

#[test]
fn loads_are_levelled() {
    let guests = vec![guest(4, &[0, 1]), guest(4, &[0, 1]), guest(2, &[0, 1]), guest(2, &[0, 1])];
    let problem = Problem { targets: vec![target(20, 0), target(20, 0)], guests, ..Problem::default() };
    let placement = placed(&problem);
    assert_eq!((placement.worst, placement.lower_bound, placement.restarts), (3000, 3000, 1));
}

#[test]
fn one_guest_makes_room_for_another() {
    // Levelling puts the first on target 0; the fourth then fits only if it goes on to target 2.
    let sizes = [(6, &[0, 1, 2][..]), (5, &[0, 1]), (5, &[0, 1]), (5, &[0, 1]), (4, &[0, 1])];
    let guests = sizes.into_iter().map(|(memory, allowed)| guest(memory, allowed)).collect();
    let problem = Problem { targets: vec![target(10, 0), target(10, 0), target(6, 0)], guests, ..Problem::default() };
    let once = Effort { restarts: 1, escalate: 1, spare: 0 };
    let Outcome::Placed(placement) = pack(&problem, &once) else { panic!("not placed") };
    assert_eq!(placement.targets[0], 2);
}

#[test]
fn a_pair_that_levelling_misses_is_found_by_another_start() {
    let guests = [5, 5, 4, 4, 3, 3, 3].into_iter().map(|memory| guest(memory, &[0, 1, 2])).collect();
    let problem = Problem { targets: vec![target(9, 0), target(9, 0), target(9, 0)], guests, ..Problem::default() };
    assert_eq!(placed(&problem).worst, 10_000);
}

#[test]
fn groups_are_kept_apart_and_together() {
    let mut problem = Problem {
        targets: vec![target(20, 0), target(20, 8)],
        guests: (0..4).map(|_| guest(2, &[0, 1])).collect(),
        apart: vec![Apart { members: vec![0, 1], at_most: 1, held: vec![] }],
        together: vec![vec![0, 2], vec![2, 3]],
    };
    let to = placed(&problem).targets;
    assert!(to[0] != to[1] && to[0] == to[2] && to[2] == to[3]);
    problem.apart[0].members.push(3);
    assert_eq!(proof(&problem), Proof::FitsNowhere { guests: vec![0, 2, 3] });
}

#[test]
fn what_is_impossible_is_proved() {
    let targets = vec![target(10, 4), target(10, 9)];
    let with = |guests| Problem { targets: targets.clone(), guests, ..Problem::default() };
    assert_eq!(proof(&with(vec![guest(7, &[0, 1])])), Proof::FitsNowhere { guests: vec![0] });
    let two = proof(&with(vec![guest(4, &[0, 1]), guest(4, &[0, 1])]));
    assert_eq!(two, Proof::Memory { guests: 2, targets: vec![0, 1], need: 8, free: 7 });
    let masked = proof(&with(vec![guest(4, &[0]), guest(3, &[0]), guest(0, &[1])]));
    assert_eq!(masked, Proof::Memory { guests: 2, targets: vec![0], need: 7, free: 6 });
    let mut three = with(vec![guest(1, &[0, 1]), guest(1, &[0, 1]), guest(1, &[0, 1])]);
    three.apart = vec![Apart { members: vec![0, 1, 2], at_most: 1, held: vec![] }];
    assert_eq!(proof(&three), Proof::Apart { group: 0, members: 3, places: 2 });
}

#[test]
fn not_found_is_another_word_than_impossible_and_shows_the_best_try() {
    let guests = (0..3).map(|_| guest(6, &[0, 1])).collect();
    let problem = Problem { targets: vec![target(10, 0), target(10, 0)], guests, ..Problem::default() };
    let Outcome::NotFound { restarts, partial } = pack(&problem, &Effort::default()) else { panic!("a proof") };
    assert_eq!((restarts, partial.unplaced.len()), (100, 1));
}

#[test]
fn nothing_to_place_is_placed() {
    assert_eq!(placed(&Problem::default()).targets, Vec::<usize>::new());
}

#[test]
fn an_overfilled_target_takes_what_needs_nothing() {
    let problem = Problem {
        targets: vec![target(10, 12)],
        guests: vec![Guest { vcpus: 0, ..guest(0, &[0]) }],
        ..Problem::default()
    };
    assert_eq!(placed(&problem).targets, [0]);
}

#[test]
fn the_verifier_names_each_broken_limit() {
    let room = |free| Room { free, slow: false };
    let mut problem = Problem {
        targets: vec![
            Target { rooms: vec![room(5)], room_of_class: vec![Some(0), None], ..target(10, 0) },
            Target { vcpus: 1, ..target(50, 0) },
        ],
        guests: vec![guest(6, &[0, 1]), guest(6, &[0, 1])],
        apart: vec![Apart { members: vec![0, 1], at_most: 1, held: vec![] }],
        together: vec![vec![0, 1]],
    };
    assert_eq!(check(&problem, &[0]), Err(vec![Broken::Length { expected: 2, got: 1 }]));
    assert_eq!(check(&problem, &[0, 2]), Err(vec![Broken::NoSuchTarget { guest: 1, target: 2 }]));
    let apart = |target| Broken::Apart { group: 0, target, members: 2, at_most: 1 };
    assert_eq!(check(&problem, &[0, 0]), Err(vec![Broken::Memory { target: 0, used: 12, capacity: 10 }, apart(0)]));
    assert_eq!(check(&problem, &[1, 1]), Err(vec![Broken::Vcpus { target: 1, used: 2, capacity: 1 }, apart(1)]));
    assert_eq!(check(&problem, &[0, 1]), Err(vec![Broken::Together { group: 0 }]));
    problem.together.clear();
    problem.guests[0].disks = vec![(0, 6)];
    problem.guests[1].disks = vec![(1, 1)];
    problem.guests[0].allowed = NodeSet(0b10);
    let wrong = check(&problem, &[0, 1]).unwrap_err();
    assert!(wrong.contains(&Broken::NotAllowed { guest: 0, target: 0 }));
    assert!(wrong.contains(&Broken::Disk { target: 0, room: 0, used: 6, capacity: 5 }));
    assert!(wrong.contains(&Broken::NoRoom { guest: 1, target: 1 }));
}

prop_compose! {
    fn any_problem()(
        targets in prop::collection::vec((0u64..100, 0u64..60, 1u64..40, 0u64..50, any::<bool>()), 1..6),
        guests in prop::collection::vec((0u64..40, 0u64..8, prop_oneof![Just(0u64), 1u64..20], 0u128..64), 0..14),
        apart in prop::collection::vec((prop::collection::btree_set(0usize..14, 0..4), 1u32..3), 0..3),
        together in prop::collection::vec(prop::collection::btree_set(0usize..14, 0..3), 0..2),
    ) -> Problem {
        let known = |set: std::collections::BTreeSet<usize>| set.into_iter().filter(|g| *g < guests.len()).collect::<Vec<_>>();
        Problem {
            apart: apart.into_iter().map(|(m, at_most)| Apart { members: known(m), at_most, held: vec![1] }).collect(),
            together: together.into_iter().map(known).collect(),
            targets: targets.into_iter().map(|(memory, held, vcpus, free, slow)| Target {
                memory, vcpus, memory_held: held, vcpus_held: 2,
                rooms: vec![Room { free, slow }], room_of_class: vec![if slow { None } else { Some(0) }, Some(0)],
            }).collect(),
            guests: guests.iter().map(|&(memory, vcpus, disk, mask)| Guest {
                memory, vcpus, disks: if disk > 0 { vec![((disk % 2) as usize, disk)] } else { vec![] }, allowed: NodeSet(mask | 1),
            }).collect(),
        }
    }
}

/// Whether any assignment passes the verifier; for small problems only.
fn exists(problem: &Problem, placed: &mut Vec<usize>) -> bool {
    if placed.len() == problem.guests.len() {
        return check(problem, placed).is_ok();
    }
    (0..problem.targets.len()).any(|to| {
        placed.push(to);
        let found = exists(problem, placed);
        placed.pop();
        found
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_verifier_accepts_every_answer_and_answers_are_the_same_each_time(problem in any_problem()) {
        let outcome = pack(&problem, &Effort::default());
        prop_assert_eq!(&outcome, &pack(&problem, &Effort::default()));
        match outcome {
            Outcome::Placed(p) => {
                prop_assert_eq!(check(&problem, &p.targets), Ok(()));
                prop_assert!(p.lower_bound <= p.worst);
            }
            Outcome::Impossible { partial, .. } | Outcome::NotFound { partial, .. } => {
                prop_assert!(!partial.unplaced.is_empty());
            }
        }
    }

    #[test]
    fn no_proof_is_false(mut problem in any_problem()) {
        problem.guests.truncate(5);
        problem.targets.truncate(3);
        problem.apart.iter_mut().for_each(|g| g.members.retain(|m| *m < problem.guests.len()));
        problem.together.iter_mut().for_each(|g| g.retain(|m| *m < problem.guests.len()));
        let possible = exists(&problem, &mut Vec::new());
        match pack(&problem, &Effort::default()) {
            Outcome::Placed(_) => prop_assert!(possible),
            Outcome::Impossible { proof, .. } => prop_assert!(!possible, "{}", proof),
            Outcome::NotFound { .. } => {}
        }
    }
}
