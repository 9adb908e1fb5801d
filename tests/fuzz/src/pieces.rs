//! How bytes arrive.

/// Chooses the sizes of pieces.
pub struct Pieces(Option<(u64, usize)>);

impl Pieces {
    /// All at once.
    pub fn whole() -> Self {
        Self(None)
    }

    /// Pieces of up to `seed` bytes and one.
    pub fn of(seed: u8) -> Self {
        Self(Some((u64::from(seed), usize::from(seed) + 1)))
    }

    /// Lets more of `length` bytes arrive; false when all have.
    pub fn more(&mut self, length: usize, arrived: &mut usize) -> bool {
        let left = length - *arrived;
        *arrived += match &mut self.0 {
            None => left,
            Some((sum, most)) => {
                *sum = sum.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                ((*sum >> 33) as usize % *most + 1).min(left)
            }
        };
        left > 0
    }
}
