//! The World's source of what is in the stores of secrets: which token, never its secret.
//!
//! | key | value |
//! |---|---|
//! | `secret/REFERENCE` | `{token, whole}`: a token's id, and whether its secret is with it; `{}` for anything else, null for nothing |
//! | `secret/REFERENCE/acme/ID` | what is there as the data of that ACME plugin: `{names: [name], same}`, `same` where the site has it so |
//! | `secret/REFERENCE/permissions` | what that token may do here, map of ACL path to `{privilege: propagates}`, asked with it |

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use crate::actions::proxmox::failures;
use crate::clients::keeper::{Keeper, Kept};
use crate::clients::proxmox::{Site, plain_seg, seg};
use crate::engine::ports::Source;
use crate::model::failure::{Class, Failure};
use crate::model::ids::ResourceKey;

pub(super) fn key(reference: &str) -> ResourceKey {
    ResourceKey::new(format!("secret/{}", seg(reference)))
}

pub(super) fn permissions_key(reference: &str) -> ResourceKey {
    ResourceKey::new(format!("secret/{}/permissions", seg(reference)))
}

pub(in crate::actions::proxmox) fn acme_key(reference: &str, plugin: &str) -> ResourceKey {
    ResourceKey::new(format!("secret/{}/acme/{}", seg(reference), seg(plugin)))
}

/// Lines of `NAME=VALUE`, however they end; else which line is none.
pub(in crate::actions::proxmox) fn plugin_data(text: &SecretString) -> Result<(Vec<String>, SecretString), String> {
    let lines = text.expose_secret().lines().map(str::trim);
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let name = |(place, line): (usize, &&str)| {
        let name = line.split_once('=').map(|(name, _)| name.trim()).filter(|name| !name.is_empty());
        name.map(str::to_owned).ok_or_else(|| format!("line {} is no NAME=VALUE", place + 1))
    };
    let names = lines.iter().enumerate().map(name).collect::<Result<Vec<_>, _>>()?;
    if names.is_empty() {
        return Err("it has no line of NAME=VALUE".into());
    }
    Ok((names, lines.join("\n").into()))
}

/// The server shows the text that was sent in base64; what could be base64 itself is taken for either.
fn is_same(shown: &str, wanted: &SecretString) -> bool {
    let same = |text: &str| {
        plugin_data(&text.to_owned().into()).is_ok_and(|(_, data)| data.expose_secret() == wanted.expose_secret())
    };
    let decoded = STANDARD.decode(shown.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    same(shown) || decoded.is_some_and(|text| same(&text))
}

/// The source.
pub struct SecretSource {
    keeper: Keeper,
    site: Option<Site>,
}

impl SecretSource {
    pub fn new(keeper: Keeper, site: Option<Site>) -> Self {
        Self { keeper, site }
    }

    async fn kept(&self, reference: &str) -> Result<Value, String> {
        Ok(match self.keeper.kept(reference).await? {
            Kept::Nothing => Value::Null,
            Kept::Other => json!({}),
            Kept::Token { id, whole } => json!({"token": id, "whole": whole}),
        })
    }

    async fn acme(&self, reference: &str, plugin: &str) -> Result<Value, Failure> {
        let attempted = format!("compare {reference} with the data of ACME plugin {plugin}");
        let failed = |cause: String| Failure::new(Class::Precondition, attempted.clone(), cause);
        let site = self.site.as_ref().ok_or_else(|| failed("there is no site".into()))?;
        let text = self.keeper.text(reference).await.map_err(failed)?;
        let (names, wanted) = plugin_data(&text).map_err(|why| failed(format!("{reference}: {why}")))?;
        let shown = site.get("/cluster/acme/plugins", &[]).await;
        let shown = shown.map_err(|e| failures::proxmox(&failures::we(site), attempted.clone(), &e))?;
        let rows = shown.data.as_array().into_iter().flatten();
        let data = rows.filter(|row| row["plugin"] == plugin).find_map(|row| row["data"].as_str());
        Ok(json!({"names": names, "same": data.is_some_and(|data| is_same(data, &wanted))}))
    }

    async fn permissions(&self, reference: &str) -> Result<Value, Failure> {
        let attempted = format!("log in with the token of {reference}");
        let failed = |cause: String| Failure::new(Class::Precondition, attempted.clone(), cause);
        let site = self.site.as_ref().ok_or_else(|| failed("there is no site to log in to".into()))?;
        let (id, secret) = self.keeper.token(reference).await.map_err(failed)?;
        let site = site.with_token(&id, &secret).map_err(|e| failed(e.to_string()))?;
        let rights = site.permissions(None).await;
        let rights = rights.map_err(|e| failures::proxmox(&failures::we(&site), attempted.clone(), &e))?;
        serde_json::to_value(rights.paths).map_err(|e| failed(e.to_string()))
    }
}

#[async_trait]
impl Source for SecretSource {
    async fn fetch(&self, resource: &ResourceKey) -> Result<Value, Failure> {
        let words: Vec<&str> = resource.as_str().split('/').collect();
        match words[..] {
            ["secret", reference] => {
                let reference = plain_seg(reference);
                let failed = |cause| Failure::new(Class::Precondition, format!("look for {reference}"), cause);
                self.kept(&reference).await.map_err(failed)
            }
            ["secret", reference, "acme", plugin] => self.acme(&plain_seg(reference), &plain_seg(plugin)).await,
            ["secret", reference, "permissions"] => self.permissions(&plain_seg(reference)).await,
            _ => Err(Failure::new(Class::Internal, format!("read {resource}"), "it is no resource")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_lines_of_names_and_values_and_no_line_is_told() {
        let of = |text: &str| plugin_data(&text.to_owned().into());
        let (names, data) = of("# Cloudflare\nCF_Token=a=b\r\n\n CF_Zone_ID=c \n").unwrap();
        assert_eq!(
            (names, data.expose_secret()),
            (vec!["CF_Token".into(), "CF_Zone_ID".into()], "CF_Token=a=b\nCF_Zone_ID=c")
        );
        let wrong = of("CF_Token=a\nhunter2").unwrap_err();
        assert_eq!(wrong, "line 2 is no NAME=VALUE");
        assert!(of("\n").is_err());
    }

    #[test]
    fn data_is_compared_as_it_is_shown_and_as_it_was_sent() {
        let wanted: SecretString = "A=1\nB=2".to_owned().into();
        assert!(is_same("A=1\nB=2\n", &wanted) && is_same(&STANDARD.encode("A=1\nB=2"), &wanted));
        assert!(!is_same("A=1", &wanted) && !is_same("", &wanted));
    }
}
