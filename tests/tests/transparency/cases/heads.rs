//! Heads: every byte of them goes on.

use super::{CHUNKED, Case, GET, OK, answered, until_close};

pub fn all() -> Vec<Case> {
    let mut cases: Vec<Case> = requests().into_iter().map(|(name, lines)| request(name, lines)).collect();
    cases.extend(answers().into_iter().map(|(name, answer)| answered(name, GET, answer)));
    cases.extend(methods());
    cases.extend(sizes());
    cases.extend(old());
    cases
}

/// A request line and fields.
fn request(name: &str, lines: &[u8]) -> Case {
    answered(name, [lines, b"\r\n\r\n"].concat(), OK)
}

fn requests() -> Vec<(&'static str, &'static [u8])> {
    vec![
        ("order, case and duplicates of fields", b"GET / HTTP/1.1\r\nx-B: 2\r\nHOST: x\r\nX-a: 1\r\nx-b: 3\r\nX-B: 2"),
        ("Host is the last field", b"GET / HTTP/1.1\r\nA: b\r\nhost: x"),
        ("Host is empty", b"GET / HTTP/1.1\r\nHost:"),
        ("Host is an IPv6 address", b"GET / HTTP/1.1\r\nHost: [fd77::1]:8080"),
        ("bytes above 127 in a value", b"GET / HTTP/1.1\r\nHost: x\r\nA: \xe9\xff\x80"),
        ("bytes above 127 in the target", b"GET /caf\xc3\xa9 HTTP/1.1\r\nHost: x"),
        ("white space around values", b"GET / HTTP/1.1\r\nHost:x\r\nA:   b c \t\r\nB:\tc"),
        ("white space inside values", b"GET / HTTP/1.1\r\nHost: x\r\nA: b  \t c"),
        ("empty values", b"GET / HTTP/1.1\r\nHost: x\r\nA:\r\nB: \r\nC:\t"),
        ("every character of a field's name", b"GET / HTTP/1.1\r\nHost: x\r\n!#$%&'*+-.^_`|~09azAZ: b"),
        ("names with underscores", b"GET / HTTP/1.1\r\nHost: x\r\nContent_Type: 5\r\nX_Scope: {A: B}"),
        ("quotes, commas and colons in values", b"GET / HTTP/1.1\r\nHost: x\r\nA: \"b, \\\"c\"; d=e:f,,"),
        ("several Cookie fields", b"GET / HTTP/1.1\r\nHost: x\r\nCookie: a=b\r\nCookie: c=d; e=f"),
        ("absolute-form", b"GET http://other:1/a?b HTTP/1.1\r\nHost: Other:1"),
        ("absolute-form of https", b"GET https://other/ HTTP/1.1\r\nHost: other"),
        ("absolute-form without a path", b"GET http://x HTTP/1.1\r\nHost: x"),
        ("asterisk-form", b"OPTIONS * HTTP/1.1\r\nHost: x"),
        ("odd characters in the target", b"GET /a{}|^`\"<>\\;,?[]= HTTP/1.1\r\nHost: x"),
        ("encoded and dotted paths", b"GET //a/../%2e%2E/%2f;x=1?&&= HTTP/1.1\r\nHost: x"),
        ("broken percent-encoding", b"GET /%zz%?%1 HTTP/1.1\r\nHost: x"),
        ("an empty query", b"GET /? HTTP/1.1\r\nHost: x"),
        ("a scope of another product as parameter", b"GET /?scope=openid HTTP/1.1\r\nHost: x"),
        ("a scope of another product as field", b"GET / HTTP/1.1\r\nHost: x\r\nScope: {A: B}\r\nX-Scopes: {A: B}"),
        ("fields that look like the agent's", b"GET / HTTP/1.1\r\nHost: x\r\nX-Cheops-Request: 1\r\nx-cheops-site: Paris"),
        ("ids of requests", b"GET / HTTP/1.1\r\nHost: x\r\nX-Request-Id: req-1\r\ntraceparent: 00-1-2-01\r\nb3: 1-2-1"),
        ("hop-by-hop fields", b"GET / HTTP/1.1\r\nHost: x\r\nTE: trailers\r\nConnection: TE, A\r\nKeep-Alive: 5\r\nA: b"),
        ("a proxy's fields", b"GET / HTTP/1.1\r\nHost: x\r\nProxy-Connection: close\r\nProxy-Authorization: b\r\nMax-Forwards: 0"),
        ("fields that proxies add to", b"GET / HTTP/1.1\r\nHost: x\r\nVia: 1.1 a\r\nX-Forwarded-For: 10.0.0.1\r\nForwarded: for=b"),
        ("codings that the client takes", b"GET / HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip;q=1.0, *;q=0\r\nRange: bytes=0-1,5-"),
        ("Connection: keep-alive in an odd case", b"GET / HTTP/1.1\r\nHost: x\r\nCONNECTION: Keep-ALIVE"),
        ("an expectation that nobody knows", b"GET / HTTP/1.1\r\nHost: x\r\nExpect: the-unexpected"),
        ("Upgrade without Connection", b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket"),
        ("Connection: Upgrade without Upgrade", b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade"),
        ("an upgrade to h2c that is ignored", b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk"),
        ("1.0 with Host and keep-alive", b"GET / HTTP/1.0\r\nHost: x\r\nConnection: keep-alive"),
        ("an empty line before the request", b"\r\nGET / HTTP/1.1\r\nHost: x"),
        ("several empty lines before the request", b"\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: x"),
    ]
}

fn answers() -> Vec<(&'static str, &'static [u8])> {
    vec![
        ("order, case and duplicates of an answer's fields", b"HTTP/1.1 200 OK\r\nsEt-Cookie: a\r\nCONTENT-length: 0\r\nSet-cookie: b\r\nset-COOKIE: a\r\n\r\n"),
        ("bytes above 127 in an answer", b"HTTP/1.1 200 \xe9t\xe9\r\nA: \xfe\r\nContent-Length: 0\r\n\r\n"),
        ("empty values and white space in an answer", b"HTTP/1.1 200 OK\r\nA:\r\nB:\t\r\nC:  d \r\nContent-Length:0\r\n\r\n"),
        ("a status without a reason", b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n"),
        ("a status with an empty reason", b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n"),
        ("a reason of several words", b"HTTP/1.1 200 All \t is  fine\r\nContent-Length: 0\r\n\r\n"),
        ("a status that nobody knows", b"HTTP/1.1 799 Why not\r\nContent-Length: 0\r\n\r\n"),
        ("an answer of 1.0 that persists", b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n"),
        ("an answer with a proxy's fields", b"HTTP/1.1 200 OK\r\nVia: 1.1 a\r\nAge: 1\r\nKeep-Alive: timeout=5, max=9\r\nServer: b\r\nX-Cheops-Site: c\r\nContent-Length: 0\r\n\r\n"),
        ("several challenges", b"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic\r\nWWW-Authenticate: Bearer a=\"b\"\r\nContent-Length: 1\r\n\r\na"),
        ("a redirect", b"HTTP/1.1 302 There\r\nLocation: http://127.64.0.1/a?b#c\r\nContent-Length: 0\r\n\r\n"),
        ("205 with a length of nothing", b"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n"),
        ("206 with several ranges", b"HTTP/1.1 206 Partial\r\nContent-Type: multipart/byteranges; boundary=x\r\nContent-Length: 3\r\n\r\n--x"),
        ("a 426 that names an upgrade", b"HTTP/1.1 426 Upgrade\r\nConnection: Upgrade\r\nUpgrade: HTTP/3.0\r\nContent-Length: 0\r\n\r\n"),
        ("a 503 of the service's own", b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 4\r\n\r\nbusy"),
        ("a 408 to a request", b"HTTP/1.1 408 Late\r\nContent-Length: 0\r\n\r\n"),
        ("a length with leading zeros", b"HTTP/1.1 200 OK\r\nContent-Length: 0002\r\n\r\nhi"),
        ("chunked in an odd case", b"HTTP/1.1 200 OK\r\nTRANSFER-ENCODING: cHuNkEd\r\n\r\n0\r\n\r\n"),
        ("a coding of chunks", b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\ntransfer-encoding:  Chunked\r\n\r\n1\r\n\x1f\r\n0\r\n\r\n"),
    ]
}

fn methods() -> Vec<Case> {
    let methods = "DELETE TRACE PATCH PROPFIND MKCOL LOCK M-SEARCH PURGE QUERY get Get X b!r#e.w 0".split(' ');
    let case = |method| answered(format!("the method {method}"), format!("{method} / HTTP/1.1\r\nHost: x\r\n\r\n"), OK);
    methods.map(case).collect()
}

/// Heads whose size is about that of a buffer.
fn sizes() -> Vec<Case> {
    let sizes = [2047, 4095, 4096, 4097, 8191, 8192, 8193, 16_384, 65_535, 65_536];
    let of = |begin: &str, size: usize| {
        let end = "\r\n\r\n";
        format!("{begin}Fill: {}{end}", "f".repeat(size - begin.len() - end.len() - "Fill: ".len()))
    };
    let both = |size: usize| {
        let (request, answer) = ("GET / HTTP/1.1\r\nHost: x\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n");
        answered(format!("heads of {size} bytes"), of(request, size), of(answer, size))
    };
    let with_body = |size: usize| {
        let (request, answer) =
            ("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n");
        let request = format!("{}12345", of(request, size - 3));
        answered(format!("heads and bodies that cross {size} bytes"), request, format!("{}abc", of(answer, size - 1)))
    };
    let many = |count: usize| {
        let fields = "A: b\r\n".repeat(count - 1);
        let request = format!("GET / HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
        answered(format!("{count} fields"), request, format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{fields}\r\n"))
    };
    let mut cases: Vec<Case> = sizes.into_iter().map(both).collect();
    cases.extend([4096, 8192, 16_384, 32_768].map(with_body));
    cases.extend([31, 32, 33, 64, 65, 255, 256].map(many));
    cases.push(answered(
        "a target of 16 kB",
        format!("GET /{}?{} HTTP/1.1\r\nHost: x\r\n\r\n", "p".repeat(8000), "q".repeat(8000)),
        OK,
    ));
    cases
}

/// HTTP/1.0.
fn old() -> Vec<Case> {
    vec![
        until_close("1.0 without Host", "GET / HTTP/1.0\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\nold"),
        until_close(
            "1.0 with Host",
            "GET / HTTP/1.0\r\nHost: x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nold",
        ),
        until_close(
            "1.0 with a body",
            "POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc",
            "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold",
        ),
        until_close(
            "1.0 keeps alive, and the answer ends it",
            "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            "HTTP/1.0 200 OK\r\n\r\nold",
        ),
        until_close("1.0 is answered by 1.1 without a length", "GET / HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\nnew"),
        answered(
            "1.1 is answered by 1.0 with a length",
            format!("{CHUNKED}0\r\n\r\n"),
            "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold",
        ),
    ]
}
