//! World time out of real time, times a factor, and the task that lets the world's own events happen.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::core::Core;

/// World time runs `scale` times as fast as tokio's (which tests can pause).
#[derive(Debug)]
pub(super) struct WorldClock {
    started: Instant,
    world_start_ms: u64,
    scale: f64,
}

impl WorldClock {
    pub(super) fn new(world_start_ms: u64, scale: f64) -> Self {
        Self { started: Instant::now(), world_start_ms, scale }
    }

    /// World time in milliseconds since 1970.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    pub(super) fn now_ms(&self) -> u64 {
        self.world_start_ms + (self.started.elapsed().as_secs_f64() * 1000.0 * self.scale) as u64
    }

    /// Seconds since 1970 that do not scale: tickets live by the client's clock.
    pub(super) fn real_s(&self) -> i64 {
        i64::try_from(self.world_start_ms / 1000 + self.started.elapsed().as_secs()).unwrap_or(i64::MAX)
    }

    /// How long this much world time takes.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn real_duration(&self, world_ms: u64) -> Duration {
        Duration::from_secs_f64((world_ms as f64 / 1000.0 / self.scale).min(1e9))
    }

    /// When world time will be `ms`; never less than a millisecond away, so that a world which names an event of the
    /// past cannot spin the scheduler.
    fn instant_of(&self, ms: u64) -> Instant {
        let due = self.started + self.real_duration(ms.saturating_sub(self.world_start_ms));
        due.max(Instant::now() + Duration::from_millis(1))
    }
}

/// Sleeps until the world's next event and lets it happen; woken when a request may have brought it forward.
pub(super) async fn run_scheduler(core: Arc<Core>) {
    loop {
        let next = core.peek_next_event();
        let woken = core.wake.notified();
        match next {
            Some(ms) => tokio::select! {
                () = tokio::time::sleep_until(core.clock.instant_of(ms)) => core.advance(),
                () = woken => {}
            },
            None => woken.await,
        }
    }
}
