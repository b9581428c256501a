//! Pools: sets of guests and storages with a name and a comment. Creating one is atomic for the whole cluster, which
//! makes a pool good for a lock.

use super::{Params, ProxmoxError, Site, Verb, phrases};

/// A pool without its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    pub id: String,
    pub comment: Option<String>,
}

/// What became of an attempt to create a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creation {
    Made,
    /// It was there already: nothing was changed.
    Exists,
}

impl Site {
    /// The pools that we may see (`Pool.Audit`): one that is not listed may still exist.
    pub async fn pools(&self) -> Result<Vec<Pool>, ProxmoxError> {
        let answer = self.get("/pools", &[]).await?;
        answer.each(|row| Ok(Pool { id: row.text("poolid")?, comment: row.opt_text("comment")? }))
    }

    /// The pool, or `None` where there is none of that name. Errors: refused where we may not see it.
    pub async fn pool(&self, id: &str) -> Result<Option<Pool>, ProxmoxError> {
        // Not `/pools/{id}`: that form is deprecated, and has no place for the pools of a pool.
        match self.get("/pools", &[("poolid", id)]).await {
            Ok(answer) => match answer.rows()?.first() {
                Some(row) => Ok(Some(Pool { id: id.to_owned(), comment: row.opt_text("comment")? })),
                None => Ok(None),
            },
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Creates it, unless it is there: of all who try, one is told `Made`.
    pub async fn create_pool(&self, id: &str, comment: &str) -> Result<Creation, ProxmoxError> {
        let params = Params::new().set("poolid", id).set("comment", comment);
        match self.change(Verb::Post, "/pools", &params).await {
            Ok(_) => Ok(Creation::Made),
            Err(ProxmoxError::Server { message, .. }) if phrases::pool_exists(&message) => Ok(Creation::Exists),
            Err(error) => Err(error),
        }
    }

    /// Sets its comment.
    pub async fn set_pool_comment(&self, id: &str, comment: &str) -> Result<(), ProxmoxError> {
        let params = Params::new().set("poolid", id).set("comment", comment);
        self.change(Verb::Put, "/pools", &params).await.map(drop)
    }

    /// Deletes it, which Proxmox refuses where it has members; its entries in the access control list go with it.
    /// `false`: there was none.
    pub async fn delete_pool(&self, id: &str) -> Result<bool, ProxmoxError> {
        match self.change(Verb::Delete, "/pools", &Params::new().set("poolid", id)).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }
}
