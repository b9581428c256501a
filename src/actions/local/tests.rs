//! What a plan and a recovery make of a local command; that it runs is tested with the real program.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::order::Order;
use super::resource::Resource;
use super::work::{RUN, STEP};
use super::{LocalRun, LocalSource};
use crate::clients::local::{Command, Local, News, Process};
use crate::engine::ports::{Action, Call, Observed, Recovery, Source, World};
use crate::event::Intent;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::ids::ResourceKey;

/// This machine as it is.
struct Here(LocalSource);

#[async_trait]
impl World for Here {
    async fn read(&self, resource: &ResourceKey) -> Result<Observed, Failure> {
        self.0.fetch(resource).await.map(|value| Observed::Known(Arc::new(value)))
    }
}

fn here(folder: &Path) -> (LocalRun, Here) {
    (LocalRun::new(folder.to_owned()), Here(LocalSource::new(Local::default(), folder.to_owned())))
}

fn call(with: Value) -> Call {
    Call { run: Some("r1".into()), path: "all[a/b]".into(), attempt: 1, with }
}

fn intent(prepared: Value) -> Intent {
    Intent { before: Value::Null, prepared, effect: Effect::Change }
}

#[test]
fn an_order_is_words_or_a_script_and_never_both() {
    let of = |with: Value| Order::of(&call(with), Path::new("/srv"));
    let order = of(json!({
        "argv": ["touch", 7, true, "a b;c"], "env": {"N": 3, "GONE": null}, "cwd": "sub", "creates": "out", "stdin": "x",
    }))
    .unwrap();
    assert_eq!(order.argv, ["touch", "7", "true", "a b;c"]);
    assert_eq!((order.cwd.to_str(), order.creates.as_deref()), (Some("/srv/sub"), Some(Path::new("/srv/out"))));
    assert_eq!(order.title(), "touch 7 true 'a b;c'");
    assert_eq!(order.typed(), "printf %s x | (cd /srv/sub && env -u GONE N=3 touch 7 true 'a b;c')");
    let script = of(json!({"script": "# why\n\necho one\necho two\n", "cwd": "/"})).unwrap();
    assert_eq!(script.title(), "script: echo one …");
    assert!(!script.relative && order.relative);
    for with in [
        json!({}),
        json!({"argv": ["a"], "script": "b"}),
        json!({"argv": []}),
        json!({"argv": [["a"]]}),
        json!({"argv": ["a"], "env": {"A=B": "c"}}),
        json!({"argv": ["a"], "env": {"A": ["c"]}}),
    ] {
        assert_eq!(of(with.clone()).unwrap_err().class, Class::Precondition, "{with}");
    }
}

#[tokio::test]
async fn a_plan_says_that_it_is_not_previewed_unless_what_it_creates_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let (action, world) = here(folder.path());
    let call = call(json!({"argv": ["make", "all"], "creates": "out"}));
    let probe = action.probe(&call, &world).await.unwrap();
    assert_eq!((probe.summary.as_str(), probe.satisfied), ("run `make all` (not previewed: a local command)", false));
    assert_eq!(probe.identities[0].expect, [("/path".to_owned(), json!(folder.path()))]);
    let prediction = action.predict(&call, &probe);
    let made = Resource::Path(folder.path().join("out")).key();
    assert_eq!((prediction.deltas[0].resource.clone(), prediction.outputs.len()), (made, 0));
    std::fs::create_dir(folder.path().join("out")).unwrap();
    let probe = action.probe(&call, &world).await.unwrap();
    assert!(probe.satisfied);
    assert_eq!(action.predict(&call, &probe).outputs["changed"], false);
}

#[tokio::test]
async fn after_a_crash_only_what_can_be_seen_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let (action, world) = here(folder.path());
    let call = call(json!({"argv": ["make", "all"], "creates": "out"}));
    let intent = intent(json!({"text": "02:40:11"}));
    let gone = Process { pid: 1, start: 1, boot: "another".into() };
    let handle = json!({"process": gone});
    for handle in [None, Some(&handle)] {
        let recovery = action.recover(&call, &intent, handle, &world).await.unwrap();
        let Recovery::InDoubt(said) = recovery else { panic!("{recovery:?}") };
        assert!(said.contains("`make all` was begun in") && said.contains("at 02:40:11"), "{said}");
    }
    let ended = json!({"process": gone, "ended": "ended by us"});
    let recovery = action.recover(&call, &intent, Some(&ended), &world).await.unwrap();
    assert!(matches!(recovery, Recovery::Partial(said) if said.contains("`make all` was ended by us")));
    std::fs::create_dir(folder.path().join("out")).unwrap();
    let recovery = action.recover(&call, &intent, None, &world).await.unwrap();
    assert!(matches!(recovery, Recovery::Done(outputs) if outputs["changed"] == true));
}

#[tokio::test]
async fn a_command_that_outlived_its_run_is_found_by_its_mark_and_by_its_handle() {
    let folder = tempfile::tempdir().unwrap();
    let (action, world) = here(folder.path());
    let mut call = call(json!({"script": "echo up; sleep 60"}));
    call.run = Some(format!("r-{}", std::process::id()).as_str().into());
    let order = Order::of(&call, folder.path()).unwrap();
    let marks = [(RUN, call.run.clone().unwrap().to_string()), (STEP, call.path.to_string())];
    let env = marks.map(|(name, value)| (name.to_owned(), Some(value))).to_vec();
    let mut job = Local::default().job(Command { env, ..order.command() });
    assert!(matches!(job.news().await, News::Line(line) if line == "up"));

    let intent = intent(Value::Null);
    let Recovery::Running(handle) = action.recover(&call, &intent, None, &world).await.unwrap() else {
        panic!("it is running")
    };
    assert_eq!(handle["process"], json!(job.process().unwrap()));
    let again = action.recover(&call, &intent, Some(&handle), &world).await.unwrap();
    assert_eq!(again, Recovery::Running(handle.clone()));
    job.stop();
    while !matches!(job.news().await, News::Done(_)) {}
    let after = action.recover(&call, &intent, Some(&handle), &world).await.unwrap();
    assert!(matches!(after, Recovery::InDoubt(_)));
}
