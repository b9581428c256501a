//! `file.write`, `yaml.set`, `git.commit` and the runbook `reverse-proxy` with the real program, on files of a temporary folder.

use super::harness::World;

const HEAD: &str = "runbook: x\nschema: 1\ntarget: none\n";
const APPLY: [&str; 4] = ["run", "x.yaml", "--apply", "--yes"];

fn world(steps: &str) -> World {
    let world = World::new();
    world.write("x.yaml", &format!("{HEAD}{steps}"));
    world
}

#[test]
fn a_file_is_written_whole_shown_before_and_put_back() {
    let world = world(
        "on_failure: rollback\nsteps:\n  - {id: new, uses: file.write, with: {path: new.conf, content: \"a\\n\", mode: \"0600\"}}\n  - {id: old, uses: file.write, with: {path: old.conf, content: \"one\\ntwo\\n\"}}\n",
    );
    world.write("old.conf", "one\n2\n").sh("chmod 640 old.conf").exits(0);
    let plan = world.runbook(&["plan", "x.yaml"]);
    plan.exits(0).says(&["new.conf: new, 2 bytes, mode 0600", "-2", "+two", "is written as it was", "is removed"]);
    assert!(!world.path("new.conf").exists());
    world.runbook(&APPLY).exits(0);
    assert_eq!((world.read("new.conf").as_str(), world.read("old.conf").as_str()), ("a\n", "one\ntwo\n"));
    world.sh("stat -c %a new.conf old.conf").exits(0).says(&["600 640"]);
    world.runbook(&["plan", "x.yaml"]).exits(0).says(&["2 steps: nothing to do"]);
    // A later failure takes both back, each to what it was.
    let failing = format!("{}  - {{uses: local.run, with: {{argv: [/bin/false]}}}}\n", world.read("x.yaml"));
    world.sh("rm new.conf; printf 'one\\n2\\n' >old.conf").exits(0);
    world.write("x.yaml", &failing);
    let got = world.runbook(&APPLY);
    assert_ne!(got.exit, Some(0));
    assert!(!world.path("new.conf").exists(), "{}", got.both());
    assert_eq!(world.read("old.conf"), "one\n2\n", "{}", got.both());
}

#[test]
fn what_somebody_else_has_changed_is_not_overwritten() {
    let world = world("steps: [{uses: file.write, with: {path: a, content: b}}]\n");
    world.write("a", "c");
    world.runbook(&["plan", "x.yaml", "--out", "p"]).exits(0);
    world.write("a", "d");
    let got = world.runbook(&["apply", "p", "--yes"]);
    assert!(got.both().contains("the file that the plan was made for"), "{}", got.both());
    assert_eq!(world.read("a"), "d");
    let world = self::world("steps: [{uses: file.write, with: {path: a, content: b, was: 00}}]\n");
    let got = world.runbook(&["lint", "x.yaml"]);
    assert_ne!(got.exit, Some(0), "00 is no text");
    for (with, why) in [
        ("{path: a}", "give one of `content` and `absent: true`"),
        ("{path: a, content: x, mode: '9'}", "octal digits"),
        ("{path: dir, content: x}", "a folder is there"),
        ("{path: link, content: x}", "a link is there"),
        ("{path: no/such/folder, content: x}", "No such file"),
    ] {
        let world = self::world(&format!("steps: [{{uses: file.write, with: {with}}}]\n"));
        world.sh("mkdir dir; ln -s x.yaml link").exits(0);
        let got = world.runbook(&APPLY);
        assert!(got.both().contains(why), "{with}: {}", got.both());
        assert_ne!(got.exit, Some(0));
    }
}

#[test]
fn a_secret_file_is_not_shown_and_what_it_was_is_not_kept() {
    let world = world("steps: [{uses: file.write, with: {path: a, content: new, secret: true}}]\n");
    world.write("a", "hunter2-before\n");
    let plan = world.runbook(&["plan", "x.yaml"]);
    plan.exits(0).says(&["its content is not shown", "nothing can undo it"]);
    assert!(!plan.both().contains("hunter2"));
    world.runbook(&APPLY).exits(0);
    world.sh("! grep -r hunter2 \"$XDG_STATE_HOME\"").exits(0);
}

#[test]
fn values_of_a_yaml_file_are_set_and_its_comments_stay() {
    let world = world(
        "steps:\n  - {id: one, uses: yaml.set, with: {path: f.yaml, values: {spec.replicas: 3, spec.image: 'app:2', spec.new: true}}}\n",
    );
    let text = "# fleet\nspec:   # it\n  replicas: 1  # few\n  image: 'app:1'\n\n# end\n";
    world.write("f.yaml", text);
    world.runbook(&["plan", "x.yaml"]).exits(0).says(&[
        "set spec.replicas, spec.image, spec.new",
        "-  replicas: 1",
        "+  new: true",
    ]);
    world.runbook(&APPLY).exits(0);
    assert_eq!(
        world.read("f.yaml"),
        "# fleet\nspec:   # it\n  replicas: 3  # few\n  image: 'app:2'\n  new: true\n\n# end\n"
    );
    world.runbook(&["plan", "x.yaml"]).exits(0).says(&["1 step: nothing to do"]);
    world.write("f.yaml", "spec: &s {replicas: 1}\nother: *s\n");
    let got = world.runbook(&["plan", "x.yaml"]);
    assert!(got.both().contains("an anchor or a tag"), "{}", got.both());
}

const GIT: &str = "git init -q -b main repo && cd repo && git config user.name Ops && git config user.email ops@example.org && echo 1 >a && echo 1 >b && git add . && git commit -qm first";

#[test]
fn named_paths_are_committed_and_taken_back() {
    let world = world(
        "on_failure: rollback\nsteps:\n  - {id: edit, uses: file.write, with: {path: repo/a, content: \"2\\n\"}}\n  - {id: commit, uses: git.commit, with: {repository: repo, paths: [a, new], message: \"Second\\n\\nwhy\"}}\n",
    );
    world.sh(GIT).exits(0);
    world.sh("cd repo && echo n >new && echo 2 >b").exits(0);
    world.runbook(&["plan", "x.yaml"]).exits(0).says(&["commit a, new: Second"]);
    world.runbook(&APPLY).exits(0);
    let log =
        world.sh("cd repo && git log --format=%an:%s && git show --name-only --format= HEAD && git status --porcelain");
    log.exits(0).says(&["Ops:Second Ops:first a new M b"]);
    world.runbook(&["plan", "x.yaml"]).exits(0).says(&["2 steps: nothing to do"]);
    // A later failure takes the commit back, and the file too.
    let failing = format!("{}  - {{uses: local.run, with: {{argv: [/bin/false]}}}}\n", world.read("x.yaml"));
    world.sh("cd repo && git reset -q --hard HEAD~1 && echo n >new").exits(0);
    world.write("x.yaml", &failing);
    let got = world.runbook(&APPLY);
    assert_ne!(got.exit, Some(0));
    let log = world.sh("cd repo && git log --format=%s && git status --porcelain && cat a");
    assert_eq!(log.stdout, "first\n?? new\n1\n", "{}", got.both());
}

#[test]
fn somebody_elses_half_made_commit_is_left_alone() {
    let world = world("steps: [{uses: git.commit, with: {repository: repo, paths: [a], message: m}}]\n");
    world.sh(GIT).exits(0);
    world.sh("cd repo && echo 2 >a && echo 2 >b && git add b").exits(0);
    let got = world.runbook(&["plan", "x.yaml"]);
    assert!(got.both().contains("something else is staged"), "{}", got.both());
    world.sh("cd repo && git restore --staged b && printf '#!/bin/sh\\nexit 1\\n' >.git/hooks/pre-commit && chmod +x .git/hooks/pre-commit").exits(0);
    world.runbook(&APPLY).exits(1).says(&["git commit: exit code 1"]);
    world.sh("cd repo && git diff --cached --name-only && git log --format=%s").exits(0).says(&["first"]);
    let world = self::world("steps: [{uses: git.commit, with: {repository: repo, paths: [typo], message: m}}]\n");
    world.sh(GIT).exits(0);
    let got = world.runbook(&["plan", "x.yaml"]);
    assert!(got.both().contains("is not in the repository"), "{}", got.both());
    let got = self::world("steps: [{uses: git.commit, with: {repository: ., paths: [a], message: m}}]\n")
        .runbook(&["plan", "x.yaml"]);
    assert!(got.both().contains("it is no repository"), "{}", got.both());
}

#[test]
fn a_site_of_a_reverse_proxy_comes_and_goes_and_a_bad_one_is_put_back() {
    let world = World::new();
    world.sh("mkdir sites; touch log").exits(0);
    let run = |more: &[&str]| {
        let mut words = vec!["run", "reverse-proxy", "--apply", "--yes", "--set", "sites=sites"];
        words.extend(["--set", "reload=sh,-c,echo reload >>log"]);
        words.extend(more);
        world.runbook(&words)
    };
    let good = ["--set", "validate=sh,-c,true"];
    run(&[&["app.example.org", "10.0.0.7:8080"], &good[..]].concat()).exits(0);
    assert_eq!(world.read("sites/app.example.org.conf"), "app.example.org {\n\treverse_proxy 10.0.0.7:8080\n}\n");
    assert_eq!(world.read("log"), "reload\n");
    // What the proxy does not take is put back, and nothing is reloaded.
    let bad = run(&["app.example.org", "10.0.0.8:80", "--set", "validate=sh,-c,false"]);
    assert_ne!(bad.exit, Some(0));
    assert!(world.read("sites/app.example.org.conf").contains("10.0.0.7:8080"), "{}", bad.both());
    assert_eq!(world.read("log"), "reload\n");
    run(&[&["app.example.org", "--set", "remove=true"], &good[..]].concat()).exits(0);
    assert!(!world.path("sites/app.example.org.conf").exists());
    let nothing = run(&["app.example.org"]);
    assert!(nothing.both().contains("give `upstream`"), "{}", nothing.both());
}
