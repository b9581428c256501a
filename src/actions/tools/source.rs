//! The World's source of what the tools say beforehand. It asks them for listings and dry runs, and never for more.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::resource::{Playbook, Repository, Resource, Task};
use super::setup::ProxmoxToken;
use super::{ansible, git, task};
use crate::clients::local::{Command, Ended, Local, Output};
use crate::engine::ports::Source;
use crate::model::failure::{Class, Failure};
use crate::model::ids::ResourceKey;

/// For one question; a check run of a playbook may take as long as the playbook.
const PATIENCE: Duration = Duration::from_secs(120);
const PATIENCE_CHECK: Duration = Duration::from_secs(3600);

/// Asks the tools.
pub struct ToolSource {
    local: Local,
    token: Option<ProxmoxToken>,
}

impl ToolSource {
    pub fn new(local: Local, token: Option<ProxmoxToken>) -> Self {
        Self { local, token }
    }

    async fn ask(&self, command: Command, patience: Duration) -> Result<Output, Failure> {
        let attempted = format!("ask {}", command.argv.first().map_or("a tool", String::as_str));
        match self.local.look(command, patience).await {
            Ok(Some(output)) => Ok(output),
            Ok(None) => {
                let cause = format!("no answer within {} s", patience.as_secs());
                Err(Failure::new(Class::Timeout, attempted, cause))
            }
            Err(error) => Err(Failure::new(Class::Precondition, attempted, error.to_string())),
        }
    }

    async fn playbook(&self, asked: Playbook) -> Result<Value, Failure> {
        let vars = ansible::vars_file(&self.local, &asked.extra_vars)?;
        let token = ansible::token_env(asked.token, self.token.as_ref())?;
        let of = |more: &[&str]| {
            let mut args = asked.args.clone();
            args.extend(vars.iter().flat_map(|file| ["-e".to_owned(), format!("@{}", file.path().display())]));
            args.extend(more.iter().map(|word| (*word).to_owned()));
            ansible::command(asked.folder.clone().into(), &args, token.clone())
        };
        let (syntax, listing) = tokio::join!(
            self.ask(of(&["--syntax-check"]), PATIENCE),
            self.ask(of(&["--list-hosts", "--list-tasks"]), PATIENCE)
        );
        let check = match asked.check {
            true => Some(self.ask(of(&["--check", "--diff"]), PATIENCE_CHECK).await?),
            false => None,
        };
        Ok(json!({"syntax": said(&syntax?), "listing": said(&listing?), "check": check.as_ref().map(said)}))
    }

    async fn task(&self, asked: Task) -> Result<Value, Failure> {
        let program = task::program(&self.local)?;
        let of = |args: &[&str]| {
            let args: Vec<String> = args.iter().map(|word| (*word).to_owned()).collect();
            self.ask(task::command(program, asked.taskfile.clone().into(), &args), PATIENCE)
        };
        let list = of(&["--list-all", "--json", "--no-status"]).await?;
        let known = match serde_json::from_str::<Value>(&list.stdout) {
            Ok(list) if list["tasks"].is_array() => task::names(&list),
            _ => return Ok(json!({"problem": said(&list)})),
        };
        let exists = known.contains(&asked.name);
        if !exists {
            return Ok(json!({"exists": false, "known": known}));
        }
        let with = |first: &str| {
            let mut words = vec![first.to_owned(), asked.name.clone()];
            words.extend(asked.vars.clone());
            words
        };
        let words = with("--status");
        let status = of(&words.iter().map(String::as_str).collect::<Vec<_>>()).await?;
        let up_to_date = status.ended == Ended::Exit(0);
        let dry = match asked.dry && !up_to_date {
            true => {
                let words = with("--dry");
                Some(of(&words.iter().map(String::as_str).collect::<Vec<_>>()).await?)
            }
            false => None,
        };
        Ok(json!({"exists": true, "known": known, "up_to_date": up_to_date, "dry": dry.as_ref().map(said)}))
    }

    async fn repository(&self, asked: Repository) -> Result<Value, Failure> {
        let folder = PathBuf::from(&asked.folder);
        let mut answers = Vec::new();
        for args in git::questions(&asked) {
            let output = self.ask(git::command(folder.clone(), &args, Vec::new()), PATIENCE).await?;
            answers.push((output.ended == Ended::Exit(0)).then_some(output.stdout).ok_or(output.stderr));
        }
        Ok(git::answer(&answers))
    }
}

fn said(output: &Output) -> Value {
    json!({"ok": output.ended == Ended::Exit(0), "stdout": output.stdout, "stderr": output.stderr})
}

#[async_trait]
impl Source for ToolSource {
    async fn fetch(&self, resource: &ResourceKey) -> Result<Value, Failure> {
        match Resource::of(resource) {
            Some(Resource::Playbook(asked)) => self.playbook(asked).await,
            Some(Resource::Task(asked)) => self.task(asked).await,
            Some(Resource::Repository(asked)) => self.repository(asked).await,
            None => {
                let kind = resource.as_str().split('/').next().unwrap_or_default();
                let cause = "no such resource: expected one of actions/tools/resource.rs";
                Err(Failure::new(Class::Internal, format!("read {kind}"), cause))
            }
        }
    }
}
