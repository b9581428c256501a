//! The lock of a site: of this machine's journal, and, where the token may, of the Proxmox cluster itself, so that it
//! holds for every controller. Creating a pool is atomic there; the lock is a pool of a reserved name, and its comment
//! says whose it is.

mod mark;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use async_trait::async_trait;

use self::mark::Mark;
use super::error::{AppError, Exit};
use super::open::OpenSite;
use super::settings::Settings;
use crate::actions;
use crate::clients::Class;
use crate::clients::proxmox::{Creation, Poll, Pool, ProxmoxError, Site};
use crate::engine::ports::{JournalError, Locks};
use crate::event::{Event, Fact};
use crate::journal::{Store, StoreLocks};
use crate::model::ids::RunId;
use crate::sys::clock;

/// The reserved pool. There is one for a whole Proxmox cluster, whatever configurations call the site.
pub const POOL: &str = "runbook-lock";
/// Its path in Proxmox's access control lists.
pub const ACL_PATH: &str = "/pool/runbook-lock";
/// What the token needs on that path.
pub const PRIVILEGES: [&str; 2] = ["Pool.Allocate", "Pool.Audit"];

/// How often one acquisition or release looks again before it gives up, and how long it waits in between. What
/// Proxmox took late shows by then: it holds a worker for 30 s at most, and a client's own wait is part of each try.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(400);

/// How old the last sight of the run's own pool may be when a change is released, in looks at a task: 10 s.
const LOOK_EVERY: u32 = 5;
/// How long such a look may take.
const LOOK_PATIENCE: Duration = Duration::from_secs(5);

/// How far a lock of this site reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// Every controller of the cluster.
    Site,
    /// This host: a sentence that says why.
    Host(String),
}

/// How far a lock that we take would reach; changes nothing.
///
/// # Errors
/// Our privileges cannot be read.
pub async fn reach(site: &Site) -> Result<Reach, AppError> {
    let held = site.permissions(Some(ACL_PATH)).await;
    let held = held.map_err(|e| AppError::from(actions::proxmox::failure(site, "read our own privileges", &e)))?;
    let missing: Vec<&str> = PRIVILEGES.into_iter().filter(|privilege| !held.may(ACL_PATH, privilege)).collect();
    Ok(if missing.is_empty() { Reach::Site } else { Reach::Host(host_only(site, &missing)) })
}

fn host_only(site: &Site, missing: &[&str]) -> String {
    let we = if site.user().contains('!') { "token" } else { "user" };
    let not = if missing.contains(&"Pool.Allocate") { "create" } else { "see" };
    format!("locked on this host only: the {we} may not {not} pools ({} on {ACL_PATH})", missing.join(", "))
}

/// The commands that give the right, for a person to copy. Not on the pool's own path: Proxmox takes the entries of a
/// pool away when the pool is deleted, which is what releasing the lock does.
pub fn grant(site: &Site) -> String {
    grant_of(site, "RunbookLock", &PRIVILEGES.join(" "), "/pool")
}

/// The same for any privileges (with spaces between them), as a role of that name on a path. A token has no more than its
/// user, so both get it.
pub fn grant_of(site: &Site, role: &str, privileges: &str, path: &str) -> String {
    let user = site.user();
    let (owner, token) = (user.split('!').next().unwrap_or(user), user.contains('!'));
    let tokens = if token { format!(" --tokens '{user}'") } else { String::new() };
    format!(
        "pveum role add {role} --privs '{privileges}'; pveum acl modify {path} --users '{owner}'{tokens} --roles {role}"
    )
}

/// The locks that a run of this site takes.
///
/// # Errors
/// The journal cannot be read.
pub fn locks(settings: &Settings, site: &OpenSite, store: &Arc<Store>) -> Result<Arc<SiteLocks>, AppError> {
    Ok(Arc::new(SiteLocks {
        local: store.locks()?,
        store: store.clone(),
        site: site.proxmox.clone(),
        name: format!("site/{}", site.config.site.cluster.name),
        actor: settings.actor.clone(),
        notes: Mutex::default(),
        seen: Mutex::default(),
        look_every: settings.poll.unwrap_or(Poll::default().most) * LOOK_EVERY,
    }))
}

/// Who holds the lock at the site itself, as a person reads it; `None` where it is free.
///
/// # Errors
/// The site cannot be asked, or does not let us see its pools.
pub async fn holder(site: &OpenSite) -> Result<Option<String>, AppError> {
    let Some(proxmox) = &site.proxmox else { return Ok(None) };
    let pool = proxmox.pool(POOL).await.map_err(|e| failed(proxmox, "see who holds the site's lock", &e))?;
    Ok(pool.map(|pool| mark::in_words(&pool)))
}

/// Takes the lock away from whoever holds it at the site: who that was, or `None` where it was free. The reason is
/// for whoever keeps a record of it: Proxmox has no place for one.
///
/// # Errors
/// No reason is given, or the site refuses.
pub async fn break_(site: &OpenSite, reason: &str) -> Result<Option<String>, AppError> {
    if reason.trim().is_empty() {
        return Err(AppError::new(Exit::Usage, "lock::reason", "a lock is broken with a reason")
            .hint("say why it is certain that its run does nothing any more: --reason 'host is gone'"));
    }
    let (Some(held), Some(proxmox)) = (holder(site).await?, &site.proxmox) else { return Ok(None) };
    proxmox.delete_pool(POOL).await.map_err(|e| failed(proxmox, "break the site's lock", &e))?;
    Ok(Some(held))
}

fn failed(site: &Site, attempted: &str, error: &ProxmoxError) -> AppError {
    actions::proxmox::failure(site, attempted, error).into()
}

/// The local lock first, then the site's.
pub struct SiteLocks {
    local: StoreLocks,
    store: Arc<Store>,
    /// Absent where a run has to do with this machine alone.
    site: Option<Arc<Site>>,
    /// `site/NAME`: the one lock that the site itself can hold.
    name: String,
    actor: String,
    notes: Mutex<Vec<String>>,
    /// When the run's own pool was last seen; never where the site has none of it.
    seen: Mutex<Option<Instant>>,
    look_every: Duration,
}

/// What became of an attempt to take the site's lock.
enum Taken {
    /// It was this run's already.
    Had,
    Made,
    /// Another's, as a person reads it.
    Others(String),
    /// Not to be had with our rights: the sentence that says so.
    HostOnly(String),
}

impl SiteLocks {
    fn note(&self, line: String) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    fn saw_it(&self) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// What has become of the run's pool since it was last seen; nothing where it was seen just now, or never was ours.
    async fn pool_lost(&self, site: &Site, run: &RunId) -> Option<String> {
        let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen?.elapsed() < self.look_every {
            return None;
        }
        // A site that does not answer in time says nothing; the change itself will meet it.
        let pool = tokio::time::timeout(LOOK_PATIENCE, site.pool(POOL)).await.ok()?.ok()?;
        match pool {
            Some(pool) if Mark::of(&pool).is_some_and(|mark| mark.run == *run) => {
                self.saw_it();
                None
            }
            Some(pool) => Some(format!("it is another's now: {}", mark::in_words(&pool))),
            None => Some(format!("the pool {POOL} is gone from the site: somebody has broken the lock")),
        }
    }

    /// Who else holds the lock, here or at the site; `None` where it is free or left behind by a run that is over.
    ///
    /// # Errors
    /// The journal cannot be read. A site that does not say is taken for free: acquiring finds out.
    pub async fn holder(&self) -> Result<Option<String>, AppError> {
        if let Some(holder) = self.local.holder(&self.name)? {
            return Ok(Some(holder));
        }
        let Some(site) = &self.site else { return Ok(None) };
        match site.pool(POOL).await {
            Ok(Some(pool)) if self.over(&pool).is_none() => Ok(Some(self.refusal(&pool))),
            _ => Ok(None),
        }
    }

    /// Makes sure that a run which had the lock when it was left still has it, or has it again.
    ///
    /// # Errors
    /// Another run has it now, or the site cannot be asked.
    pub async fn hold_again(&self, run: &RunId, events: &[Event]) -> Result<(), AppError> {
        let last = events.iter().filter_map(Event::fact).rfind(|fact| {
            matches!(fact, Fact::LockGranted | Fact::LockRefused { .. } | Fact::LockReleased | Fact::LockLost { .. })
        });
        if !matches!(last, Some(Fact::LockGranted | Fact::LockLost { .. })) {
            return Ok(());
        }
        let broken = self.local.holder(&self.name)?.is_none();
        if broken {
            self.note(format!("the lock {} was broken on this host; it is taken again", self.name));
        }
        match self.take_both(&self.name, run, true).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(holder)) => {
                let message = format!("run {run} has lost the lock of the site, which is now another's: {holder}");
                Err(AppError::new(Exit::Locked, "run::locked", message)
                    .hint(format!("nothing was changed; when that run is over: `runbook resume {run}`")))
            }
            Err(JournalError::Lock(why)) => Err(unreachable(run, &why)),
            Err(error) => Err(AppError::new(Exit::Failed, "journal::failed", error.to_string())),
        }
    }

    async fn take_both(&self, name: &str, run: &RunId, had: bool) -> Result<Result<(), String>, JournalError> {
        if let Err(holder) = self.local.acquire(name, run).await? {
            return Ok(Err(holder));
        }
        let Some(site) = self.site.as_deref().filter(|_| name == self.name) else { return Ok(Ok(())) };
        let refused = match self.take(site, run).await {
            Ok(Taken::Others(holder)) => Ok(Err(holder)),
            Ok(Taken::HostOnly(why)) => {
                self.note(why);
                return Ok(Ok(()));
            }
            Ok(Taken::Had) => {
                self.saw_it();
                self.note(format!("the lock of the site is this run's (pool {POOL}): it goes on with it"));
                return Ok(Ok(()));
            }
            Ok(Taken::Made) => {
                self.saw_it();
                if had {
                    self.note(format!("somebody has broken the lock of the site (pool {POOL}); it is taken again"));
                }
                return Ok(Ok(()));
            }
            Err(error) => Err(JournalError::Lock(format!("take the lock of the site (pool {POOL}): {error}"))),
        };
        // A run that was left with its lock keeps what it has on this host.
        if !had {
            self.local.release(name, run).await?;
        }
        refused
    }

    /// Creates the pool, unless it is there. An answer that was lost is made good by looking whose it is.
    async fn take(&self, site: &Site, run: &RunId) -> Result<Taken, ProxmoxError> {
        let may = site.permissions(Some(ACL_PATH)).await?;
        let missing: Vec<&str> = PRIVILEGES.into_iter().filter(|privilege| !may.may(ACL_PATH, privilege)).collect();
        if missing.contains(&"Pool.Audit") {
            return Ok(Taken::HostOnly(host_only(site, &missing)));
        }
        let mut sent = None;
        for attempt in 0..TRIES {
            if attempt > 0 {
                tokio::time::sleep(PAUSE).await;
            }
            if let Some(pool) = site.pool(POOL).await? {
                match self.of_run(&pool, run) {
                    Some(taken) if sent.is_some() && matches!(taken, Taken::Had) => return Ok(Taken::Made),
                    Some(taken) => return Ok(taken),
                    None if missing.is_empty() => self.remove_left_behind(site, &pool).await?,
                    None => {}
                }
            }
            if !missing.is_empty() {
                // It was looked at all the same: another's lock is honoured by whoever can see it.
                return Ok(Taken::HostOnly(host_only(site, &missing)));
            }
            match site.create_pool(POOL, &self.mark(run).comment()).await {
                Ok(Creation::Made) => return Ok(Taken::Made),
                // The next look says whose.
                Ok(Creation::Exists) => {}
                Err(ProxmoxError::Forbidden { .. }) => {
                    return Ok(Taken::HostOnly(host_only(site, &["Pool.Allocate"])));
                }
                Err(error) if error.outcome_unknown() || passes(&error) => sent = Some(error),
                Err(error) => return Err(error),
            }
        }
        match (sent, site.pool(POOL).await?) {
            (_, Some(pool)) => Ok(self.of_run(&pool, run).unwrap_or_else(|| Taken::Others(self.refusal(&pool)))),
            (Some(error), None) => Err(error),
            (None, None) => Ok(Taken::Others(format!("others take and leave the pool {POOL} all the time"))),
        }
    }

    /// What a pool that is there means for a run; `None` where it was left behind.
    fn of_run(&self, pool: &Pool, run: &RunId) -> Option<Taken> {
        match Mark::of(pool) {
            Some(mark) if mark.run == *run => Some(Taken::Had),
            _ if self.over(pool).is_some() => None,
            _ => Some(Taken::Others(self.refusal(pool))),
        }
    }

    /// Why a pool was left behind: its run is in this journal and over. Nothing is known of the runs of others.
    fn over(&self, pool: &Pool) -> Option<String> {
        let header = self.store.find(Mark::of(pool)?.run.as_str()).ok()?;
        header.status.is_final().then(|| {
            format!("run {} ({}) is over: {}", self.store.short_id(&header.id), header.runbook, header.state())
        })
    }

    /// The local lock is ours: nobody else on this host does the same now.
    async fn remove_left_behind(&self, site: &Site, pool: &Pool) -> Result<(), ProxmoxError> {
        let why = self.over(pool).unwrap_or_default();
        match site.delete_pool(POOL).await {
            Ok(_) => self.note(format!("the lock of the site (pool {POOL}) was left behind and is taken over: {why}")),
            Err(error) if error.outcome_unknown() || passes(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn refusal(&self, pool: &Pool) -> String {
        let there = match Mark::of(pool) {
            Some(mark) => {
                let host = mark.holder.rsplit('@').next().unwrap_or_default().to_owned();
                format!("go on with it there, on {host} (`runbook resume {}`)", mark.run)
            }
            None => format!("ask there, and delete the pool {POOL} when it is done"),
        };
        format!(
            "{}: {there}, or, when it is certain that nothing of it goes on, `runbook lock break {} --reason …`",
            mark::in_words(pool),
            self.name
        )
    }

    fn mark(&self, run: &RunId) -> Mark {
        let header = self.store.find(run.as_str()).ok();
        Mark {
            run: run.clone(),
            runbook: header.as_ref().map(|header| header.runbook.clone()).unwrap_or_default(),
            holder: self.actor.clone(),
            pid: std::process::id(),
            since: clock::rfc3339(clock::now_ms()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// Deletes the pool if it is this run's. It is looked at again after each answer that was lost.
    async fn leave(&self, site: &Site, run: &RunId) -> Result<(), ProxmoxError> {
        let mut lost = None;
        for attempt in 0..TRIES {
            if attempt > 0 {
                tokio::time::sleep(PAUSE).await;
            }
            match site.pool(POOL).await {
                Ok(Some(pool)) if Mark::of(&pool).is_some_and(|mark| mark.run == *run) => {}
                Ok(_) => return Ok(()),
                // A token that may not see pools has none.
                Err(ProxmoxError::Forbidden { .. }) => return Ok(()),
                Err(error) if passes(&error) => {
                    lost = Some(error);
                    continue;
                }
                Err(error) => return Err(error),
            }
            match site.delete_pool(POOL).await {
                Ok(_) => return Ok(()),
                Err(error) if error.outcome_unknown() || passes(&error) => lost = Some(error),
                Err(error) => return Err(error),
            }
        }
        lost.map_or(Ok(()), Err)
    }
}

/// Whether asking again may help.
fn passes(error: &ProxmoxError) -> bool {
    matches!(error.class(), Class::Transient | Class::Timeout | Class::Unreachable | Class::Locked)
}

/// The run stands before its first step and can go on from there.
pub fn unreachable(run: &RunId, why: &str) -> AppError {
    AppError::new(Exit::Unreachable, "run::lock_unreachable", format!("run {run}: {why}; nothing more was begun"))
        .hint(format!("when the site answers again: `runbook resume {run}`"))
}

#[async_trait]
impl Locks for SiteLocks {
    async fn acquire(&self, name: &str, run: &RunId) -> Result<Result<(), String>, JournalError> {
        self.take_both(name, run, false).await
    }

    /// A pool that cannot be deleted is left behind with a note: the run itself is over.
    async fn release(&self, name: &str, run: &RunId) -> Result<(), JournalError> {
        if let Some(site) = self.site.as_deref().filter(|_| name == self.name)
            && let Err(error) = self.leave(site, run).await
        {
            self.note(format!(
                "the lock of the site could not be given back: {error}; nothing of this run goes on, so take it away: \
                 `runbook lock break {name} --reason 'run {run} is over'`, or delete the pool {POOL}"
            ));
        }
        self.local.release(name, run).await
    }

    async fn lost(&self, name: &str, run: &RunId) -> Result<Option<String>, JournalError> {
        if let Some(why) = self.local.lost(name, run).await? {
            return Ok(Some(why));
        }
        match self.site.as_deref().filter(|_| name == self.name) {
            Some(site) => Ok(self.pool_lost(site, run).await),
            None => Ok(None),
        }
    }

    fn take_notes(&self) -> Vec<String> {
        let mut notes = self.local.take_notes();
        notes.append(&mut self.notes.lock().unwrap_or_else(PoisonError::into_inner));
        notes
    }
}
