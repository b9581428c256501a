//! Nodes' own configurations and certificates, ACME accounts and plugins. What plugins log in to a DNS provider with is
//! left behind here.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::ProxmoxSource;
use crate::actions::proxmox::object::{Certificate, NodeConfig, ShownCertificate};
use crate::clients::proxmox::{ProxmoxError, loose, seg};
use crate::model::failure::{Class, Failure};
use crate::model::ids::NodeName;

fn listed(value: &Value) -> Vec<String> {
    loose::split_list(&loose::plain(value))
}

fn plugin(row: &Map<String, Value>) -> Value {
    let mut of = json!({"type": row.get("type"), "has_data": row.get("data").is_some_and(|data| data != "")});
    if let Some(api) = row.get("api") {
        of["api"] = api.clone();
    }
    if let Some(nodes) = row.get("nodes") {
        of["nodes"] = json!(listed(nodes));
    }
    if let Some(delay) = row.get("validation-delay").and_then(loose::as_u64) {
        of["validation_delay"] = json!(delay);
    }
    if let Some(disable) = row.get("disable") {
        of["disable"] = json!(loose::plain(disable) == "1");
    }
    of
}

impl ProxmoxSource {
    pub(super) async fn node_config(&self, node: &NodeName) -> Result<NodeConfig, Failure> {
        let data = self.api(&format!("/nodes/{}/config", seg(node)), &[]).await?;
        let mut values: BTreeMap<String, String> =
            data.as_object().into_iter().flatten().map(|(key, value)| (key.clone(), loose::plain(value))).collect();
        Ok(NodeConfig { digest: values.remove("digest"), values })
    }

    pub(super) async fn certificates(&self, node: &NodeName) -> Result<BTreeMap<String, Certificate>, Failure> {
        let attempted = format!("read the certificates of {node}");
        let read = async {
            let answer = self.site.get(&format!("/nodes/{}/certificates/info", seg(node)), &[]).await?;
            let of = answer.each(|row| {
                let certificate = Certificate {
                    subject: row.text("subject")?,
                    issuer: row.text("issuer")?,
                    san: row.texts("san")?,
                    notbefore: row.int("notbefore")?,
                    notafter: row.int("notafter")?,
                    fingerprint: row.text("fingerprint")?,
                };
                Ok((row.text("filename")?, certificate))
            })?;
            Ok(of.into_iter().collect())
        };
        read.await.map_err(self.failed(attempted))
    }

    pub(super) async fn shown(&self, node: &NodeName) -> Result<Option<ShownCertificate>, Failure> {
        let Some(shown) = self.site.shown(node).await else { return Ok(None) };
        let attempted = format!("look at the certificate that {node} shows");
        let shown = shown.map_err(|e| Failure::new(Class::Unreachable, attempted, e.to_string()))?;
        Ok(Some(ShownCertificate {
            fingerprint: shown.fingerprint.to_string(),
            by: shown.by.to_owned(),
            trusted: shown.trusted,
            others: shown.others,
            host: shown.host,
        }))
    }

    pub(super) async fn acme_accounts(&self) -> Result<Value, Failure> {
        let data = self.api("/cluster/acme/account", &[]).await?;
        let rows = data.as_array().into_iter().flatten().filter_map(|row| row["name"].as_str());
        Ok(rows.map(|name| (name.to_owned(), json!({}))).collect())
    }

    pub(super) async fn acme_account(&self, name: &str) -> Result<Value, Failure> {
        let attempted = format!("read the ACME account {name}");
        let missing = |error: &ProxmoxError| match error {
            ProxmoxError::Parameter { errors, .. } => errors.values().any(|text| text.contains("does not exist")),
            error => error.is_not_found(),
        };
        let answer = match self.site.get(&format!("/cluster/acme/account/{}", seg(name)), &[]).await {
            Ok(answer) => answer.data,
            Err(error) if missing(&error) => return Ok(Value::Null),
            Err(error @ ProxmoxError::Forbidden { .. }) => {
                let we = self.we();
                let remedy = "log in as root@pam (credentials: user and password): Proxmox VE shows and changes ACME accounts to nobody else, its tokens included";
                return Err(
                    Failure::new(Class::Refused, attempted, format!("{we} is not root@pam: {error}")).remedy(remedy)
                );
            }
            Err(error) => return Err(self.failed(attempted)(error)),
        };
        let contact = answer["account"]["contact"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let contact: Vec<&str> = contact.map(|one| one.trim_start_matches("mailto:")).collect();
        Ok(json!({"contact": contact, "directory": answer["directory"]}))
    }

    pub(super) async fn acme_plugins(&self) -> Result<Value, Failure> {
        let data = self.api("/cluster/acme/plugins", &[]).await?;
        let rows = data.as_array().into_iter().flatten().filter_map(Value::as_object);
        Ok(rows.map(|row| (row.get("plugin").map(loose::plain).unwrap_or_default(), plugin(row))).collect())
    }
}
