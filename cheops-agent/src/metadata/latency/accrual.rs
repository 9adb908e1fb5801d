//! How suspicious a silence is.
//!
//! Hayashibara, Défago, Yared, Katayama: The φ Accrual Failure Detector, SRDS 2004. φ = -log10 of the probability that
//! one who lives is silent for so long, by the pauses seen before; the normal distribution's tail by the logistic
//! approximation, and an acceptable pause on top, as in Akka.

use std::collections::VecDeque;
use std::time::Duration;

/// Pauses that are remembered: some twenty seconds of them.
const MOST: usize = 64;
/// Before pauses were seen, these are expected.
const EXPECTED: Duration = Duration::from_secs(1);
/// No pause is so regular that a tenth of a second means anything.
const LEAST_DEVIATION: f64 = 0.1;
/// What is let pass on top of what is usual: a burst of loss, a busy machine.
const ACCEPTABLE: f64 = 3.0;

/// What was heard of one agent, and when.
#[derive(Clone, Debug, Default)]
pub struct Accrual {
    /// In seconds.
    pauses: VecDeque<f64>,
    last: Option<Duration>,
}

impl Accrual {
    /// Something was heard.
    pub fn heard(&mut self, now: Duration) {
        if let Some(last) = self.last {
            // A dead time isn't what a living agent does; that it was there still makes the next one less sudden.
            self.pauses.push_back(now.saturating_sub(last).min(super::track::LONGEST_SILENCE).as_secs_f64());
            if self.pauses.len() > MOST {
                self.pauses.pop_front();
            }
        }
        self.last = Some(self.last.map_or(now, |last| last.max(now)));
    }

    /// When something was last heard.
    pub fn last(&self) -> Option<Duration> {
        self.last
    }

    /// How suspicious the silence until `now` is: 1 = one time in ten it means nothing, 8 = one time in a hundred
    /// million. None before anything was heard.
    pub fn phi(&self, now: Duration) -> Option<f64> {
        let silence = now.saturating_sub(self.last?).as_secs_f64();
        let (mean, deviation) = self.usual();
        let y = (silence - mean - ACCEPTABLE) / deviation;
        let e = (-y * (1.5976 + 0.070_566 * y * y)).exp();
        // The second form where the first loses its digits.
        let later = if y > 0.0 { e / (1.0 + e) } else { 1.0 - 1.0 / (1.0 + e) };
        Some(if later > 0.0 { -later.log10() } else { f64::INFINITY })
    }

    /// Mean and deviation of the pauses, in seconds; what is expected counts as two of them.
    fn usual(&self) -> (f64, f64) {
        let expected = EXPECTED.as_secs_f64();
        let all = || self.pauses.iter().copied().chain([expected / 2.0, expected]);
        let count = all().count() as f64;
        let mean = all().sum::<f64>() / count;
        let variance = all().map(|pause| (pause - mean).powi(2)).sum::<f64>() / count;
        (mean, variance.sqrt().max(LEAST_DEVIATION))
    }
}
