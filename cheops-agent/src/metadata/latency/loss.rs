//! Which of the last numbered things came.

/// Numbers that are remembered.
const MOST: u64 = 64;
/// Fewer say nothing.
const FEWEST: u32 = 8;

/// The last 64 numbers of a row that counts up by one, and which of them came.
#[derive(Clone, Copy, Debug, Default)]
pub struct Loss {
    highest: Option<u64>,
    /// Bit n: whether `highest - n` came.
    came: u64,
    /// How many of the bits mean something.
    span: u32,
}

impl Loss {
    /// `number` came. False for one that came before, or is too old to be told from one.
    pub fn came(&mut self, number: u64) -> bool {
        let Some(highest) = self.highest else {
            *self = Self { highest: Some(number), came: 1, span: 1 };
            return true;
        };
        if number > highest {
            let ahead = number - highest;
            self.came = if ahead < MOST { self.came << ahead | 1 } else { 1 };
            self.span = u32::try_from(ahead.min(MOST)).unwrap_or(u32::MAX).saturating_add(self.span).min(64);
            self.highest = Some(number);
            return true;
        }
        let bit = highest - number;
        let new = bit < MOST && self.came >> bit & 1 == 0;
        if new {
            self.came |= 1 << bit;
            self.span = self.span.max(u32::try_from(bit + 1).unwrap_or(u32::MAX));
        }
        new
    }

    /// How many came, of how many.
    pub fn counts(&self) -> (u32, u32) {
        let mask = if self.span >= 64 { u64::MAX } else { (1 << self.span) - 1 };
        ((self.came & mask).count_ones(), self.span)
    }

    /// The part that did not come: 0 to 1. Unknown while there are few.
    pub fn share(&self) -> Option<f64> {
        let (came, span) = self.counts();
        share(came, span)
    }
}

/// The part that did not come; unknown when there are few.
pub(crate) fn share(came: u32, span: u32) -> Option<f64> {
    (span >= FEWEST).then(|| 1.0 - f64::from(came.min(span)) / f64::from(span))
}
