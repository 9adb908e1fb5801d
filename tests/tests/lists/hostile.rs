//! What a site may answer instead of a list, and what clients may do with one.

use std::time::{Duration, Instant};

use cheops_tests::lab::{Answer, Client, Federation, Scripted, Then, tell};

use super::cloud::cloud;
use super::{ALL, memory, ok, sites, three};

fn ask(client: &mut Client, method: &str, scope: &str) -> anyhow::Result<Answer> {
    client.exchange(format!("{method} /images HTTP/1.1\r\nHost: app\r\nX-Scope: {scope}\r\n\r\n"))
}

/// Bytes of a site's answer, and what it is named.
fn answers() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let body = |status: &str, fields: &str, body: &[u8]| {
        let head = format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {}\r\n\r\n", body.len());
        [head.as_bytes(), body].concat()
    };
    let plain = |text: &str| body("200 OK", "", text.as_bytes());
    let gzip = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x8b\x8e\x05\0\x29\xbb\x4c\x0d\x02\0\0\0";
    let huge = format!("[{{\"id\":\"{}\"}}]", "x".repeat(2 << 20));
    let outside = format!("{{\"a\":\"{}\",\"images\":[]}}", "x".repeat(1 << 20));
    vec![
        ("compressed, unasked", body("200 OK", "Content-Encoding: gzip\r\n", gzip), "broken"),
        ("compressed, and doesn't say so", body("200 OK", "", gzip), "broken"),
        ("identity", body("200 OK", "Content-Encoding: identity\r\n", b"[]"), "ok"),
        ("nothing", plain(""), "broken"),
        ("not JSON", plain("<html></html>"), "broken"),
        ("half", plain("{\"images\":[{\"id\":9}"), "broken"),
        ("more behind", plain("[] []"), "broken"),
        ("no list", plain("{\"images\":{\"id\":9}}"), "broken"),
        ("two lists", plain("{\"images\":[],\"others\":[]}"), "broken"),
        ("a number", plain("7"), "broken"),
        ("not UTF-8", body("200 OK", "", b"[\"\xff\xfe\"]"), "broken"),
        ("deep", plain(&"[".repeat(100_000)), "broken"),
        ("a huge element", plain(&huge), "broken"),
        ("much around it", plain(&outside), "broken"),
        ("no HTTP", b"220 mail.example ESMTP\r\n".to_vec(), "broken"),
        (
            "a bad chunk",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n[]\r\n0\r\n\r\n".to_vec(),
            "broken",
        ),
        ("two lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n[] ".to_vec(), "broken"),
        (
            "an early hint",
            b"HTTP/1.1 103 Hi\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]".to_vec(),
            "ok",
        ),
        (
            "chunks",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n[\r\n1\r\n]\r\n0\r\nX: y\r\n\r\n".to_vec(),
            "ok",
        ),
        ("no length", b"HTTP/1.0 200 OK\r\n\r\n[]".to_vec(), "ok"),
        ("not allowed", body("401 Unauthorized", "WWW-Authenticate: Basic\r\n", b"{}"), "401"),
        ("not there", body("404 Not Found", "", b"[]"), "404"),
        ("a fault", body("500 Oops", "", b"[]"), "500"),
        ("no content", b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(), "204"),
        ("moved", body("302 Found", "Location: http://10.77.2.1:8080/other\r\n", b""), "302"),
    ]
}

/// Each is named and costs the others nothing; the client's connection goes on.
#[test]
fn whatever_one_site_answers_the_others_are_shown_and_it_is_named() -> anyhow::Result<()> {
    let federation = three()?;
    let mut client = federation.connect("Berlin", "app")?;
    for (what, bytes, named) in answers() {
        federation.service("Paris", "app").script("/images", bytes, Then::Close);
        let answer = ask(&mut client, "GET", ALL)?;
        assert_eq!(answer.status, 200, "{what}: the status is the service's");
        assert_eq!(sites(&answer), Some(format!("Berlin=ok, Paris={named}, Nantes=ok")), "{what}");
        let list = answer.json()?["images"].as_array().cloned().unwrap_or_default();
        assert_eq!(list.iter().filter(|one| one["cheops_site"] != "Paris").count(), 2, "{what}");
    }
    // Nobody saw a request for anything compressed, or for a part.
    let fields = "Accept-Encoding: gzip\r\nRange: bytes=0-9\r\nIf-None-Match: \"1\"\r\n";
    client.exchange(format!("GET /images HTTP/1.1\r\nHost: app\r\nX-Scope: {ALL}\r\n{fields}\r\n"))?;
    for site in ["Berlin", "Paris", "Nantes"] {
        let seen = federation.service(site, "app").requests().pop().expect("a request");
        assert_eq!(seen.header("accept-encoding").as_deref(), Some("identity"));
        assert_eq!((seen.header("range"), seen.header("if-none-match"), seen.header("x-scope")), (None, None, None));
    }
    Ok(())
}

/// Where no site gives a list, the entry site's own answer stands, else the first one's; without any answer it is said.
#[test]
fn where_no_site_gives_a_list_the_services_answer_stands() -> anyhow::Result<()> {
    let mut federation = three()?;
    let script = |federation: &Federation, site: &str, status: &str| {
        let length = status.len();
        let bytes = format!("HTTP/1.1 {status}\r\nX-Of: {site}\r\nContent-Length: {length}\r\n\r\n{status}");
        federation.service(site, "app").script("/images", bytes, Then::Keep);
    };
    for (site, status) in [("Berlin", "401 Who"), ("Paris", "404 No"), ("Nantes", "500 Oops")] {
        script(&federation, site, status);
    }
    let mut client = federation.connect("Berlin", "app")?;
    let answer = ask(&mut client, "GET", "{app: Paris & Berlin & Nantes}")?;
    assert_eq!((answer.status, answer.text().as_str()), (401, "401 Who"), "the entry site's");
    assert_eq!(sites(&answer).as_deref(), Some("Paris=404, Berlin=401, Nantes=500"));
    assert_eq!(
        (answer.header("x-of").as_deref(), answer.header("x-cheops-site").as_deref()),
        (Some("Berlin"), Some("Berlin"))
    );
    let answer = ask(&mut client, "GET", "{app: Nantes & Paris}")?;
    assert_eq!((answer.status, answer.text().as_str()), (500, "500 Oops"), "the first one's");
    assert_eq!(sites(&answer).as_deref(), Some("Nantes=500, Paris=404"));
    let head = ask(&mut client, "HEAD", "{app: Nantes & Paris}")?;
    assert_eq!((head.status, sites(&head).as_deref()), (500, Some("Nantes=500, Paris=404")));
    // One that was refused counts as an answer, one that is away doesn't.
    federation.service_mut("Nantes", "app").stop();
    let answer = ask(&mut client, "GET", "{app: Nantes & Paris}")?;
    assert_eq!((answer.status, sites(&answer).as_deref()), (404, Some("Nantes=unreachable, Paris=404")));
    for site in ["Berlin", "Paris"] {
        federation.service(site, "app").script("/images", ok("<html>"), Then::Keep);
    }
    let answer = ask(&mut client, "GET", "{app: Berlin & Paris}")?;
    assert_eq!((answer.status, answer.json()?["code"].as_str()), (502, Some("bad-answer")));
    assert!(answer.text().contains("Berlin's list: it is not JSON") && answer.text().contains("Paris's list"));
    assert_eq!(ask(&mut client, "GET", ALL)?.status, 503, "Nantes is away; and the connection goes on");
    Ok(())
}

/// HEAD has the union's head, and no body; the connection goes on.
#[test]
fn the_head_of_a_list_can_be_asked_for() -> anyhow::Result<()> {
    let federation = three()?;
    let mut client = federation.connect("Berlin", "app")?;
    for _ in 0..3 {
        let (head, list) = (ask(&mut client, "HEAD", ALL)?, ask(&mut client, "GET", ALL)?);
        assert_eq!((head.status, list.status, head.body.len()), (200, 200, 0));
        assert_eq!(sites(&head), sites(&list));
        assert_eq!(head.header("content-length"), None, "nobody knows it");
        assert_eq!(list.json()?["images"].as_array().map(Vec::len), Some(4));
    }
    let seen = federation.service("Paris", "app").requests();
    assert_eq!(seen.iter().filter(|seen| seen.line().starts_with("HEAD")).count(), 3);
    Ok(())
}

/// A site whose list stands still before its beginning is there is named after `within`; later the answer is broken off.
#[test]
fn a_list_that_stands_still_holds_nothing_up() -> anyhow::Result<()> {
    let federation = cloud()?;
    let images = |federation: &Federation, site: &str, body: &str, claimed: usize| {
        let bytes = format!("HTTP/1.1 200 OK\r\nContent-Length: {claimed}\r\n\r\n{body}");
        federation.service(site, "Glance").script("/v2/images", bytes, Then::Keep);
    };
    for site in ["Berlin", "Nantes"] {
        let body = "{\"images\":[{\"id\":\"a\",\"created_at\":\"1\"}]}";
        images(&federation, site, body, body.len());
    }
    let get = |client: &mut Client| {
        let scope = "{Glance: Berlin & Paris & Nantes}";
        client.exchange(format!("GET /v2/images HTTP/1.1\r\nHost: app\r\nX-Scope: {scope}\r\n\r\n"))
    };
    let mut client = federation.connect("Berlin", "Glance")?;
    for begun in ["", "{\"images\":[", "{\"images\":[{\"id\":\"b\"},"] {
        images(&federation, "Paris", begun, 1000);
        let begin = Instant::now();
        let answer = get(&mut client)?;
        assert_eq!(sites(&answer).as_deref(), Some("Berlin=ok, Paris=timeout, Nantes=ok"), "{begun}");
        assert_eq!(answer.json()?["images"].as_array().map(Vec::len), Some(2));
        let took = begin.elapsed();
        assert!((Duration::from_millis(1900)..Duration::from_secs(6)).contains(&took), "{took:?}");
    }
    // More than is read before the answer begins: half a list must not look like a whole one.
    let element = format!("{{\"id\":\"b\",\"created_at\":\"2\",\"x\":\"{}\"}},", "x".repeat(1000));
    images(&federation, "Paris", &format!("{{\"images\":[{}", element.repeat(200)), 1 << 20);
    client.send("GET /v2/images HTTP/1.1\r\nHost: app\r\nX-Scope: {Glance: Berlin & Paris}\r\n\r\n")?;
    let head = String::from_utf8(client.read_until(b"\r\n\r\n")?)?;
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("Paris=ok"), "{head}");
    // Reset or closed, as long as there is no last chunk.
    let rest = client.read_to_end().unwrap_or_default();
    assert!(!rest.ends_with(b"0\r\n\r\n"));
    images(&federation, "Paris", "{\"images\":[]}", 13);
    let fresh = get(&mut federation.connect("Berlin", "Glance")?)?;
    assert_eq!(sites(&fresh).as_deref(), Some("Berlin=ok, Paris=ok, Nantes=ok"));
    Ok(())
}

/// A client that reads slowly, and stops for longer than a site may, gets all; meanwhile nothing piles up.
#[test]
fn a_slow_reader_gets_all_and_costs_no_memory() -> anyhow::Result<()> {
    let federation = cloud()?;
    let element = format!("{{\"id\":\"{}\"}}", "x".repeat(10_000));
    let body = format!("{{\"images\":[{}]}}", vec![element.as_str(); 2000].join(","));
    let answer = ok(&body).into_bytes();
    for site in ["Berlin", "Paris", "Nantes"] {
        let answer = answer.clone();
        federation
            .service(site, "Glance")
            .script_all(move |_| Some(Scripted { bytes: answer.clone(), then: Then::Keep }));
    }
    let before = memory(&federation, "VmHWM")?.max(memory(&federation, "VmRSS")?);
    let mut client = federation.connect("Berlin", "Glance")?;
    client.patience(Duration::from_secs(60))?;
    client.send("GET /v2/images HTTP/1.0\r\nHost: app\r\nX-Scope: {Glance: Berlin & Paris & Nantes}\r\n\r\n")?;
    let mut bytes = client.read_exact(1 << 20)?.len();
    // `within` is 2 s: that is for the sites, which wait for the client now.
    std::thread::sleep(Duration::from_secs(4));
    loop {
        let some = client.read_some()?;
        if some.is_empty() {
            break;
        }
        bytes += some.len();
    }
    assert!(bytes > 3 * 2000 * 10_000, "{bytes}");
    let grown = memory(&federation, "VmHWM")?.saturating_sub(before);
    tell("lists", &format!("a slow reader of {} MiB; the agent's memory grew by {} KiB", bytes >> 20, grown >> 10));
    assert!(grown < 8 << 20, "{grown} bytes");
    Ok(())
}

/// Elements just below what one may have: at most a few of each site are held at once.
#[test]
fn huge_elements_are_held_one_at_a_time() -> anyhow::Result<()> {
    let federation = three()?;
    let element = format!("{{\"id\":\"{}\"}}", "x".repeat((1 << 20) - 100));
    let answer = ok(&format!("[{}]", vec![element.as_str(); 20].join(","))).into_bytes();
    for site in ["Berlin", "Paris", "Nantes"] {
        let answer = answer.clone();
        federation.service(site, "app").script_all(move |_| Some(Scripted { bytes: answer.clone(), then: Then::Keep }));
    }
    let before = memory(&federation, "VmHWM")?.max(memory(&federation, "VmRSS")?);
    let mut client = federation.connect("Berlin", "app")?;
    client.patience(Duration::from_secs(60))?;
    let answer = client.exchange(format!("GET /long HTTP/1.1\r\nHost: app\r\nX-Scope: {ALL}\r\n\r\n"))?;
    assert_eq!(answer.json()?.as_array().map(Vec::len), Some(60));
    let grown = memory(&federation, "VmHWM")?.saturating_sub(before);
    tell("lists", &format!("60 elements of 1 MiB; the agent's memory grew by {} KiB", grown >> 10));
    assert!(grown < 20 << 20, "{grown} bytes");
    Ok(())
}
