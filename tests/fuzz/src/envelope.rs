//! What another agent says about a request.

use cheops_agent::peer::Envelope;
use cheops_agent::peer::envelope::{MAX_HOPS, read_trailers};
use http::{HeaderMap, HeaderName, HeaderValue};

/// `data` is lines `name: value`. No fields panic; an envelope that is accepted can be sent on, and is then the same.
pub fn envelope(data: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n').take(100) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = HeaderName::from_bytes(line[..colon].trim_ascii());
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    // The same fields as an exchange's trailers.
    if let Some(Err(refusal)) = read_trailers(&headers) {
        assert!((400..600).contains(&refusal.code.status()));
    }
    let Ok(envelope) = Envelope::from_headers(&headers) else { return };
    assert!((1..=MAX_HOPS).contains(&envelope.hops.len()));
    let written = envelope.to_headers().unwrap_or_else(|error| panic!("{envelope:?}: {error}"));
    assert_eq!(Envelope::from_headers(&written), Ok(envelope));
}
