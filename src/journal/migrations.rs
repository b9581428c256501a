//! The shape of the journal, version by version. A released migration is never edited: a new one is added below it.

/// `MIGRATIONS[n]` leads from version n to version n + 1 (`PRAGMA user_version`).
pub(super) const MIGRATIONS: &[&str] = &[
    // 1. `events` and `head` in `runs` say how long a run's chain must be: a chain alone cannot tell that its end was cut off.
    "CREATE TABLE runs (
        id TEXT PRIMARY KEY NOT NULL,
        runbook TEXT NOT NULL,
        site TEXT NOT NULL,
        cluster TEXT,
        created INTEGER NOT NULL,
        updated INTEGER NOT NULL,
        status TEXT NOT NULL,
        plan_hash TEXT NOT NULL,
        actor TEXT NOT NULL,
        format INTEGER NOT NULL,
        owner_epoch INTEGER NOT NULL,
        host TEXT NOT NULL,
        pid INTEGER NOT NULL,
        owned_since INTEGER NOT NULL,
        events INTEGER NOT NULL,
        head BLOB NOT NULL
     ) STRICT;
     CREATE INDEX runs_by_creation ON runs (created);
     CREATE TABLE events (
        run TEXT NOT NULL REFERENCES runs (id),
        seq INTEGER NOT NULL,
        at INTEGER NOT NULL,
        actor TEXT NOT NULL,
        path TEXT,
        attempt INTEGER NOT NULL,
        kind TEXT NOT NULL,
        payload TEXT NOT NULL,
        hash BLOB NOT NULL,
        PRIMARY KEY (run, seq)
     ) STRICT;
     CREATE TABLE locks (
        name TEXT PRIMARY KEY NOT NULL,
        run TEXT NOT NULL,
        since INTEGER NOT NULL,
        holder TEXT NOT NULL
     ) STRICT;",
    // 2. What is said to runs and done outside of them. New tables only: a process of the version before, which is in
    // the middle of a run, goes on with it undisturbed.
    "CREATE TABLE requests (
        id INTEGER PRIMARY KEY,
        run TEXT NOT NULL,
        key TEXT NOT NULL UNIQUE,
        at INTEGER NOT NULL,
        actor TEXT NOT NULL,
        body TEXT NOT NULL,
        taken_at INTEGER
     ) STRICT;
     CREATE INDEX requests_pending ON requests (run, id) WHERE taken_at IS NULL;
     CREATE TABLE freezes (
        site TEXT PRIMARY KEY NOT NULL,
        since INTEGER NOT NULL,
        actor TEXT NOT NULL,
        reason TEXT NOT NULL
     ) STRICT;
     -- AUTOINCREMENT remembers the last number that was given, so that a cut-off end shows.
     CREATE TABLE audit (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        at INTEGER NOT NULL,
        actor TEXT NOT NULL,
        kind TEXT NOT NULL,
        subject TEXT NOT NULL,
        detail TEXT NOT NULL,
        hash BLOB NOT NULL
     ) STRICT;
     -- Runs that this journal shows and does not go on with: another one has them.
     CREATE TABLE elsewhere (
        run TEXT PRIMARY KEY NOT NULL,
        at INTEGER NOT NULL,
        actor TEXT NOT NULL,
        copied INTEGER NOT NULL
     ) STRICT;
     -- Locks that were taken from a run which believes to have them: it must get them back before it goes on.
     CREATE TABLE surrendered (
        run TEXT NOT NULL,
        name TEXT NOT NULL,
        since INTEGER NOT NULL,
        holder TEXT NOT NULL,
        at INTEGER NOT NULL,
        actor TEXT NOT NULL,
        reason TEXT NOT NULL,
        PRIMARY KEY (run, name)
     ) STRICT;
     CREATE INDEX events_of_people ON events (at)
        WHERE kind IN ('approved', 'declined', 'decided', 'signalled', 'driver_restarted');",
    // A watch says from which event on a receiver is told of a run; its letters are then made from the facts themselves,
    // so that none is lost between a fact and its letter. `target` is a digest: an address may be a secret.
    "CREATE TABLE watches (
        run TEXT NOT NULL,
        target TEXT NOT NULL,
        after INTEGER NOT NULL,
        PRIMARY KEY (run, target)
     ) STRICT;
     CREATE TABLE outbox (
        run TEXT NOT NULL,
        seq INTEGER NOT NULL,
        target TEXT NOT NULL,
        label TEXT NOT NULL,
        moment TEXT NOT NULL,
        at INTEGER NOT NULL,
        state TEXT NOT NULL,
        tries INTEGER NOT NULL,
        due INTEGER NOT NULL,
        why TEXT,
        PRIMARY KEY (run, seq, target)
     ) STRICT;
     CREATE INDEX outbox_by_state ON outbox (state, at);",
    // What may be run by a timer without anybody's yes: exactly this runbook with exactly these parameters.
    "CREATE TABLE schedules (
        name TEXT PRIMARY KEY NOT NULL,
        since INTEGER NOT NULL,
        actor TEXT NOT NULL,
        body TEXT NOT NULL
     ) STRICT;",
];

/// The version that this binary writes.
pub(super) const VERSION: u32 = MIGRATIONS.len() as u32;
