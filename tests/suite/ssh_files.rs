//! `ssh.copy` with the real program and a real sshd.

use super::harness::World;
use super::real_ssh::Sshd;
use super::ssh_acts::world;

const APPLY: [&str; 4] = ["run", "x.yaml", "--apply", "--yes"];

struct Scene {
    sshd: Sshd,
    world: World,
}

impl Scene {
    /// `STEP` stands for the parameters beyond host and place.
    async fn new(rest: &str, tail: &str) -> Self {
        let sshd = Sshd::start().await;
        let (config, _) = sshd.client("pve1", "client", Some("host"));
        let to = sshd.dir.path().join("it's a file");
        let steps = format!(
            "steps:\n  - id: put\n    uses: ssh.copy\n    with: {{host: pve1, to: \"{}\", {rest}}}\n{tail}",
            to.display()
        );
        let world = world(&config, &steps);
        Self { sshd, world }
    }

    fn text(&self) -> Option<String> {
        runbook::sys::files::read_text(self.sshd.dir.path().join("it's a file")).ok()
    }

    fn put(&self, text: &str) {
        runbook::sys::files::write_atomic(self.sshd.dir.path().join("it's a file"), text.as_bytes(), 0o640).unwrap();
    }

    fn mode(&self) -> u32 {
        use std::os::unix::fs::PermissionsExt;
        std::fs::metadata(self.sshd.dir.path().join("it's a file")).unwrap().permissions().mode() & 0o7777
    }

    /// Files beside it that are nobody's.
    fn left_over(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.sshd.dir.path()).unwrap().map(|e| e.unwrap().file_name());
        names.map(|name| name.to_string_lossy().into_owned()).filter(|name| name.contains("runbook-")).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_made_changed_left_alone_and_put_back() {
    let scene = Scene::new("content: \"one\\ntwo\\n\", mode: \"0600\"", "").await;
    let plan = scene.world.runbook(&["plan", "x.yaml"]);
    plan.exits(0).says(&["8 bytes, mode 600", "remove pve1:/"]);
    assert_eq!(scene.text(), None, "a plan changes nothing");
    scene.world.runbook(&APPLY).exits(0);
    assert_eq!((scene.text().as_deref(), scene.mode()), (Some("one\ntwo\n"), 0o600));
    scene.world.runbook(&["plan", "x.yaml"]).exits(0).says(&["nothing to do"]);
    scene.world.runbook(&["rollback", "last", "--yes"]).exits(10);
    assert_eq!(scene.text(), None, "there was none");

    scene.put("one\nzwei\n");
    let plan = scene.world.runbook(&["plan", "x.yaml"]);
    plan.exits(0).says(&["9 bytes, mode 640 -> 8 bytes, mode 600", "from line 2:", "- zwei", "+ two", "put back"]);
    scene.world.runbook(&APPLY).exits(0);
    assert_eq!(scene.text().as_deref(), Some("one\ntwo\n"));
    scene.world.runbook(&["rollback", "last", "--yes"]).exits(10);
    assert_eq!((scene.text().as_deref(), scene.mode()), (Some("one\nzwei\n"), 0o640));
    assert_eq!(scene.left_over(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_has_put_there_meanwhile_is_not_undone() {
    let scene = Scene::new("content: \"ours\\n\"", "").await;
    scene.world.runbook(&APPLY).exits(0);
    scene.put("theirs\n");
    let got = scene.world.runbook(&["rollback", "last", "--yes"]);
    assert_ne!(got.exit, Some(0), "{}", got.both());
    assert!(got.both().contains("not everything is as it left it"), "{}", got.both());
    assert_eq!(scene.text().as_deref(), Some("theirs\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_file_goes_there_byte_by_byte_and_an_older_one_of_a_saved_plan_is_refused() {
    let scene = Scene::new("src: files/blob", "").await;
    let bytes: Vec<u8> = (0..300_000_u32).map(|n| (n * 7 % 251) as u8).collect();
    scene.world.write("files/blob", "");
    runbook::sys::files::write_atomic(scene.world.path("files/blob"), &bytes, 0o644).unwrap();
    scene.world.runbook(&["plan", "x.yaml", "--out", "saved.plan"]).exits(0).says(&["300000 bytes"]);
    scene.world.runbook(&["plan", "x.yaml", "--as", "commands"]).exits(0).says(&["scp -- ", "chmod 644"]);
    scene.world.runbook(&APPLY).exits(0);
    assert!(runbook::sys::files::read_bytes(scene.sshd.dir.path().join("it's a file")).unwrap() == bytes);
    scene.world.write("files/blob", "other");
    let got = scene.world.runbook(&["apply", "saved.plan", "--yes"]);
    assert_ne!(got.exit, Some(0), "{}", got.both());
    assert!(got.both().contains("the file "), "{}", got.both());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_text_is_not_shown_and_what_cannot_be_written_is_said() {
    let scene = Scene::new("content: \"new-and-quiet\\n\", secret: true", "").await;
    scene.put("old-and-quiet\n");
    let plan = scene.world.runbook(&["plan", "x.yaml"]);
    plan.exits(0).says(&["nothing can undo it"]);
    assert!(!plan.both().contains("quiet"), "{}", plan.both());
    scene.world.runbook(&["plan", "x.yaml", "--as", "commands"]).exits(0);

    let scene = Scene::new("content: x, mode: rw", "").await;
    scene.world.runbook(&APPLY).complains(&["expected octal digits"]);
    let scene = Scene::new("src: none", "").await;
    scene.world.runbook(&APPLY).complains(&["there is no such file"]);
    let scene = Scene::new("content: x", "").await;
    std::fs::create_dir(scene.sshd.dir.path().join("it's a file")).unwrap();
    scene.world.runbook(&APPLY).complains(&["is no file"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_step_sees_in_the_plan_what_a_copy_leaves() {
    let tail = "  - {uses: ssh.run, with: {host: pve1, argv: [cat, x], creates: \"{{ steps.put.sha256 }}\"}}\n";
    let scene = Scene::new("content: \"a\\n\"", tail).await;
    // The digest is known before it is sent; as a path it is none.
    let sum = "87428fc522803d31065e7bce3cf03fe475096631e5e07bbd7a0fde60c4cf25c7";
    let plan = scene.world.runbook(&["plan", "x.yaml"]);
    assert!(plan.both().contains(sum), "{}", plan.both());
}
