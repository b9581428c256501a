use super::*;
use crate::event::{Ending, Fact};
use crate::model::effect::Done;
use crate::model::ids::StepPath;
use crate::report::sample;

#[test]
fn a_failed_run_knows_what_failed_what_changed_and_what_never_ran() {
    let view = RunView::of(&sample::failed_run());
    let shown: Vec<_> = view.steps().map(|s| (s.path.as_str(), s.outcome.as_str(), s.attempts)).collect();
    insta::assert_debug_snapshot!(shown);
    assert_eq!(view.failed().unwrap().0.path.as_str(), "move[107]");
    assert_eq!(
        view.steps().filter(|s| s.changed()).map(|s| s.path.as_str()).collect::<Vec<_>>(),
        ["maintenance", "move[104]"]
    );
    assert_eq!(view.step(&"empty".into()).unwrap().cause().unwrap(), "move[107] failed");
}

#[test]
fn what_a_failure_keeps_from_running_is_known_at_once() {
    let mut events = sample::failed_run();
    events.pop();
    let view = RunView::of(&events);
    assert_eq!(view.status, RunStatus::Running);
    assert_eq!(view.step(&"empty".into()).unwrap().outcome, Outcome::NotRun(Some("move[107]".into())));
    assert_eq!(view.step(&"move[211]".into()).unwrap().outcome, Outcome::Pending);
}

#[test]
fn the_tally_is_what_counting_gives() {
    for events in [sample::good_run(), sample::failed_run(), sample::rolled_back_run(), sample::cancelled_run()] {
        let mut view = RunView::default();
        for event in &events {
            view.see(event);
            assert_eq!(view.total(), view.steps().count());
            for step in view.steps() {
                let word = step.outcome.as_str();
                assert_eq!(view.count(word), view.steps().filter(|s| s.outcome.as_str() == word).count(), "{word}");
            }
            let running = view.steps.iter().filter(|s| !s.scope && s.outcome == Outcome::Running).count();
            assert_eq!(view.running().count(), running);
        }
    }
}

#[test]
fn an_undo_is_told_with_its_step() {
    let view = RunView::of(&sample::rolled_back_run());
    let shown: Vec<_> = view.steps().map(|s| (s.path.as_str(), s.undo.as_str())).collect();
    assert!(shown.contains(&("move[104]", "rolled_back")), "{shown:?}");
    assert!(shown.contains(&("maintenance", "listed")), "{shown:?}");
    assert_eq!(undone(&"a/undo/b".into()), Some("a".into()));
    assert_eq!(undone(&"a/undone".into()), None);
}

#[test]
fn a_restart_puts_what_was_running_in_doubt() {
    let mut events = sample::failed_run();
    events.truncate(sample::DURING);
    let mut view = RunView::of(&events);
    assert_eq!(view.running().count(), 1);
    let restarted = Fact::DriverRestarted { host: "host".into(), process: 2 };
    view.see(&sample::event(99, restarted));
    assert_eq!(view.running().count(), 0);
    assert_eq!(view.steps().filter(|s| s.outcome.as_str() == "in_doubt").count(), 1);
}
#[test]
fn a_lost_answer_is_in_doubt_until_it_is_found_out_and_its_cause_is_kept() {
    let mut events = sample::failed_run();
    events.truncate(sample::DURING);
    let mut view = RunView::of(&events);
    let path = view.running().next().unwrap().path.clone();
    let mut ended = |ending| {
        view.see(&sample::event(99, Fact::Finished { path: path.clone(), attempt: 9, ending }));
        view.step(&path).unwrap().outcome.clone()
    };
    let lost = Failure::new(crate::model::failure::Class::Transient, "migrate", "reset by peer").done(Done::Unknown);
    assert_eq!(ended(Ending::Failed { failure: lost.clone() }), Outcome::InDoubt("migrate: reset by peer".into()));
    assert_eq!(ended(Ending::NotApplied), Outcome::Failed(Box::new(lost.done(Done::None))));
}

#[test]
fn what_the_plan_did_not_know_stands_with_the_outermost_step_round_it() {
    let mut view = RunView::default();
    for path in ["a[1]", "a[2]", "b", "finally/tidy", "a/gate[1]/1", "b/in", "finally/late"] {
        view.place(&StepPath::new(path));
    }
    let shown: Vec<_> = view.steps().map(|step| step.path.as_str()).collect();
    assert_eq!(shown, ["a[1]", "a[2]", "a/gate[1]/1", "b", "b/in", "finally/tidy", "finally/late"]);
}
