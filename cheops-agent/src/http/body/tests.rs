use super::*;

/// Every way to cut the bytes in two must give the same.
fn scan(length: BodyLength, bytes: &[u8]) -> Result<(usize, bool), FramingError> {
    let mut whole = Body::new(length);
    let result = whole.scan(bytes).map(|taken| (taken, whole.is_done()));
    for cut in 0..=bytes.len() {
        let mut body = Body::new(length);
        let pieces = body.scan(&bytes[..cut]).and_then(|first| {
            if first < cut { Ok(first) } else { body.scan(&bytes[cut..]).map(|second| first + second) }
        });
        assert_eq!(pieces.map(|taken| (taken, body.is_done())), result, "cut at {cut}");
    }
    result
}

fn chunked(text: &str) -> Result<(usize, bool), FramingError> {
    scan(BodyLength::Chunked, text.as_bytes())
}

#[test]
fn lengths_end_where_they_say() {
    assert_eq!(scan(BodyLength::None, b"abc"), Ok((0, true)));
    assert_eq!(scan(BodyLength::Exact(0), b"abc"), Ok((0, true)));
    assert_eq!(scan(BodyLength::Exact(2), b"abc"), Ok((2, true)));
    assert_eq!(scan(BodyLength::Exact(4), b"abc"), Ok((3, false)));
    assert_eq!(scan(BodyLength::UntilClose, b"abc"), Ok((3, false)));
    assert!(Body::new(BodyLength::UntilClose).ends_with_close());
    assert!(!Body::new(BodyLength::Exact(1)).ends_with_close());
}

#[test]
fn chunks_go_through() {
    for text in [
        "0\r\n\r\n",
        "000\r\n\r\n",
        "1\r\na\r\n0\r\n\r\n",
        "A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
        "1;x\r\na\r\n0\r\n\r\n",
        "1;x=y;z=\"q \\\" ;\"\r\na\r\n0;last\r\n\r\n",
        "1; x = y\r\na\r\n0\r\n\r\n",
        "0\r\nX-Sum: 1\r\nempty:\r\n\r\n",
        "0\r\nHosts: 1\r\nContent-Lengthy: 5\r\n\r\n",
    ] {
        assert_eq!(chunked(text), Ok((text.len(), true)), "{text:?}");
        let followed = format!("{text}GET / HTTP/1.1\r\n");
        assert_eq!(chunked(&followed), Ok((text.len(), true)), "{text:?} and more");
    }
}

#[test]
fn chunks_that_are_not_well_formed_are_refused() {
    for text in [
        "\r\n",
        "g\r\n",
        "-1\r\n",
        "+1\r\n",
        "0x1\r\na\r\n",
        " 1\r\na\r\n",
        "1 \r\na\r\n",
        "1\t\r\na\r\n",
        "1 ;x\r\na\r\n",
        "1\na\r\n",
        "1\r\r\n",
        "1\r\nab\r\n",
        "1\r\na\n0\r\n",
        "1\r\na\r0\r\n",
        "1;\r\na\r\n",
        "1;=y\r\na\r\n",
        "1;x=\r\na\r\n",
        "1;x\n\r\na\r\n",
        "1;x=\"\0\"\r\na\r\n",
        "1;x=\"a\"b\r\na\r\n",
        "1;x y\r\na\r\n",
        "1;x\u{0}\r\na\r\n",
        "00000000000000001\r\na\r\n",
        "FFFFFFFFFFFFFFFFF\r\n",
        "0\r\n folded\r\n\r\n",
        "0\r\nX : 1\r\n\r\n",
        "0\r\n: 1\r\n\r\n",
        "0\r\nX: \0\r\n\r\n",
        "0\r\nX: a\nb\r\n\r\n",
        "0\r\nX: a\rb\r\n\r\n",
        "0\r\nno-colon\r\n\r\n",
        "0\r\nContent-Length: 5\r\n\r\n",
        "0\r\ntransfer-ENCODING: chunked\r\n\r\n",
        "0\r\nHost: x\r\n\r\n",
        "0\r\n\n",
        "0\r\n\rX",
    ] {
        assert!(chunked(text).is_err(), "{text:?}: {:?}", chunked(text));
    }
}

#[test]
fn extensions_and_trailers_have_limits() {
    let around = Around { extension: 10, trailers: 20 };
    let scan = |text: String| Body::within(BodyLength::Chunked, around).scan(text.as_bytes());
    let extension = |length| scan(format!("1;{}\r\na\r\n", "x".repeat(length)));
    assert_eq!((extension(10), extension(11)), (Ok(17), Err(FramingError::Extensions)));
    // `X: ` and CR LF are five bytes.
    let trailer = |length| scan(format!("0\r\nX: {}\r\n\r\n", "x".repeat(length)));
    assert_eq!((trailer(15), trailer(16)), (Ok(25), Err(FramingError::Trailers)));
    let none = Around { extension: 0, ..around };
    assert!(Body::within(BodyLength::Chunked, none).scan(b"1\r\na\r\n").is_ok());
    assert!(Body::within(BodyLength::Chunked, none).scan(b"1;x\r\na\r\n").is_err());
}

#[test]
fn the_largest_size_is_followed() {
    let mut body = Body::new(BodyLength::Chunked);
    assert_eq!(body.scan(b"7fffFFFFFFFFFFFF\r\nabc"), Ok(21));
    assert!(!body.is_done());
    assert!(Body::new(BodyLength::Chunked).scan(b"8000000000000000\r\n").is_err());
}

#[test]
fn the_content_is_given_without_its_framing() {
    for (length, wire, content) in [
        (BodyLength::Chunked, "3;a=b\r\nabc\r\n0A\r\n0123456789\r\n0\r\nT: x\r\n\r\nrest", "abc0123456789"),
        (BodyLength::Exact(5), "12345rest", "12345"),
        (BodyLength::UntilClose, "to the end", "to the end"),
        (BodyLength::None, "rest", ""),
    ] {
        for piece in 1..wire.len() {
            let (mut body, mut given, mut used) = (Body::new(length), Vec::new(), 0);
            while used < wire.len() && !body.is_done() {
                let end = (used + piece).min(wire.len());
                used +=
                    body.read(&wire.as_bytes()[used..end], &mut |part| given.extend_from_slice(part)).expect("fine");
            }
            assert_eq!(String::from_utf8(given).expect("text"), content, "pieces of {piece}");
        }
    }
}
