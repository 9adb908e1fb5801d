//! Lists shaped like Glance's and Nova's: a file of a profile is all that they need.

use cheops_tests::lab::{Answer, Federation, Offered, Recorded, Scripted, Then};
use serde_json::{Value, json};

/// The shipped profiles and those of these tests.
pub(super) fn profiles() -> String {
    let here = env!("CARGO_MANIFEST_DIR");
    format!("profile-dirs = ['{here}/../cheops-agent/profiles', '{here}/tests/lists/profiles']")
}

pub(super) fn cloud() -> anyhow::Result<Federation> {
    let service = |name: &str, port, kind: &str| Offered::new(name, port).key("type", kind).key("profile", "cloud");
    let services = Federation::builder().service(service("Glance", 9292, "image"));
    services.service(service("Nova", 8774, "compute")).overlay(&profiles()).start()?.linked()
}

/// A query's parameter, as it stands there.
fn parameter(line: &str, name: &str) -> Option<String> {
    let query = line.split(' ').nth(1)?.split_once('?')?.1;
    query.split('&').find_map(|pair| Some(pair.strip_prefix(name)?.strip_prefix('=')?.replace("%2D", "-")))
}

/// A page as both services cut it: newest first, behind the marker, not longer than the limit. The elements, and the
/// query of the next page if this one is full.
fn page(line: &str, elements: &[Value]) -> Result<(Vec<Value>, Option<String>), Scripted> {
    let mut all: Vec<&Value> = elements.iter().collect();
    let key = |one: &Value| (one["created_at"].as_str().map(str::to_owned), one["id"].as_str().map(str::to_owned));
    all.sort_by_key(|one| std::cmp::Reverse(key(one)));
    let direction = parameter(line, "sort_dir");
    if direction.as_deref() == Some("asc") {
        all.reverse();
    }
    let limit = parameter(line, "limit").and_then(|limit| limit.parse().ok()).unwrap_or(25_usize).min(100);
    let from = match parameter(line, "marker") {
        None => 0,
        Some(marker) => match all.iter().position(|one| one["id"] == marker.as_str()) {
            Some(at) => at + 1,
            None => return Err(answer("400 Bad Request", &json!({ "message": "marker not found" }))),
        },
    };
    let page: Vec<Value> = all.into_iter().skip(from).take(limit).cloned().collect();
    let last = page.last().filter(|_| page.len() == limit).and_then(|one| one["id"].as_str());
    let direction = direction.map(|direction| format!("&sort_dir={direction}")).unwrap_or_default();
    let next = last.map(|id| format!("limit={limit}{direction}&marker={id}"));
    Ok((page, next))
}

fn answer(status: &str, body: &Value) -> Scripted {
    let body = body.to_string();
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
    Scripted { bytes: (head + &body).into(), then: Then::Keep }
}

fn glance(request: &Recorded, images: &[Value]) -> Scripted {
    let (page, next) = match page(&request.line(), images) {
        Ok(page) => page,
        Err(refused) => return refused,
    };
    let mut body = json!({ "images": page, "first": "/v2/images", "schema": "/v2/schemas/images" });
    if let Some(next) = next {
        body["next"] = json!(format!("/v2/images?{next}"));
    }
    answer("200 OK", &body)
}

fn nova(request: &Recorded, servers: &[Value]) -> Scripted {
    let (page, next) = match page(&request.line(), servers) {
        Ok(page) => page,
        Err(refused) => return refused,
    };
    let mut body = json!({ "servers": page });
    if let Some(next) = next {
        let host = request.header("Host").unwrap_or_default();
        body["servers_links"] = json!([{ "rel": "next", "href": format!("http://{host}/v2.1/servers/detail?{next}") }]);
    }
    answer("200 OK", &body)
}

/// So many elements over three sites, one of ten at two of them under the same id.
fn fill(federation: &Federation, count: usize) {
    for (number, site) in ["Berlin", "Paris", "Nantes"].into_iter().enumerate() {
        let here = move |n: &usize| (n % 5).min(2) == number || (n.is_multiple_of(10) && number == 1);
        let made = |n: usize| {
            let at = format!("2024-01-{:02}T{:02}:{:02}:00Z", 1 + n / 600, n / 25 % 24, n % 25);
            json!({ "id": format!("0f5c-{n:04}"), "name": format!("x-{n}"), "created_at": at, "of": site, "min_disk": 0 })
        };
        let all: Vec<Value> = (0..count).filter(here).map(made).collect();
        let same = all.clone();
        federation.service(site, "Glance").script_all(move |request| Some(glance(request, &all)));
        federation.service(site, "Nova").script_all(move |request| Some(nova(request, &same)));
    }
}

fn list(federation: &Federation, service: &str, path: &str) -> anyhow::Result<Answer> {
    let answer = federation.get("Berlin", service, path, Some(&format!("{{{service}: Berlin & Paris & Nantes}}")))?;
    anyhow::ensure!(answer.status == 200, "{path}: {} {}", answer.status, answer.text());
    anyhow::ensure!(answer.header("x-cheops-sites").as_deref() == Some("Berlin=ok, Paris=ok, Nantes=ok"));
    Ok(answer)
}

/// All pages' elements. `next` gives the path of the next page.
fn all_pages(
    federation: &Federation,
    service: &str,
    path: &str,
    limit: usize,
    list_at: &str,
    next: impl Fn(&Value) -> Option<String>,
) -> anyhow::Result<Vec<Value>> {
    let (mut seen, mut path) = (Vec::new(), Some(path.to_owned()));
    while let Some(now) = path {
        let document = list(federation, service, &now)?.json()?;
        let page = document[list_at].as_array().cloned().unwrap_or_default();
        anyhow::ensure!(page.len() <= limit, "{} of {limit}", page.len());
        seen.extend(page);
        path = next(&document);
    }
    Ok(seen)
}

fn is_newest_first(elements: &[Value]) -> bool {
    elements.iter().rev().map(|one| one["created_at"].as_str()).is_sorted()
}

/// Images are marked, come newest first over all sites, and pages follow `next` with its marker.
#[test]
fn images_of_three_sites_are_listed_as_glance_lists_them() -> anyhow::Result<()> {
    let federation = cloud()?;
    fill(&federation, 300);
    let next = |document: &Value| document["next"].as_str().map(str::to_owned);
    let first = list(&federation, "Glance", "/v2/images?limit=40")?;
    let document = first.json()?;
    assert_eq!((&document["first"], &document["schema"]), (&json!("/v2/images"), &json!("/v2/schemas/images")));
    let link = next(&document).expect("another page");
    assert!(link.starts_with("/v2/images?limit=40&marker=cheops1"), "{link}");
    assert!(first.text().contains(r#""cheops_site":"Paris"}"#), "a last member");
    for (query, limit, ascends) in
        [("limit=40", 40, false), ("", usize::MAX, false), ("sort_dir=asc&limit=100", 100, true)]
    {
        let mut seen = all_pages(&federation, "Glance", &format!("/v2/images?{query}"), limit, "images", next)?;
        if ascends {
            seen.reverse();
        }
        assert!(is_newest_first(&seen), "{query}");
        assert!(seen.iter().all(|one| one["cheops_site"] == one["of"]));
        assert_eq!(seen.len(), 330, "{query}: one of ten twice, none lost");
        let twice: Vec<&Value> = seen.iter().filter(|one| one["id"] == "0f5c-0010").collect();
        assert_eq!(twice.len(), 2, "{twice:?}");
        assert_ne!(twice[0]["cheops_site"], twice[1]["cheops_site"]);
    }
    Ok(())
}

/// Servers bear no mark, since their schema forbids it; the next page's link is absolute and in a list of links.
#[test]
fn servers_of_three_sites_are_listed_as_nova_lists_them() -> anyhow::Result<()> {
    let federation = cloud()?;
    fill(&federation, 300);
    let address = federation.address("Berlin", "Nova");
    let begins = format!("http://{address}/v2.1/servers/detail?");
    let first = list(&federation, "Nova", "/v2.1/servers/detail?limit=30")?.json()?;
    let links = first["servers_links"].as_array().expect("links");
    assert_eq!((links.len(), &links[0]["rel"]), (1, &json!("next")));
    assert!(links[0]["href"].as_str().expect("a link").starts_with(&begins), "{}", links[0]);
    let next = |document: &Value| {
        let link = document.pointer("/servers_links/0/href")?.as_str()?;
        Some(link.strip_prefix(&format!("http://{address}"))?.to_owned())
    };
    let seen = all_pages(&federation, "Nova", "/v2.1/servers/detail?limit=30", 30, "servers", next)?;
    assert!(is_newest_first(&seen));
    assert_eq!(seen.len(), 330);
    assert!(seen.iter().all(|one| one.get("cheops_site").is_none()), "no mark");
    // One resource is read at one of them, and nothing new is made at several.
    for (request, status) in [("GET /v2.1/servers/7", 200), ("POST /v2.1/servers", 501)] {
        let mut client = federation.connect("Berlin", "Nova")?;
        let scope = "X-Scope: {Nova: Berlin & Paris}\r\nContent-Length: 0\r\n";
        assert_eq!(client.exchange(format!("{request} HTTP/1.1\r\nHost: {address}\r\n{scope}\r\n"))?.status, status);
    }
    Ok(())
}

/// Clients that make the marker themselves, of the last element's id, get the same pages as those that follow links.
#[test]
fn a_marker_may_be_the_last_elements_id() -> anyhow::Result<()> {
    let federation = cloud()?;
    fill(&federation, 120);
    for (service, path, list_at) in [("Glance", "/v2/images", "images"), ("Nova", "/v2.1/servers/detail", "servers")] {
        for limit in [7, 40] {
            let (mut seen, mut marker) = (Vec::new(), String::new());
            loop {
                let page = list(&federation, service, &format!("{path}?limit={limit}{marker}"))?.json()?;
                let page = page[list_at].as_array().cloned().unwrap_or_default();
                let Some(last) = page.last().and_then(|one| one["id"].as_str()) else { break };
                assert!(page.len() <= limit, "{} of {limit}", page.len());
                marker = format!("&marker={last}");
                seen.extend(page);
                assert!(seen.len() <= 132, "{service} {limit}: {} of 132", seen.len());
            }
            assert!(is_newest_first(&seen), "{service} {limit}");
            let ids: std::collections::BTreeSet<&str> = seen.iter().filter_map(|one| one["id"].as_str()).collect();
            assert_eq!(ids.len(), 120, "{service} {limit}: none is lost");
        }
    }
    let scope = Some("{Glance: Berlin & Paris & Nantes}");
    let answer = federation.get("Berlin", "Glance", "/v2/images?limit=7&marker=nobody", scope)?;
    assert_eq!((answer.status, answer.json()?["code"].as_str()), (400, Some("invalid-marker")));
    Ok(())
}
