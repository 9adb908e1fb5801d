//! `A & B` for lists: one list of several sites' lists.

mod any;
mod headers;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;

/// An OpenStack-like image list.
pub(super) const PROFILE: &str = r#"
version = 1
[methods]
collection = { GET = "list", HEAD = "list", POST = "create" }
[[kinds]]
name = "image"
collections = ["/v2/images"]
items = ["/v2/images/{id}"]
[kinds.list]
elements = "/images"
id = "/id"
next = "/next"
marker = "marker"
limit = "limit"
within = 2
totals = ["/total"]
sort = { default = "created_at:desc", parameter = "sort_key", direction = "sort_dir", descending = true }
[[kinds]]
name = "record"
collections = ["/v1/records"]
[kinds.list]
elements = ""
next-header = "Link"
limit = "limit"
within = 2
total-headers = ["Total-Records"]
sort = { parameter = "sort" }
[[kinds]]
name = "entry"
collections = ["/v1/entries"]
[kinds.list]
elements = "/data"
next-header = "Next-Page"
limit = "limit"
totals = ["/total"]
[[kinds]]
name = "issue"
collections = ["/v4/issues"]
[kinds.list]
token-header = "X-Next-Page"
marker = "page"
limit = "per_page"
[[kinds]]
name = "object"
collections = ["/v1/objects"]
[kinds.list]
next-header = "Link"
marker = "after"
limit = "limit"
sort = { default = "n" }
"#;

fn answer(body: &str) -> String {
    format!(
        "HTTP/1.1 200 Fine\r\nContent-Type: application/json\r\nETag: \"1\"\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn says(says: impl Fn(&str) -> String + Send + Sync + 'static) -> Does {
    Does::Says(Arc::new(says))
}

fn lists(body: &'static str) -> Does {
    says(move |_| answer(body))
}

fn get(path: &str, scope: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: glance\r\nX-Scope: {scope}\r\n\r\n")
}

const ALL: &str = "{Glance: Berlin & Paris & Nantes}";

/// The body without its chunks' framing.
fn body(outcome: &Outcome) -> String {
    let head = RequestHead::parse(Bytes::from_static(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"), 10).expect("a head");
    let raw = Bytes::copy_from_slice(outcome.head().as_bytes());
    let head = crate::http::AnswerHead::parse(raw, 100, head.method()).expect("a head");
    let (mut framing, mut content) = (crate::http::Body::new(head.length()), Vec::new());
    let used = framing.read(outcome.body().as_bytes(), &mut |part| content.extend_from_slice(part)).expect("framing");
    assert!(used == outcome.body().len() && (framing.is_done() || framing.ends_with_close()), "{}", outcome.answer);
    String::from_utf8(content).expect("text")
}

fn field<'a>(outcome: &'a Outcome, name: &str) -> Option<&'a str> {
    outcome.head().lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[tokio::test(flavor = "multi_thread")]
async fn elements_keep_their_bytes_and_say_their_site() {
    let sites = sites([
        lists(r#"{"kind":"L","data":[{"id":"a","n":1.50}],"more":false}"#),
        lists(r#"{"data":[ {"id":"a"} , 7 ],"kind":"other"}"#),
        lists(r#"{"data":[]}"#),
    ])
    .await;
    let request = get("/v2/images?x=1", ALL)
        .replace("Host", "accept-Encoding: gzip\r\nIf-None-Match: \"1\"\r\nX-Keep: 1\r\nHost");
    let outcome = ask(&sites.berlin, &sites.berlin, &request).await;
    assert_eq!(
        body(&outcome),
        r#"{"kind":"L","data":[{"id":"a","n":1.50,"cheops_site":"Berlin"},{"id":"a","cheops_site":"Paris"},7],"more":false}"#
    );
    assert!(outcome.head().starts_with("HTTP/1.1 200 Fine\r\n") && field(&outcome, "ETag").is_none());
    assert_eq!(field(&outcome, "X-Cheops-Sites"), Some("Berlin=ok, Paris=ok, Nantes=ok"));
    assert_eq!(field(&outcome, "Content-Type"), Some("application/json"));
    for seen in [&sites.berlin, &sites.paris, &sites.nantes].map(|at| at.service.seen()) {
        assert_eq!(
            seen,
            ["GET /v2/images?x=1 HTTP/1.1\r\nX-Keep: 1\r\nHost: glance\r\nAccept-Encoding: identity\r\n\r\n"]
        );
    }
    let finished = outcome.ended.expect("an answer");
    assert_eq!((finished.status, finished.next), (200, Next::Request));
    let star = ask(&sites.berlin, &sites.berlin, &get("/v2/images", "{Glance: *}")).await;
    assert!(body(&star).contains("Berlin") && body(&star).contains("Paris"));
}

#[tokio::test(flavor = "multi_thread")]
async fn old_clients_get_the_end_by_the_close_and_head_gets_no_body() {
    let sites = sites([lists("[1]"), lists("[2]"), lists("[3]")]).await;
    let old = get("/v2/images", ALL).replace("HTTP/1.1", "HTTP/1.0");
    let outcome = ask(&sites.berlin, &sites.berlin, &old).await;
    assert_eq!((outcome.body(), field(&outcome, "Connection")), ("[1,2,3]", Some("close")));
    assert_eq!(outcome.ended.expect("an answer").next, Next::End);
    let head = get("/v2/images", ALL).replace("GET", "HEAD");
    let outcome = ask(&sites.berlin, &sites.berlin, &head).await;
    assert_eq!((outcome.body(), field(&outcome, "X-Cheops-Sites")), ("", Some("Berlin=ok, Paris=ok, Nantes=ok")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_without_a_list_is_named_and_the_others_serve() {
    let options = || Options { profile: "images", ..Options::default() };
    let half = says(|_| "HTTP/1.1 200 OK\r\nContent-Length: 99\r\nConnection: close\r\n\r\n{\"images\":[".to_owned());
    let mut sites = sites_with([lists(r#"{"images":[{}]}"#), Does::Hangs, lists("<html>")], options()).await;
    let outcome = ask(&sites.berlin, &sites.berlin, &get("/v2/images", ALL)).await;
    assert_eq!(field(&outcome, "X-Cheops-Sites"), Some("Berlin=ok, Paris=timeout, Nantes=broken"));
    assert_eq!(body(&outcome), r#"{"images":[{"cheops_site":"Berlin"}]}"#);
    sites.paris.kill_seen_by(&sites.berlin).await;
    sites.nantes.service.stop().await;
    let outcome = ask(&sites.berlin, &sites.berlin, &get("/v2/images", ALL)).await;
    assert_eq!(field(&outcome, "X-Cheops-Sites"), Some("Berlin=ok, Paris=unreachable, Nantes=unreachable"));
    let none = ask(&sites.berlin, &sites.berlin, &get("/v2/images", "{Glance: Paris & Nantes}")).await;
    let (code, detail) = none.problem();
    assert_eq!(code, "no-site-answered");
    assert!(detail.contains("Paris") && detail.contains("Nantes"), "{detail}");

    let refuses = says(|_| "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno".to_owned());
    let sites = sites_with([refuses.clone(), lists(r#"{"images":[]}"#), half], options()).await;
    let outcome = ask(&sites.berlin, &sites.berlin, &get("/v2/images", "{Glance: Berlin & Paris}")).await;
    assert_eq!(field(&outcome, "X-Cheops-Sites"), Some("Berlin=403, Paris=ok"));
    assert_eq!(body(&outcome), r#"{"images":[]}"#);
    let outcome = ask(&sites.berlin, &sites.berlin, &get("/v2/images", "{Glance: Nantes & Berlin}")).await;
    assert_eq!(field(&outcome, "X-Cheops-Sites"), Some("Nantes=timeout, Berlin=403"));
    assert!(outcome.head().starts_with("HTTP/1.1 403 No\r\n") && outcome.body() == "no", "{}", outcome.answer);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_breaks_after_the_answer_began_never_looks_whole() {
    let long = says(|_| {
        let elements: String = (0..20_000).map(|n| format!("{{\"id\":{n}}},")).collect();
        format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[{elements}oops")
    });
    let sites = sites([lists("[1]"), long, lists("[3]")]).await;
    let outcome = ask(&sites.berlin, &sites.berlin, &get("/v2/images", ALL)).await;
    assert!(outcome.head().contains("Paris=ok") && !outcome.answer.ends_with("0\r\n\r\n"));
    assert!(matches!(outcome.ended, Err(RunError::Exchange(_))));
}

/// Images of one site: created and id.
type Images = Arc<Mutex<BTreeMap<(i64, String), ()>>>;

fn value<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let query = line.split(' ').nth(1)?.split_once('?')?.1;
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

/// A service as Glance: newest first, `limit` and `marker`, `next` when the page is full.
fn glance(images: Images) -> Does {
    says(move |request| {
        let images = images.lock().expect("no panic");
        let limit: usize = value(request, "limit").and_then(|limit| limit.parse().ok()).unwrap_or(25).min(1000);
        let ascends = value(request, "sort_dir") == Some("asc");
        let mut all: Vec<_> = images.keys().collect();
        if !ascends {
            all.reverse();
        }
        let from = match value(request, "marker") {
            None => 0,
            Some(marker) => match all.iter().position(|(_, id)| id.replace('-', "%2D") == marker) {
                Some(at) => at + 1,
                None => return "HTTP/1.1 400 Marker not found\r\nContent-Length: 0\r\n\r\n".to_owned(),
            },
        };
        let page: Vec<_> = all.iter().skip(from).take(limit).collect();
        let mut document = json!({ "first": "/v2/images", "total": images.len() });
        if page.len() == limit
            && let Some((_, last)) = page.last()
        {
            document["next"] = json!(format!("/v2/images?marker={last}&limit={limit}"));
        }
        document["images"] = page.iter().map(|(at, id)| json!({ "created_at": at, "id": id })).collect();
        answer(&document.to_string())
    })
}

async fn page(at: &AtSite, path: &str, parameter: bool) -> Value {
    let request = match parameter {
        true => format!("GET {path} HTTP/1.1\r\nHost: glance\r\n\r\n"),
        false => get(path, ALL),
    };
    let outcome = ask(at, at, &request).await;
    assert_eq!(field(&outcome, "X-Cheops-Sites"), Some("Berlin=ok, Paris=ok, Nantes=ok"), "{:.300}", outcome.answer);
    serde_json::from_str(&body(&outcome)).expect("JSON")
}

fn three_images(count: i64) -> [Images; 3] {
    [0, 1, 2].map(|site| {
        // Unevenly, and Paris has only old ones: the lists end on different pages.
        let of = move |at: &i64| if (at % 7).min(2) == 1 && *at >= count / 2 { 0 } else { (at % 7).min(2) };
        let mine = (0..count).filter(move |at| of(at) == site);
        Arc::new(Mutex::new(mine.map(|at| ((at, format!("id-{at}")), ())).collect()))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_elements_are_paged_in_order_each_once() {
    let images = three_images(10_000);
    let options = Options { profile: "images", ..Options::default() };
    let sites = sites_with(images.map(glance), options).await;
    for (size, direction, parameter) in
        [(997, "desc", false), (333, "asc", true), (1000, "desc", true), (20_000, "asc", false)]
    {
        let mut path = format!("/v2/images?limit={size}&sort_dir={direction}");
        if parameter {
            path += "&scope=%7BGlance:Berlin%26Paris%26Nantes%7D";
        }
        let (mut seen, mut next) = (Vec::new(), Some(path));
        while let Some(path) = next {
            let document = page(&sites.berlin, &path, parameter).await;
            assert_eq!(document["total"], 10_000);
            let images = document["images"].as_array().expect("a list");
            assert!(images.len() <= size);
            seen.extend(images.iter().map(|image| image["created_at"].as_i64().expect("a number")));
            next = document.get("next").map(|next| next.as_str().expect("a link").to_owned());
        }
        if direction == "desc" {
            seen.reverse();
        }
        assert!(seen.iter().copied().eq(0..10_000), "pages of {size}: {} elements", seen.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_and_goes_between_pages_breaks_nothing() {
    let images = three_images(600);
    let options = Options { profile: "images", ..Options::default() };
    let sites = sites_with(images.clone().map(glance), options).await;
    let (mut seen, mut next, mut added) = (Vec::new(), Some("/v2/images?limit=50".to_owned()), 10_000);
    while let Some(path) = next {
        let document = page(&sites.berlin, &path, false).await;
        let page = document["images"].as_array().expect("a list");
        seen.extend(page.iter().map(|image| image["created_at"].as_i64().expect("a number")));
        next = document.get("next").map(|next| next.as_str().expect("a link").to_owned());
        // The last two that this page had of a site with several go, and newer ones come.
        for of in &images {
            let mut of = of.lock().expect("no panic");
            let here = &seen[seen.len() - page.len()..];
            let mut last: Vec<_> = of.keys().filter(|(at, _)| here.contains(at)).take(3).cloned().collect();
            last.truncate(if last.len() == 3 { 2 } else { 0 });
            of.retain(|key, ()| !last.contains(key));
            of.insert((added, format!("id-{added}")), ());
            added += 1;
        }
    }
    // A list of which nothing was shown yet is at its beginning: what is added there may be shown.
    seen.retain(|at| *at < 10_000);
    seen.reverse();
    assert!(seen.iter().copied().eq(0..600), "{} elements", seen.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_marker_that_no_site_knows_is_refused() {
    let options = Options { profile: "images", ..Options::default() };
    let sites = sites_with(three_images(9).map(glance), options).await;
    let outcome = ask(&sites.berlin, &sites.berlin, &get("/v2/images?marker=id-99", ALL)).await;
    assert_eq!(outcome.refusal_code(), "invalid-marker");
}
