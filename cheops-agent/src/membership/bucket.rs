//! How often something may be tried.

use std::time::{Duration, Instant};

/// Tokens that come back with time.
#[derive(Debug)]
pub struct Bucket {
    most: f64,
    every: Duration,
    left: f64,
    since: Instant,
}

impl Bucket {
    /// `most` at once, and one more `every` so often.
    pub fn new(most: u32, every: Duration) -> Self {
        Self { most: f64::from(most), every, left: f64::from(most), since: Instant::now() }
    }

    /// Takes one, if there is one at `now`.
    pub fn take(&mut self, now: Instant) -> bool {
        let back = now.saturating_duration_since(self.since).as_secs_f64() / self.every.as_secs_f64();
        self.left = (self.left + back).min(self.most);
        self.since = now;
        let enough = self.left >= 1.0;
        if enough {
            self.left -= 1.0;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_come_back_with_time() {
        let mut bucket = Bucket::new(2, Duration::from_secs(1));
        let now = Instant::now();
        assert!(bucket.take(now) && bucket.take(now) && !bucket.take(now));
        assert!(!bucket.take(now + Duration::from_millis(500)));
        assert!(bucket.take(now + Duration::from_millis(1100)));
        let later = now + Duration::from_secs(60);
        assert!(bucket.take(later) && bucket.take(later) && !bucket.take(later));
    }
}
