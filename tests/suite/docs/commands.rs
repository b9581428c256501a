//! The commands of the documentation. The program takes every `$ runbook …` line of a ```console block; blocks that are
//! marked `console run` are run in the lab, and every line that they show is one that the program wrote.

use std::path::Path;
use std::process::{Command, Output};

use regex::Regex;

use super::{Page, none_of};

const RUNBOOK: &str = env!("CARGO_BIN_EXE_runbook");

/// The lines of a block that somebody types, with a continued one as one.
fn typed(text: &str) -> Vec<String> {
    let joined = text.replace("\\\n", " ");
    joined.lines().filter_map(|l| l.strip_prefix("$ ")).map(str::to_owned).collect()
}

/// Words as a shell splits them, quotes taken off, each simple command apart. What is quoted stays one word.
fn simple_commands(line: &str) -> Vec<Vec<String>> {
    let (mut commands, mut words) = (Vec::new(), Vec::new());
    let (mut word, mut quote, mut begun) = (String::new(), None, false);
    let mut rest = line.chars().peekable();
    while let Some(c) = rest.next() {
        match quote {
            Some(q) if c == q => quote = None,
            Some(_) => word.push(c),
            None if c == '\'' || c == '"' => (quote, begun) = (Some(c), true),
            None if c == '#' && !begun => break,
            None if c.is_whitespace() || matches!(c, ';' | '|' | '&' | '(' | ')') => {
                if begun {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
                if !c.is_whitespace() {
                    commands.push(std::mem::take(&mut words));
                }
            }
            None if c == '>' || c == '<' => {
                // A redirection: what it goes to is no argument.
                word.clear();
                begun = false;
                while rest.next_if(|c| !matches!(c, ';' | '|')).is_some() {}
            }
            None => {
                word.push(c);
                begun = true;
            }
        }
    }
    if begun {
        words.push(word);
    }
    commands.push(words);
    commands.retain(|words| !words.is_empty());
    commands
}

/// Every call of runbook in a line, those that `lab exec` and `sh -c` make included.
fn calls(line: &str) -> Vec<Vec<String>> {
    let mut out = Vec::new();
    for words in simple_commands(line) {
        let named = words[0] == "runbook" || words[0].ends_with("/runbook");
        let exec = words.windows(2).any(|pair| pair == ["lab", "exec"]);
        let own = words.iter().position(|w| w == "--").filter(|_| exec).unwrap_or(words.len());
        if named {
            out.push(words[1..own].to_vec());
        }
        let inner = if named { words.get(own + 1..).unwrap_or_default() } else { &words[..] };
        match inner {
            [sh, c, script] if sh == "sh" && c == "-c" => out.extend(calls(script)),
            [first, ..] if named && first == "runbook" => out.push(inner[1..].to_vec()),
            _ => {}
        }
        // eval "$(runbook lab env)"
        for word in words.iter().filter_map(|w| w.strip_prefix("$(").and_then(|w| w.strip_suffix(')'))) {
            out.extend(calls(word));
        }
    }
    out
}

#[test]
fn the_program_takes_every_command() {
    let (mut problems, mut count) = (Vec::new(), 0);
    for page in Page::all() {
        for block in page.blocks().iter().filter(|b| b.info.starts_with("console")) {
            for line in typed(&block.text) {
                for args in calls(&line) {
                    count += 1;
                    let out = Command::new(RUNBOOK).args(&args).arg("--help").output().unwrap();
                    if !out.status.success() {
                        let said = String::from_utf8_lossy(&out.stderr);
                        problems.push(format!("{}:{}: {line}\n{said}", page.name(), block.line));
                    }
                }
            }
        }
    }
    none_of(&problems);
    assert!(count > 30, "only {count} commands were found");
}

#[test]
fn commands_are_found_in_lines() {
    let of = |line: &str| calls(line).into_iter().map(|words| words.join(" ")).collect::<Vec<_>>();
    assert_eq!(
        of("runbook --lab plan evacuate pve2 -o json | jq '.a | b' > x; echo $?"),
        ["--lab plan evacuate pve2 -o json"]
    );
    assert_eq!(
        of("runbook lab exec -- sh -c 'runbook plan x --out p && runbook apply p; echo \"a\"'"),
        ["lab exec", "plan x --out p", "apply p"]
    );
    assert_eq!(of("runbook lab exec --token 'a!b' -- runbook doctor  # looks"), ["lab exec --token a!b", "doctor"]);
    assert_eq!(of("eval \"$(runbook lab env)\""), ["lab env"]);
    assert_eq!(of("cat notes"), Vec::<String>::new());
}

/// Takes out what differs from run to run.
fn steady(text: &str) -> Vec<String> {
    let rules = [
        (r"\x1b\[[0-9;]*[A-Za-z]", ""),
        (r"\b[0-9a-f]{12,64}\b", "HASH"),
        (r"\d{4}-\d\d-\d\d", "DATE"),
        (r"\d\d:\d\d:\d\d", "TIME"),
        (r"\b(\d+h )?(\d+m )?\d+(\.\d+)?(ms|s)\b", "TOOK"),
        (r"(127\.0\.0\.\d):\d+", "$1:PORT"),
        (r"\b(run|resume|logs|status) [0-9a-z]{4}(?:[0-9a-z]{8})?\b([^a-z]|$)", "$1 RUN$2"),
        (r"/\S*/", "/"),
        (r"\S+@\S+", "SOMEBODY"),
        (r"\s+", " "),
    ];
    let rules = rules.map(|(pattern, with)| (Regex::new(pattern).unwrap(), with));
    let line =
        |line: &str| rules.iter().fold(line.to_owned(), |l, (rule, with)| rule.replace_all(&l, *with).into_owned());
    text.lines().map(|l| line(l).trim().to_owned()).collect()
}

fn shell(line: &str, folder: &Path) -> Output {
    let bin = Path::new(RUNBOOK).parent().unwrap().display().to_string();
    let path = format!("{bin}:{}", std::env::var("PATH").unwrap_or_default());
    Command::new("sh")
        .args(["-c", line])
        .current_dir(folder)
        .env("PATH", path)
        .env("COLUMNS", "120")
        .env("LANG", "C.UTF-8")
        .env("XDG_STATE_HOME", folder.join("state"))
        .env("XDG_CONFIG_HOME", folder.join("config"))
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap()
}

/// A command that was run and the lines that are said to be its output.
struct Shown {
    command: String,
    lines: Vec<String>,
}

fn shown(text: &str) -> Vec<Shown> {
    let mut out: Vec<Shown> = Vec::new();
    for line in text.replace("\\\n", " ").lines() {
        match (line.strip_prefix("$ "), out.last_mut()) {
            (Some(command), _) => out.push(Shown { command: command.to_owned(), lines: Vec::new() }),
            (None, Some(shown)) => shown.lines.push(line.to_owned()),
            (None, None) => {}
        }
    }
    out
}

impl Shown {
    /// What it did other than the page says.
    fn differs(&self, folder: &Path) -> Vec<String> {
        let out = shell(&self.command, folder);
        let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        let exit = self.command.split("# exit ").nth(1).and_then(|n| n.trim().parse().ok()).unwrap_or(0);
        if out.status.code() != Some(exit) {
            return vec![format!("$ {}\nended with {:?}, not {exit}:\n{said}", self.command, out.status.code())];
        }
        let real = steady(&said);
        let wrong = |line: &&String| !line.is_empty() && line.as_str() != "..." && !real.contains(*line);
        let lines = steady(&self.lines.join("\n"));
        let missing = lines.iter().filter(wrong);
        missing.map(|line| format!("$ {}\ndid not say: {line}\nit said:\n{}", self.command, real.join("\n"))).collect()
    }
}

/// Runs what a page marks, in a folder with the repository's files: later blocks go on with what earlier ones left.
fn run_page(page: &Page) -> (usize, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    for name in ["cluster-config.yaml", "clusters", "runbooks"] {
        let (from, to) = (super::root().join(name), folder.path().join(name));
        assert!(Command::new("cp").arg("-r").args([from, to]).status().unwrap().success());
    }
    let (mut count, mut problems) = (0, Vec::new());
    for block in page.blocks() {
        if let Some(name) = block.info.split_whitespace().find_map(|mark| mark.strip_prefix("file=")) {
            std::fs::write(folder.path().join(name), &block.text).unwrap();
        }
        for shown in if block.info == "console run" { shown(&block.text) } else { Vec::new() } {
            count += 1;
            let found = shown.differs(folder.path());
            problems.extend(found.into_iter().map(|why| format!("{}:{}: {why}", page.name(), block.line)));
        }
    }
    (count, problems)
}

#[test]
fn what_is_shown_is_what_happens() {
    let pages = Page::all();
    let marked = pages.iter().filter(|page| page.text.contains("```console run"));
    // Pages at the same time: a run mostly waits for the lab.
    let ran: Vec<(usize, Vec<String>)> = std::thread::scope(|scope| {
        let threads: Vec<_> = marked.map(|page| scope.spawn(move || run_page(page))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a page's thread")).collect()
    });
    let count: usize = ran.iter().map(|(count, _)| count).sum();
    none_of(&ran.into_iter().flat_map(|(_, problems)| problems).collect::<Vec<_>>());
    assert!(count > 20, "only {count} commands were run");
}
