//! What is being measured, and how long it will take yet.

use std::time::{Duration, Instant};

use cheops_tests::interrupt;

/// A line on standard error for each measurement.
pub struct Progress {
    begin: Instant,
    all: u32,
    done: u32,
}

impl Progress {
    /// `all` are the measurements to come.
    pub fn new(all: u32) -> Self {
        Self { begin: Instant::now(), all, done: 0 }
    }

    /// Before a measurement; an error once the bench has been interrupted.
    pub fn next(&mut self, what: &str) -> anyhow::Result<()> {
        interrupt::check()?;
        let left = match left(self.begin.elapsed(), self.done, self.all) {
            Some(left) => format!("about {}:{:02} left", left.as_secs() / 60, left.as_secs() % 60),
            None => format!("{} measurements", self.all),
        };
        eprintln!("{what}; {left}");
        self.done += 1;
        Ok(())
    }
}

/// As if the rest took as long as what is done.
fn left(elapsed: Duration, done: u32, all: u32) -> Option<Duration> {
    let each = elapsed.checked_div(done)?;
    Some(each * all.saturating_sub(done))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_takes_as_long_as_what_is_done() {
        assert_eq!(left(Duration::from_secs(10), 5, 20), Some(Duration::from_secs(30)));
        assert_eq!(left(Duration::ZERO, 0, 20), None);
    }
}
