//! What the remote service and the client see, byte for byte.

use super::*;

/// Every method, on one client connection: the remote service gets the client's bytes without the scope; the own service
/// sees nothing of them.
#[test]
fn every_method_reaches_the_remote_service_byte_for_byte() -> anyhow::Result<()> {
    let federation = three()?;
    let mut client = federation.connect("Berlin", "app")?;
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"] {
        let body = if matches!(method, "GET" | "HEAD" | "OPTIONS") { "" } else { "field=value" };
        let answer = client.exchange(request(method, "/things/7?x=%20y", "{app: Paris}", body))?;
        assert_eq!((answer.status, answer.site().as_deref()), (200, Some("Paris")), "{method}");
        assert_eq!(answer.header("x-cheops-site").as_deref(), Some("Paris"));
        assert!(answer.header("x-cheops-request").is_some_and(|id| !id.is_empty()));
        let seen = federation.service("Paris", "app").take_requests();
        let sent = request(method, "/things/7?x=%20y", "{app: Paris}", body).replace("X-Scope: {app: Paris}\r\n", "");
        assert_eq!(String::from_utf8_lossy(&seen[0].raw), sent);
    }
    assert!(federation.service("Berlin", "app").requests().is_empty());
    Ok(())
}

/// Odd but legal heads: case, order, doubles and spaces of fields stay; so does the answer, but for `X-Cheops-*`.
#[test]
fn odd_heads_and_odd_answers_are_not_tidied() -> anyhow::Result<()> {
    let federation = three()?;
    let odd =
        "HTTP/1.1 299 My Own  Reason\r\nsErVer:  x \r\nA: 1\r\na: 2\r\nX-Lab-Site: P\r\nContent-Length: 2\r\n\r\nok";
    federation.service("Paris", "app").script("/odd", odd, cheops_tests::lab::Then::Keep);
    let mut client = federation.connect("Berlin", "app")?;
    let sent =
        "GET /odd?a=1&a=2&b HTTP/1.1\r\nzzz: 1\r\nhOSt:   app\r\nX-sCoPe:  {app:Paris} \r\nZZZ: 2\r\nAccept:\r\n\r\n";
    let answer = client.exchange(sent)?;
    let seen = federation.service("Paris", "app").take_requests();
    assert_eq!(String::from_utf8_lossy(&seen[0].raw), sent.replace("X-sCoPe:  {app:Paris} \r\n", ""));
    let id = answer.header("x-cheops-request").unwrap_or_default();
    let added = format!("X-Cheops-Request: {id}\r\nX-Cheops-Site: Paris\r\n\r\n");
    let expected = odd.replace("\r\n\r\nok", "\r\n") + &added;
    assert_eq!(String::from_utf8_lossy(&answer.head), expected);
    assert_eq!(answer.text(), "ok");
    Ok(())
}

/// 16 MB there and back: what comes back is what was sent.
#[test]
fn large_bodies_cross_both_ways_whole() -> anyhow::Result<()> {
    let federation = three()?;
    let body: String = (0..16_000_000_u32).map(|at| char::from(b'a' + (at / 7 % 26) as u8)).collect();
    let sent = request("POST", "/echo", "{app: Paris}", &body);
    let mut client = federation.connect("Berlin", "app")?;
    let mut writer = client.stream().try_clone()?;
    let (answer, written) = std::thread::scope(|scope| {
        let writing = scope.spawn(|| std::io::Write::write_all(&mut writer, sent.as_bytes()));
        (client.answer(), writing.join())
    });
    written.expect("no panic")?;
    let expected = sent.replace("X-Scope: {app: Paris}\r\n", "");
    let answer = answer?;
    assert!(answer.body == expected.as_bytes(), "{} bytes of {}", answer.body.len(), expected.len());
    assert!(federation.service("Paris", "app").requests()[0].raw == expected.as_bytes());
    Ok(())
}

/// Chunk boundaries, extensions and trailers of both messages stay as they are.
#[test]
fn chunks_and_trailers_cross_as_they_are() -> anyhow::Result<()> {
    let federation = three()?;
    let mut client = federation.connect("Berlin", "app")?;
    let head = "POST /echo HTTP/1.1\r\nHost: app\r\nX-Scope: {app: Nantes}\r\nTransfer-Encoding: chunked\r\nTrailer: T\r\n\r\n";
    let body = "3;name=\"v\"\r\nabc\r\n0A\r\n0123456789\r\n0\r\nT: end\r\n\r\n";
    let answer = client.exchange(format!("{head}{body}"))?;
    assert_eq!(answer.text(), head.replace("X-Scope: {app: Nantes}\r\n", "") + body);
    client.send(request("GET", "/chunked", "{app: Nantes}", ""))?;
    client.read_until(b"\r\n\r\n")?;
    let expected = "4\r\none \r\n4\r\ntwo \r\n7\r\nNantes\n\r\n0\r\nX-Lab-End: yes\r\n\r\n";
    assert_eq!(String::from_utf8_lossy(&client.read_exact(expected.len())?), expected);
    Ok(())
}

/// A fresh decision for each request of a connection, and answers in the order of the requests (RFC 9112, 9.3.2).
#[test]
fn pipelined_requests_with_and_without_scope_are_answered_in_order() -> anyhow::Result<()> {
    let federation = three()?;
    let scopes = [None, Some("Paris"), Some("Nantes"), None, Some("Berlin"), Some("Paris"), None, Some("Nantes")];
    let requests = scopes.iter().enumerate().map(|(number, scope)| match scope {
        None => format!("GET /n/{number} HTTP/1.1\r\nHost: app\r\n\r\n"),
        Some(site) => request("GET", &format!("/n/{number}"), &format!("{{app: {site}}}"), ""),
    });
    let mut client = federation.connect("Berlin", "app")?;
    client.send(requests.collect::<String>())?;
    for (number, scope) in scopes.iter().enumerate() {
        let answer = client.answer()?;
        assert_eq!(answer.site().as_deref(), Some(scope.unwrap_or("Berlin")), "request {number}");
        assert_eq!(answer.json()?["path"], format!("/n/{number}"));
        assert_eq!(answer.header("x-cheops-site").as_deref(), *scope, "only scoped answers are marked");
    }
    Ok(())
}

/// `Expect: 100-continue` and interim answers pass through a peer.
#[test]
fn interim_answers_cross() -> anyhow::Result<()> {
    let federation = three()?;
    let mut client = federation.connect("Berlin", "app")?;
    let head =
        "PUT /x HTTP/1.1\r\nHost: app\r\nX-Scope: {app: Paris}\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n";
    client.send(head)?;
    assert_eq!(client.read_until(b"\r\n\r\n")?, b"HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(client.exchange("body")?.site().as_deref(), Some("Paris"));
    client.send(request("GET", "/interim", "{app: Paris}", ""))?;
    assert!(client.read_until(b"\r\n\r\n")?.starts_with(b"HTTP/1.1 103 Early Hints\r\n"));
    assert_eq!(client.answer()?.text(), "Paris\n");
    Ok(())
}

/// The entry site is the one that owns the addressed endpoint, whichever agent sees the request first (AMENDMENTS 11).
#[test]
fn any_endpoint_of_any_site_may_be_addressed() -> anyhow::Result<()> {
    let federation = three()?;
    let berlin = federation.host("Berlin");
    for (scope, expected) in
        [("{app: Nantes}", "Nantes"), ("{app: Paris}", "Paris"), ("{app: Berlin}", "Berlin"), ("Nantes", "Nantes")]
    {
        let mut client = berlin.connect(federation.address("Paris", "app"))?;
        let answer = client.exchange(request("GET", "/", scope, ""))?;
        assert_eq!(answer.site().as_deref(), Some(expected), "{scope}");
    }
    // A host without an agent: the request arrives at Paris's.
    let alone = federation.world().host("Berlin", "alone")?;
    let mut client = alone.connect(federation.address("Paris", "app"))?;
    assert_eq!(client.exchange(request("GET", "/", "{app: Nantes}", ""))?.site().as_deref(), Some("Nantes"));
    Ok(())
}

/// What a scope doesn't name is bound to the entry site, and the completed scope travels along.
#[test]
fn the_completed_scope_reaches_the_other_site() -> anyhow::Result<()> {
    let federation = three()?;
    let mut client = federation.connect("Berlin", "other")?;
    let answer = client.exchange(request("GET", "/x", "{app: Paris, other: Nantes}", ""))?;
    assert_eq!(answer.site().as_deref(), Some("Nantes"));
    let id = answer.header("x-cheops-request").unwrap_or_default();
    federation.agent("Nantes").wait_log(&id, SOON)?;
    let log = federation.agent("Nantes").log();
    let line = log.lines().find(|line| line.contains(&id) && line.contains("cheops::access")).unwrap_or_default();
    for part in ["app", "Paris", "other", "Nantes", "default", "Berlin"] {
        assert!(line.contains(part), "{part} in {line}");
    }
    // `app` at Berlin's endpoint, with a scope that names only `other`: the entry site's own.
    let mut client = federation.connect("Berlin", "app")?;
    let answer = client.exchange(request("GET", "/", "{other: Nantes}", ""))?;
    assert_eq!(answer.site().as_deref(), Some("Berlin"));
    assert_eq!(answer.header("x-cheops-site").as_deref(), Some("Berlin"));
    Ok(())
}

/// `Host` stays the client's unless the service wants its own; prefixes are swapped and locations come home.
#[test]
fn hosts_prefixes_and_locations_are_mapped_where_configured() -> anyhow::Result<()> {
    let federation = Federation::builder()
        .service(Offered::new("app", 8080).key("host", "own"))
        .service(Offered::new("image", 9090).prefix("/image"))
        .configure(|_, table| {
            // Paris has the image service below another path.
            let services = table.get_mut("services").and_then(|services| services.as_array_mut()).expect("services");
            let image =
                services[1].get_mut("endpoints").and_then(|endpoints| endpoints.as_table_mut()).expect("a table");
            image.insert("Paris".into(), "http://10.77.2.1:9090/img/api".into());
        })
        .start()?;
    let mut client = federation.connect("Berlin", "app")?;
    client.exchange(request("GET", "/", "{app: Paris}", ""))?;
    assert_eq!(federation.service("Paris", "app").requests()[0].header("host").as_deref(), Some("10.77.2.1:8080"));

    let location = "HTTP/1.1 201 Created\r\nLocation: http://10.77.2.1:9090/img/api/7\r\nContent-Length: 0\r\n\r\n";
    federation.service("Paris", "image").script("/img/api/things", location, cheops_tests::lab::Then::Keep);
    let mut client = federation.connect("Berlin", "image")?;
    let answer = client.exchange(request("POST", "/image/things?a=/image", "{image: Paris}", "x"))?;
    assert_eq!(answer.header("location").as_deref(), Some("http://10.77.1.1:9090/image/7"));
    let seen = federation.service("Paris", "image").requests();
    assert_eq!(seen[0].line(), "POST /img/api/things?a=/image HTTP/1.1");
    assert_eq!(seen[0].header("host").as_deref(), Some("app"));
    Ok(())
}

/// The service must not take a peer's request for one of its own host, and sees the peer agent's true address.
#[test]
fn the_remote_service_sees_the_peers_address() -> anyhow::Result<()> {
    let federation = three()?;
    let mut client = federation.connect("Berlin", "app")?;
    client.exchange(request("GET", "/", "{app: Paris}", ""))?;
    let peer = federation.service("Paris", "app").requests()[0].peer.ip();
    assert_eq!(peer, federation.host("Berlin").at(0).ip());
    // An unscoped request is seen as its client's.
    client.exchange("GET / HTTP/1.1\r\nHost: app\r\n\r\n")?;
    assert_eq!(federation.service("Berlin", "app").requests()[0].peer, client.local()?);
    Ok(())
}
