//! Pages of which headers tell the next one.

use serde_json::{Value, json};

use super::*;

/// An API that pages by number of the page or by the last element, and says so in headers only.
struct Numbered {
    elements: Vec<Value>,
    /// The parameter with a page's length; without it a page has 100.
    limit: &'static str,
    /// Whether pages go on behind an element; else they have numbers.
    by_id: bool,
    /// The answer's head and body for a page: its elements, and the query of the next.
    answer: fn(&Numbered, Value, Option<String>) -> String,
}

impl Numbered {
    fn does(self) -> Does {
        says(move |request| self.answered(request))
    }

    fn answered(&self, request: &str) -> String {
        let limit: usize = value(request, self.limit).and_then(|limit| limit.parse().ok()).unwrap_or(100).min(400);
        let mut all: Vec<&Value> = self.elements.iter().collect();
        if let Some("%2Dn" | "-n") = value(request, "sort") {
            all.reverse();
        }
        let number: usize = value(request, "page").and_then(|page| page.parse().ok()).unwrap_or(1);
        let from = match value(request, "after") {
            Some(id) => all.iter().position(|one| one["id"] == id).map_or(usize::MAX, |at| at + 1),
            None => (number - 1) * limit,
        };
        let page: Vec<&Value> = all.iter().copied().skip(from).take(limit).collect();
        let more = from + page.len() < all.len();
        let sort = value(request, "sort").map(|sort| format!("&sort={sort}")).unwrap_or_default();
        let next = if self.by_id {
            format!("after={}", page.last().map(|one| one["id"].as_str().expect("text")).unwrap_or_default())
        } else {
            format!("page={}", number + 1)
        };
        let next = more.then(|| format!("{}={limit}&{next}{sort}", self.limit));
        (self.answer)(self, json!(page), next)
    }
}

fn written(fields: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn linked(all: &Numbered, page: Value, next: Option<String>) -> String {
    let next = next.map(|next| format!("</v1/records?{next}>; rel=\"next\", ")).unwrap_or_default();
    let total = all.elements.len();
    let link = format!("Link: {next}</v1/records?page=1>; rel=first, </help>; rel=\"help\"\r\n");
    written(&format!("{link}Total-Records: {total}\r\n"), &page.to_string())
}

fn named(all: &Numbered, page: Value, next: Option<String>) -> String {
    let next = next.map(|next| format!("Next-Page: http://glance/v1/entries?{next}\r\n")).unwrap_or_default();
    written(&next, &json!({ "data": page, "total": all.elements.len() }).to_string())
}

fn tokened(_: &Numbered, page: Value, next: Option<String>) -> String {
    let page_number = |next: String| next.split("page=").last().and_then(|rest| rest.parse().ok()).unwrap_or(0);
    let next = next.map(page_number).map(|number: u32| number.to_string()).unwrap_or_default();
    written(&format!("X-Next-Page: {next}\r\n"), &page.to_string())
}

/// Elements from 0 to `count` over three sites, unevenly; every hundredth is at two sites under one id.
fn spread(count: usize) -> [Vec<Value>; 3] {
    [0, 1, 2].map(|site| {
        let here =
            move |n: &usize| (n % 7).min(2) == site || (n.is_multiple_of(100) && ((n % 7).min(2) + 1) % 3 == site);
        (0..count).filter(here).map(|n| json!({ "id": format!("id{n}"), "n": n })).collect()
    })
}

async fn three(
    count: usize,
    limit: &'static str,
    by_id: bool,
    answer: fn(&Numbered, Value, Option<String>) -> String,
) -> Sites {
    let does = spread(count).map(|elements| Numbered { elements, limit, by_id, answer }.does());
    sites_with(does, Options { profile: "images", ..Options::default() }).await
}

fn fields<'a>(outcome: &'a Outcome, name: &str) -> Vec<&'a str> {
    let lines = outcome.head().lines();
    lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).collect()
}

/// One page, and the path of the next.
async fn one_page(
    at: &AtSite,
    path: &str,
    next: fn(&Outcome) -> Option<String>,
) -> (Outcome, Vec<Value>, Option<String>) {
    let outcome = ask(at, at, &get(path, ALL)).await;
    assert_eq!(field(&outcome, "X-Cheops-Sites"), Some("Berlin=ok, Paris=ok, Nantes=ok"), "{:.500}", outcome.answer);
    let document: Value = serde_json::from_str(&body(&outcome)).expect("JSON");
    let elements = document.as_array().or(document["data"].as_array()).expect("a list").clone();
    let next = next(&outcome);
    (outcome, elements, next)
}

fn by_link(outcome: &Outcome) -> Option<String> {
    let next =
        fields(outcome, "Link").into_iter().find_map(|link| link.strip_suffix(">; rel=\"next\"")?.strip_prefix('<'));
    next.map(str::to_owned)
}

/// All pages: each element's site and number, and how many pages there were. No page has more than `limit`.
async fn paged(
    at: &AtSite,
    path: &str,
    limit: usize,
    next: fn(&Outcome) -> Option<String>,
) -> (Vec<(String, u64)>, usize) {
    let (mut seen, mut pages, mut goes_on) = (Vec::new(), 0, Some(path.to_owned()));
    while let Some(path) = goes_on {
        let (_, elements, following) = one_page(at, &path, next).await;
        assert!(elements.len() <= limit, "{} elements on a page of {limit}", elements.len());
        let told =
            |one: &Value| (one["cheops_site"].as_str().expect("a site").to_owned(), one["n"].as_u64().expect("n"));
        seen.extend(elements.iter().map(told));
        (pages, goes_on) = (pages + 1, following);
        assert!(pages < 1000, "no end");
    }
    (seen, pages)
}

/// What all sites have, as often as they have it.
fn everything(count: usize) -> Vec<(String, u64)> {
    let of = |(name, elements): (&str, Vec<Value>)| {
        let name = name.to_owned();
        elements.into_iter().map(move |one| (name.clone(), one["n"].as_u64().expect("n")))
    };
    NAMES.into_iter().zip(spread(count)).flat_map(of).collect()
}

fn sorted(mut seen: Vec<(String, u64)>) -> Vec<(String, u64)> {
    seen.sort();
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_elements_are_paged_by_links_in_heads_each_once_and_in_order() {
    let sites = three(10_000, "limit", false, linked).await;
    let expected = sorted(everything(10_000));
    assert_eq!(expected.len(), 10_100, "every hundredth twice");
    for (query, limit, order) in [("limit=333&sort=n", 333, 1), ("limit=400&sort=-n", 400, -1), ("limit=257", 257, 0)] {
        let (seen, pages) = paged(&sites.berlin, &format!("/v1/records?{query}"), limit, by_link).await;
        let numbers: Vec<u64> = seen.iter().map(|(_, n)| *n).collect();
        assert!(order != 1 || numbers.is_sorted(), "{query}");
        assert!(order != -1 || numbers.iter().rev().is_sorted(), "{query}");
        assert!(pages >= 10_100 / limit, "{pages} pages");
        assert_eq!(sorted(seen), expected, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_head_tells_of_the_whole_union_and_keeps_other_links() {
    let sites = three(1000, "limit", false, linked).await;
    let path = "/v1/records?limit=300&sort=n&x=%2F";
    let (outcome, elements, next) = one_page(&sites.berlin, path, by_link).await;
    assert_eq!(elements.len(), 300);
    assert_eq!(fields(&outcome, "Total-Records"), ["1010"]);
    let next = next.expect("another page");
    assert!(next.starts_with("/v1/records?limit=300&sort=n&x=%2F&cheops-marker=cheops1"), "{next}");
    assert_eq!(fields(&outcome, "Link"), ["</help>; rel=\"help\"", &format!("<{next}>; rel=\"next\"")]);
    // HEAD: all but what only the elements tell.
    let head = ask(&sites.berlin, &sites.berlin, &get(path, ALL).replace("GET", "HEAD")).await;
    assert_eq!((head.body(), fields(&head, "Total-Records")), ("", vec!["1010"]));
    assert_eq!(fields(&head, "Link"), ["</help>; rel=\"help\""]);
    // The last page's sum counts the sites that ended before.
    let mut last = outcome;
    let mut goes_on = Some(next);
    while let Some(path) = goes_on {
        (last, _, goes_on) = one_page(&sites.berlin, &path, by_link).await;
    }
    assert_eq!((fields(&last, "Total-Records"), fields(&last, "Link")), (vec!["1010"], vec!["</help>; rel=\"help\""]));
}

#[tokio::test(flavor = "multi_thread")]
async fn other_headers_tell_of_the_next_page_where_the_profile_names_them() {
    let sites = three(2000, "limit", false, named).await;
    let next = |outcome: &Outcome| {
        let next = field(outcome, "Next-Page")?;
        Some(next.strip_prefix("http://glance").expect("the form of the service's own").to_owned())
    };
    for (path, limit) in [("/v1/entries?limit=150", 150), ("/v1/entries", usize::MAX)] {
        let (seen, pages) = paged(&sites.berlin, path, limit, next).await;
        assert!(pages > 10, "{pages}");
        assert_eq!(sorted(seen), sorted(everything(2000)));
    }
    let (outcome, ..) = one_page(&sites.berlin, "/v1/entries?limit=9", next).await;
    let document: Value = serde_json::from_str(&body(&outcome)).expect("JSON");
    assert_eq!(document["total"], 2020);

    let sites = three(2000, "per_page", false, tokened).await;
    let next = |outcome: &Outcome| Some(format!("/v4/issues?per_page=170&page={}", field(outcome, "X-Next-Page")?));
    let (seen, _) = paged(&sites.berlin, "/v4/issues?per_page=170", 170, next).await;
    assert_eq!(sorted(seen), sorted(everything(2000)));
}

/// Behind an element and told by a link, sorted though nobody asked: the profile says that the lists are.
#[tokio::test(flavor = "multi_thread")]
async fn pages_behind_an_element_may_be_told_in_the_head_too() {
    let sites = three(3000, "limit", true, linked).await;
    for (path, limit, least) in [("/v1/objects?limit=99", 99, 30), ("/v1/objects", usize::MAX, 10)] {
        let (seen, pages) = paged(&sites.berlin, path, limit, by_link).await;
        assert!(pages >= least, "{pages}");
        assert!(seen.iter().map(|(_, n)| *n).is_sorted());
        assert_eq!(sorted(seen), sorted(everything(3000)), "{path}");
    }
}

/// What must be there before it goes out has a bound, and what is beyond comes with the next page.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_put_together_has_a_bound() {
    let of = |site: usize| Numbered {
        elements: (0..60)
            .map(|n| json!({ "id": format!("{n}"), "n": n * 3 + site, "x": "x".repeat(100_000) }))
            .collect(),
        limit: "limit",
        by_id: false,
        answer: linked,
    };
    let sites =
        sites_with([0, 1, 2].map(|site| of(site).does()), Options { profile: "images", ..Options::default() }).await;
    let (outcome, elements, _) = one_page(&sites.berlin, "/v1/records?limit=100&sort=n", by_link).await;
    assert!((40..=43).contains(&elements.len()) && body(&outcome).len() < (4 << 20) + (1 << 18), "{}", elements.len());
    let (seen, pages) = paged(&sites.berlin, "/v1/records?limit=100&sort=n", 100, by_link).await;
    assert_eq!((seen.iter().map(|(_, n)| *n).collect::<Vec<_>>(), pages), ((0..180).collect(), 5));
}

/// A site that breaks before the answer went out is named, and what it gave until then is not lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_breaks_within_such_a_page_is_named_and_the_others_go_on() {
    let [berlin, mut paris, nantes] = spread(900);
    paris.iter_mut().for_each(|one| one["x"] = json!("x".repeat(16_000)));
    let numbered = |elements| Numbered { elements, limit: "limit", by_id: false, answer: linked };
    let whole = numbered(paris.clone());
    // The beginning comes, more than is read before the sites are united; then nonsense.
    let breaks = says(move |request| {
        let answer = whole.answered(request);
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let cut = body.len() / 10;
        format!("{head}\r\n\r\n{}{}", &body[..cut], "!".repeat(body.len() - cut))
    });
    let does = [numbered(berlin.clone()).does(), breaks, numbered(nantes.clone()).does()];
    let sites = sites_with(does, Options { profile: "images", ..Options::default() }).await;
    let outcome = ask(&sites.berlin, &sites.berlin, &get("/v1/records?limit=400&sort=n", ALL)).await;
    assert_eq!(field(&outcome, "X-Cheops-Sites"), Some("Berlin=ok, Paris=broken, Nantes=ok"));
    let elements: Vec<Value> = serde_json::from_str(&body(&outcome)).expect("JSON");
    assert_eq!(elements.len(), 400);
    let at = |site: &str| elements.iter().filter(|one| one["cheops_site"] == site).count();
    assert!(at("Paris") > 5, "what it gave is shown");
    assert_eq!(outcome.ended.as_ref().expect("an answer").next, Next::Request);
    assert!(by_link(&outcome).is_some());
    // All of them: nothing was sent yet, so it is said in an answer.
    let outcome = ask(&sites.berlin, &sites.berlin, &get("/v1/records?limit=400&sort=n", "{Glance: Paris & *}")).await;
    assert_eq!(field(&outcome, "X-Cheops-Sites"), Some("Paris=broken, Berlin=ok, Nantes=ok"));
}
