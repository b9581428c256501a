//! The same read of many things, a bounded number at once.

use std::future::Future;

use tokio::task::JoinSet;

use crate::model::failure::{Class, Failure};

/// Reads at once for the whole site; the client bounds them further for each node.
const WIDTH: usize = 8;

/// `read` of each item, in the items' order. The first failure ends it; the reads still under way are dropped.
pub(super) async fn each<I, T, F, R>(items: Vec<I>, read: F) -> Result<Vec<T>, Failure>
where
    F: Fn(I) -> R,
    R: Future<Output = Result<T, Failure>> + Send + 'static,
    T: Send + 'static,
{
    let mut running: JoinSet<(usize, Result<T, Failure>)> = JoinSet::new();
    let mut results: Vec<Option<T>> = items.iter().map(|_| None).collect();
    let mut waiting = items.into_iter().enumerate();
    loop {
        while running.len() < WIDTH {
            let Some((place, item)) = waiting.next() else { break };
            let reading = read(item);
            running.spawn(async move { (place, reading.await) });
        }
        match running.join_next().await {
            None => break,
            Some(Ok((place, result))) => results[place] = Some(result?),
            Some(Err(error)) => return Err(Failure::new(Class::Internal, "read in parallel", error.to_string())),
        }
    }
    Ok(results.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn results_come_in_the_items_order() {
        let read = |n: u64| async move {
            tokio::time::sleep(std::time::Duration::from_millis(100 - n)).await;
            Ok(n * 2)
        };
        assert_eq!(each((0..30).collect(), read).await.unwrap(), (0..30).map(|n| n * 2).collect::<Vec<u64>>());
    }

    #[tokio::test]
    async fn the_first_failure_ends_it() {
        let read =
            |n: u64| async move { if n == 3 { Err(Failure::new(Class::Unreachable, "read", "down")) } else { Ok(n) } };
        assert_eq!(each((0..9).collect(), read).await.unwrap_err().class, Class::Unreachable);
    }
}
