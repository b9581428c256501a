//! The workers of one node: three of pveproxy and three of pvedaemon, each busy with one call at a time.

use tokio::sync::{Semaphore, SemaphorePermit};

/// Two queues, first come, first served.
#[derive(Debug)]
pub(super) struct Workers {
    proxy: Semaphore,
    daemon: Semaphore,
}

/// A worker of the proxy and, for a protected call, one of the daemon; free again when dropped.
pub(super) struct Busy<'a> {
    _proxy: SemaphorePermit<'a>,
    _daemon: Option<SemaphorePermit<'a>>,
}

impl Workers {
    pub(super) fn new(each: usize) -> Self {
        Self { proxy: Semaphore::new(each.max(1)), daemon: Semaphore::new(each.max(1)) }
    }

    pub(super) async fn take(&self, protected: bool) -> Busy<'_> {
        let never_closed = "these semaphores are never closed";
        let proxy = self.proxy.acquire().await.expect(never_closed);
        let daemon = if protected { Some(self.daemon.acquire().await.expect(never_closed)) } else { None };
        Busy { _proxy: proxy, _daemon: daemon }
    }
}
