//! Whether the own issuer knows an id: users and projects of another site must be nobody here. It is asked by the
//! credential of the service that has one checked.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So long an answer counts.
const COUNTS: Duration = Duration::from_secs(60);
/// Answers at most.
const MOST: usize = 4096;
/// Bytes of an id.
const LONGEST: usize = 255;

/// As many paths are asked for at once.
const TURNS: usize = 16;

/// The answers of the last minute, by the path that was asked for. Only those that are sure.
#[derive(Debug, Default)]
pub(super) struct Ids {
    answers: Mutex<HashMap<String, (bool, Instant)>>,
    turns: [tokio::sync::Mutex<()>; TURNS],
    hasher: RandomState,
}

impl Ids {
    /// Waits until nobody asks for this path: whoever did has left an answer.
    pub(super) async fn turn(&self, path: &str) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        let number = self.hasher.hash_one(path) % TURNS as u64;
        let turn = self.turns.get(usize::try_from(number).unwrap_or_default())?;
        Some(turn.lock().await)
    }

    /// Whether the id is known, as far as it was asked for a moment ago.
    pub(super) fn known(&self, path: &str) -> Option<bool> {
        let table = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        table.get(path).filter(|(_, since)| since.elapsed() < COUNTS).map(|(known, _)| *known)
    }

    pub(super) fn keep(&self, path: &str, known: bool) {
        let mut table = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if table.len() >= MOST {
            table.retain(|_, (_, since)| since.elapsed() < COUNTS);
        }
        if table.len() >= MOST {
            table.clear();
        }
        table.insert(path.to_owned(), (known, Instant::now()));
    }
}

/// The path at which an id is looked up. None if it could be read as another path.
pub(super) fn path(pattern: &str, id: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let fits = !id.is_empty() && id.len() <= LONGEST && id.bytes().all(plain) && !id.bytes().all(|byte| byte == b'.');
    fits.then(|| pattern.replace("{id}", id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_one_segment_of_a_path() {
        assert_eq!(path("/v3/users/{id}", "a-1_b.c~").as_deref(), Some("/v3/users/a-1_b.c~"));
        let long = "x".repeat(LONGEST + 1);
        for bad in ["", ".", "..", "a/b", "a?b", "a b", "a%2fb", "a\r\nb", "é", long.as_str()] {
            assert_eq!(path("/v3/users/{id}", bad), None, "{bad}");
        }
    }

    #[test]
    fn answers_are_kept_and_bounded() {
        let ids = Ids::default();
        assert_eq!(ids.known("/v3/users/a"), None);
        ids.keep("/v3/users/a", false);
        ids.keep("/v3/users/b", true);
        assert_eq!((ids.known("/v3/users/a"), ids.known("/v3/users/b")), (Some(false), Some(true)));
        (0..=MOST).for_each(|number| ids.keep(&number.to_string(), false));
        assert!(ids.answers.lock().expect("whole").len() <= MOST);
    }
}
