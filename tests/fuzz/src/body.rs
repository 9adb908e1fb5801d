//! Chunked bodies.

use cheops_agent::http::{Body, BodyLength};

use super::hypers::dechunked;
use super::pieces::Pieces;

/// The first byte chooses how the others arrive. However they do, the body ends at the same byte or is refused; and the
/// data in it is where a simple reader finds it.
pub fn body(data: &[u8]) {
    let Some((seed, data)) = data.split_first() else { return };
    let whole = scan(data, Pieces::whole());
    assert_eq!(whole, scan(data, Pieces::of(*seed)));
    if let Some((end, true)) = whole {
        assert!(dechunked(&data[..end]).len() < end);
        assert!(data[..end].ends_with(b"\r\n"));
        assert!((0..end).all(|cut| matches!(scan(&data[..cut], Pieces::whole()), Some((_, false)))));
    }
}

fn scan(data: &[u8], mut pieces: Pieces) -> Option<(usize, bool)> {
    let (mut body, mut at, mut arrived) = (Body::new(BodyLength::Chunked), 0, 0);
    while pieces.more(data.len(), &mut arrived) {
        at += body.scan(&data[at..arrived]).ok()?;
        if body.is_done() {
            return Some((at, true));
        }
        assert_eq!(at, arrived, "the body stopped before its end");
    }
    Some((at, false))
}
