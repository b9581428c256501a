//! The World's source of what is in the stores of secrets: which token, never its secret.
//!
//! | key | value |
//! |---|---|
//! | `secret/REFERENCE` | `{token, whole}`: a token's id, and whether its secret is with it; `{}` for anything else, null for nothing |
//! | `secret/REFERENCE/permissions` | what that token may do here, map of ACL path to `{privilege: propagates}`, asked with it |

use async_trait::async_trait;
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
            ["secret", reference, "permissions"] => self.permissions(&plain_seg(reference)).await,
            _ => Err(Failure::new(Class::Internal, format!("read {resource}"), "it is no resource")),
        }
    }
}
