//! `talos.etcd_encrypt`: a backup encrypted by the program `age`; the plain file goes only when the encrypted one was checked.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use serde_json::{Value, json};

use super::resource::{self, Seen};
use super::{FILES, absolute, failure, last_part, path_param};
use crate::clients::talos::backup;
use crate::engine::ports::{Action, Call, Mutate, Prediction, Probe, Recovery, Unreadable, World};
use crate::event::Intent;
use crate::model::action_spec::ActionSpec;
use crate::model::effect::Effect;
use crate::model::failure::{Class, Failure};
use crate::model::param::{Param, ValueType};
use crate::model::shell;

/// The action.
pub struct EtcdEncrypt {
    spec: ActionSpec,
    folder: PathBuf,
}

impl EtcdEncrypt {
    /// `folder`: where relative paths begin.
    pub fn new(folder: PathBuf) -> Self {
        let spec = ActionSpec::new("talos.etcd_encrypt", Effect::Change, "Encrypt a backup of etcd by age")
            .param(path_param("The plain file; a relative path begins at the configuration's folder"))
            .param(
                Param::new("recipients", ValueType::List)
                    .items(ValueType::String)
                    .required()
                    .help("Who can read it: age1… or an SSH public key; never a private key"),
            )
            .output("path", ValueType::Path, "The encrypted file: the plain one's name with .age behind it, mode 0600")
            .output("name", ValueType::String, "The last part of it")
            .output("bytes", ValueType::Int, "Its length")
            .output("sha256", ValueType::String, "Of the encrypted file")
            .needs_privilege(FILES);
        Self { spec, folder }
    }
}

fn attempted(path: &Path) -> String {
    format!("encrypt {}", path.display())
}

fn outputs(to: &Path, bytes: u64, sha256: &str) -> Value {
    json!({"path": to, "name": last_part(to), "bytes": bytes, "sha256": sha256})
}

/// Public keys, and nothing that would be an option or a secret.
fn recipients(call: &Call, path: &Path) -> Result<Vec<String>, Failure> {
    let all: Vec<String> = call.arg("recipients")?;
    let refuse = |cause: &str| {
        let failure = Failure::new(Class::Precondition, attempted(path), cause);
        failure.remedy("`age-keygen -y KEYFILE` says the public key that belongs to a private one")
    };
    if all.is_empty() {
        return Err(refuse("there is no recipient"));
    }
    // What is no public key may be a private one: it is not repeated.
    match all.iter().all(|one| one.starts_with("age1") || one.starts_with("ssh-")) {
        true => Ok(all),
        false => Err(refuse("a recipient begins neither with age1 nor with ssh-")),
    }
}

#[async_trait]
impl Action for EtcdEncrypt {
    fn spec(&self) -> &ActionSpec {
        &self.spec
    }

    async fn probe(&self, call: &Call, world: &dyn World) -> Result<Probe, Unreadable> {
        let path = absolute(call, "path", &self.folder)?;
        let recipients = recipients(call, &path)?;
        let refuse = |cause: String| Failure::new(Class::Precondition, attempted(&path), cause);
        let there: bool = resource::read(world, &resource::program("age")).await?;
        let plain: Option<Seen> = resource::read(world, &resource::file(&path)).await?;
        let to = backup::encrypted(&path);
        let done: Option<Seen> = resource::read(world, &resource::file(&to)).await?;
        let summary = format!("{} for {} recipients, then remove it", attempted(&path), recipients.len());
        let mut probe = Probe::new(summary, json!({"path": path}));
        match (plain, done) {
            (None, Some(Seen::Whole { bytes, sha256, encrypted: true })) => {
                probe.before = json!({"path": path, "done": outputs(&to, bytes, &sha256)});
                (probe.satisfied, probe.summary) = (true, format!("{} is there already", to.display()));
            }
            (Some(Seen::Whole { encrypted: false, .. }), _) if there => {}
            (Some(Seen::Whole { encrypted: false, .. }), _) => {
                return Err(refuse("age is not on PATH".into()).remedy("install it: apt-get install age").into());
            }
            (Some(Seen::Whole { .. }), _) => return Err(refuse("it is encrypted already".into()).into()),
            (Some(Seen::Broken { why }), _) => return Err(refuse(format!("it is no whole snapshot: {why}")).into()),
            (None, _) => return Err(refuse("there is no such file".into()).into()),
        }
        Ok(probe)
    }

    fn predict(&self, call: &Call, before: &Probe) -> Prediction {
        let Ok(path) = absolute(call, "path", &self.folder) else { return Prediction::default() };
        if let Value::Object(done) = before.before["done"].clone() {
            return Prediction { outputs: done.into_iter().collect(), ..Prediction::default() };
        }
        let to = backup::encrypted(&path);
        let taints = [&path, &to].map(|path| (resource::file(path), "it is encrypted by then".to_owned()));
        let outputs = [("path".to_owned(), json!(to)), ("name".to_owned(), json!(last_part(&to)))].into();
        Prediction { taints: taints.into(), outputs, ..Prediction::default() }
    }

    async fn apply(&self, call: &Call, _: &Intent, _: &Mutate) -> Result<Value, Failure> {
        let path = absolute(call, "path", &self.folder)?;
        let recipients = recipients(call, &path)?;
        let done = backup::encrypt(path.clone(), &recipients).await;
        let whole = done.map_err(|e| failure(&attempted(&path), &e))?;
        Ok(outputs(&backup::encrypted(&path), whole.bytes, &whole.sha256))
    }

    async fn verify(&self, call: &Call, _: &Value, outputs: &Value, world: &dyn World) -> Result<(), Failure> {
        let path = absolute(call, "path", &self.folder)?;
        let wrong = |cause: &str| Err(Failure::new(Class::Verify, attempted(&path), cause));
        let plain: Option<Seen> = resource::seen(world, &resource::file(&path)).await?;
        let done: Option<Seen> = resource::seen(world, &resource::file(&backup::encrypted(&path))).await?;
        match (plain, done) {
            (Some(_), _) => wrong("the plain file is still there"),
            (None, Some(Seen::Whole { sha256, encrypted: true, .. })) if outputs["sha256"] == sha256.as_str() => Ok(()),
            (None, _) => wrong("the encrypted file is not the one that was written"),
        }
    }

    async fn recover(
        &self,
        call: &Call,
        _: &Intent,
        _: Option<&Value>,
        world: &dyn World,
    ) -> Result<Recovery, Failure> {
        let path = absolute(call, "path", &self.folder)?;
        let to = backup::encrypted(&path);
        let plain: Option<Seen> = resource::seen(world, &resource::file(&path)).await?;
        let done: Option<Seen> = resource::seen(world, &resource::file(&to)).await?;
        Ok(match (plain, done) {
            (None, Some(Seen::Whole { bytes, sha256, encrypted: true })) => {
                Recovery::Done(outputs(&to, bytes, &sha256))
            }
            // While the plain file is there nothing is lost, and doing it again writes over what was written.
            (Some(_), _) => Recovery::NotApplied,
            (None, _) => Recovery::InDoubt(format!("neither {} nor a whole {} is there", path.display(), to.display())),
        })
    }

    fn commands(&self, call: &Call, _: &Probe) -> Vec<String> {
        let Ok(path) = absolute(call, "path", &self.folder) else { return Vec::new() };
        let Ok(recipients) = recipients(call, &path) else { return Vec::new() };
        let to = shell::quote(&backup::encrypted(&path).display().to_string());
        let path = shell::quote(&path.display().to_string());
        let words: Vec<String> = recipients.iter().map(|one| format!("--recipient {}", shell::quote(one))).collect();
        vec![format!("age {} --output {to} {path} && rm {path}", words.join(" "))]
    }
}
