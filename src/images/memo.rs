//! Answers that are kept for a while, bounded in number. Each is found out once, however many wait for it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

/// An answer and until when it counts; none while it is being found out for the first time.
type Kept<V> = Arc<Mutex<Option<(V, Instant)>>>;

/// Answers by what was asked.
pub struct Memo<K, V> {
    kept: StdMutex<HashMap<K, Kept<V>>>,
    answers_max: usize,
}

impl<K: Clone + Eq + Hash, V: Clone> Memo<K, V> {
    /// Keeps at most so many answers.
    pub fn new(answers_max: usize) -> Memo<K, V> {
        Memo { kept: StdMutex::default(), answers_max }
    }

    /// The answer that is kept, or else what is found out, with how long it counts.
    pub async fn get(&self, key: &K, find: impl Future<Output = (V, Duration)>) -> V {
        let slot = self.slot(key);
        let mut kept = slot.lock().await;
        if let Some((answer, until)) = &*kept
            && *until > Instant::now()
        {
            return answer.clone();
        }
        let (answer, lifetime) = find.await;
        *kept = Some((answer.clone(), Instant::now() + lifetime));
        answer
    }

    fn slot(&self, key: &K) -> Kept<V> {
        let mut all = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= self.answers_max && !all.contains_key(key) {
            let now = Instant::now();
            // Those that somebody waits for stay.
            all.retain(|_, slot| match slot.try_lock() {
                Ok(kept) => kept.as_ref().is_some_and(|(_, until)| *until > now),
                Err(_) => true,
            });
            if all.len() >= self.answers_max {
                // Whatever goes first is found out once more when it is asked for again.
                let first = all.keys().next().cloned();
                first.and_then(|first| all.remove(&first));
            }
        }
        Arc::clone(all.entry(key.clone()).or_default())
    }
}

impl<K, V> std::fmt::Debug for Memo<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Answers may be secret.
        f.debug_struct("Memo").field("answers_max", &self.answers_max).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test]
    async fn an_answer_is_found_out_once_and_kept_for_a_while() {
        let (memo, asked) = (Memo::new(2), AtomicUsize::new(0));
        let get = async |key: u8, lifetime: Duration| {
            let find = async {
                tokio::task::yield_now().await;
                (asked.fetch_add(1, Ordering::SeqCst), lifetime)
            };
            memo.get(&key, find).await
        };
        let minute = Duration::from_mins(1);
        assert_eq!(tokio::join!(get(1, minute), get(1, minute), get(1, minute)), (0, 0, 0));
        assert_eq!(get(2, Duration::ZERO).await, 1);
        assert_eq!(get(2, minute).await, 2, "it no longer counts");
        // A third takes the place of one of the two.
        assert_eq!(get(3, minute).await, 3);
        assert_eq!(memo.kept.lock().unwrap().len(), 2);
        assert_eq!(get(3, minute).await, 3);
    }
}
