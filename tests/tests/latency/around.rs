//! `around` and `*`: the nearest live site at the time of the request, and never two.

use std::time::Duration;

use cheops_tests::lab::{Answer, Federation, Offered, Then, eventually};

use super::{SOON, away, distance, four, until, until_measured};

fn get(federation: &Federation, scope: &str) -> anyhow::Result<Answer> {
    federation.get("Berlin", "app", "/echo/1", Some(scope))
}

/// Who answers a request with that scope at Berlin.
fn who(federation: &Federation, scope: &str) -> Option<String> {
    let answer = get(federation, scope).ok().filter(|answer| answer.status == 200)?;
    let site = answer.header("x-cheops-site")?;
    assert_eq!(Some(&site), answer.site().as_ref());
    Some(site)
}

fn problem(answer: &Answer) -> anyhow::Result<(u16, String, String)> {
    let told = answer.json()?;
    let text = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
    Ok((answer.status, text("code"), text("hint")))
}

fn posts(federation: &Federation, site: &str) -> usize {
    federation.service(site, "app").requests().iter().filter(|seen| seen.line().starts_with("POST")).count()
}

fn post(federation: &Federation, scope: &str) -> anyhow::Result<Answer> {
    let body = "once";
    let length = body.len();
    let head = format!("POST /echo HTTP/1.1\r\nHost: app\r\nX-Scope: {scope}\r\nContent-Length: {length}\r\n\r\n");
    federation.connect("Berlin", "app")?.exchange(format!("{head}{body}"))
}

/// Asked at Berlin for what is near Lyon, which Lyon measures: the delay of its link to Paris goes up and down again.
#[test]
fn around_follows_a_changing_delay() -> anyhow::Result<()> {
    let federation = four()?;
    away(&federation, "Lyon", "Paris", 10);
    away(&federation, "Lyon", "Nantes", 30);
    until_measured(&federation);
    let around = "{app: around(Lyon, 50ms)}";
    let federation = &federation;
    let follows = |site: &str, within| {
        let is = eventually(within, || who(federation, around).as_deref() == Some(site));
        assert!(is, "{site}: {:?}", federation.agent("Berlin").cheops(&["map"]));
    };
    follows("Paris", SOON);
    assert_eq!(who(federation, "{around: Lyon, 50ms}").as_deref(), Some("Paris"));
    assert_eq!(who(federation, "{app: around(Lyon, 50ms) || Berlin}").as_deref(), Some("Paris"));
    assert_eq!(who(federation, "{app: Nantes || around(Lyon, 50ms)}").as_deref(), Some("Nantes"));
    assert_eq!(who(federation, "{app: around(Berlin, 1s)}").as_deref(), Some("Berlin"));
    assert_eq!(who(federation, "{app: *}").as_deref(), Some("Berlin"));
    away(federation, "Lyon", "Paris", 80);
    follows("Nantes", Duration::from_secs(15));
    assert!(distance(federation, "Berlin", "Lyon", "Paris").is_some_and(|ms| (79.0..200.0).contains(&ms)));
    away(federation, "Lyon", "Paris", 10);
    follows("Paris", Duration::from_secs(15));
    explained(federation, around)
}

/// `explain` names each site, its distance, who measured it when, and why it is in or out.
fn explained(federation: &Federation, scope: &str) -> anyhow::Result<()> {
    let url = format!("http://{}/echo/1", federation.address("Berlin", "app"));
    let output = federation.agent("Berlin").cheops(&["explain", "--scope", scope, "GET", &url])?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    for part in [
        "ms from Lyon (Lyon measured it",
        "is tried [in-range]",
        "Berlin, 6",
        "is out of range, 50 ms at most [out-of-range]",
        "Lyon itself: has no endpoint of the service that takes scopes [no-endpoint]",
        "the scope binds app to Paris, else Nantes",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(output.status.code(), Some(0));
    Ok(())
}

/// The first site in range takes the request or it doesn't; what may have happened there is never repeated.
#[test]
fn around_never_asks_two() -> anyhow::Result<()> {
    let mut federation = four()?;
    until_measured(&federation);
    let around = "{app: around(Paris, 50ms)}";
    assert_eq!(who(&federation, around).as_deref(), Some("Paris"));

    // Nothing reached it: the next one serves.
    federation.service_mut("Paris", "app").stop();
    let answer = post(&federation, around)?;
    assert_eq!((answer.status, answer.site().as_deref()), (200, Some("Berlin")));
    assert_eq!(answer.header("x-cheops-sites").as_deref(), Some("Paris=unreachable, Berlin=answered"));
    federation.service_mut("Paris", "app").restart()?;

    // It took the request and was lost before it answered.
    federation.service("Paris", "app").script("/echo", "", Then::Close);
    let answer = post(&federation, around)?;
    assert_eq!((answer.status, answer.json()?["code"].as_str()), (502, Some("outcome-unknown")));
    assert_eq!((posts(&federation, "Paris"), posts(&federation, "Berlin"), posts(&federation, "Nantes")), (1, 1, 0));

    // A dead site is none in range.
    federation.agent_mut("Paris").kill9()?;
    until(&federation, "Berlin", "Paris", "down", Duration::from_secs(10));
    let mut answer = post(&federation, around)?;
    let not_tried = || {
        answer = post(&federation, around).expect("an answer");
        answer.header("x-cheops-sites").is_none()
    };
    assert!(eventually(Duration::from_secs(2), not_tried), "a dead site is tried first");
    assert_eq!((answer.status, answer.header("x-cheops-site").as_deref()), (200, Some("Berlin")));
    Ok(())
}

/// Unknown is not zero: nobody ever measured Mars.
#[test]
fn an_unknown_distance_is_refused() -> anyhow::Result<()> {
    let federation = Federation::builder()
        .service(Offered::new("app", 8080))
        .configure(|_, table| {
            let mars = toml::toml! { name = "Mars" peer = "10.77.99.1:7117" };
            let sites = table.get_mut("sites").and_then(|sites| sites.as_array_mut()).expect("sites");
            sites.push(mars.into());
        })
        .start()?;
    until(&federation, "Berlin", "Paris", "up", SOON);
    let answer = get(&federation, "{app: around(Mars, 500ms)}")?;
    let (status, code, hint) = problem(&answer)?;
    assert_eq!((status, code.as_str()), (503, "distance-unknown"));
    assert!(hint.contains("Paris, its distance from Mars is unknown: can't be in range"), "{hint}");
    assert_eq!(who(&federation, "{app: Nantes || around(Mars, 500ms)}").as_deref(), Some("Nantes"));
    assert_eq!(who(&federation, "{app: Paris & around(Mars, 500ms)}").as_deref(), Some("Paris"));
    let answer = post(&federation, "{app: Paris & around(Mars, 500ms)}")?;
    assert_eq!((answer.status, answer.json()?["code"].as_str()), (501, Some("collaboration-not-built")));
    Ok(())
}

/// Asks Berlin for a list of what is near Lyon. Which sites were asked, and whose elements came.
fn listed(federation: &Federation, path: &str, scope: &str) -> anyhow::Result<(String, Vec<String>)> {
    let answer = federation.get("Berlin", "app", path, Some(scope))?;
    let list = answer.json()?;
    let elements = list.as_array().or(list["things"].as_array()).into_iter().flatten();
    let sites = elements.map(|element| element["cheops_site"].as_str().unwrap_or("none").to_owned()).collect();
    Ok((answer.header("x-cheops-sites").unwrap_or_default(), sites))
}

fn things(federation: &Federation) {
    for site in ["Berlin", "Paris", "Nantes"] {
        let body = format!("[{{\"of\":\"{site}\"}}]");
        let length = body.len();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
        federation.service(site, "app").script("/things", answer, Then::Keep);
    }
}

/// A list by `around` is of all sites in range, as the named site measures them, nearest first, and is marked also where
/// one site is left. With `||` it's the first that answers.
#[test]
fn a_list_by_around_is_of_all_sites_in_range() -> anyhow::Result<()> {
    let mut federation = four()?;
    things(&federation);
    away(&federation, "Lyon", "Paris", 10);
    away(&federation, "Lyon", "Nantes", 30);
    until_measured(&federation);
    let around = "{app: around(Lyon, 50ms)}";
    let is = |federation: &Federation, scope: &str, told: &str, sites: &[&str]| {
        let mut now = Default::default();
        let is = eventually(SOON, || {
            now = listed(federation, "/things", scope).unwrap_or_default();
            now.0 == told && now.1 == sites
        });
        assert!(is, "{scope}: {now:?}");
    };
    is(&federation, around, "Paris=ok, Nantes=ok", &["Paris", "Nantes"]);
    is(&federation, "{around: Lyon, 50ms}", "Paris=ok, Nantes=ok", &["Paris", "Nantes"]);
    is(
        &federation,
        "{app: Berlin & around(Lyon, 50ms)}",
        "Berlin=ok, Paris=ok, Nantes=ok",
        &["Berlin", "Paris", "Nantes"],
    );
    is(&federation, "{app: *}", "Berlin=ok, Paris=ok, Nantes=ok", &["Berlin", "Paris", "Nantes"]);
    let first = listed(&federation, "/things", "{app: Nantes || around(Lyon, 50ms)}")?;
    assert_eq!(first.1, ["none"], "Nantes's own answer");
    away(&federation, "Lyon", "Paris", 80);
    is(&federation, around, "Nantes=ok", &["Nantes"]);
    away(&federation, "Lyon", "Paris", 10);
    away(&federation, "Lyon", "Nantes", 3);
    is(&federation, around, "Nantes=ok, Paris=ok", &["Nantes", "Paris"]);

    // In range, and gives no list; then known to be down.
    federation.service_mut("Paris", "app").stop();
    is(&federation, around, "Nantes=ok, Paris=unreachable", &["Nantes"]);
    federation.agent_mut("Paris").kill9()?;
    is(&federation, around, "Nantes=ok, Paris=down", &["Nantes"]);

    // Only lists: nothing is made at several sites.
    let answer = post(&federation, "{app: Berlin & around(Lyon, 50ms)}")?;
    assert_eq!((answer.status, answer.json()?["code"].as_str()), (501, Some("collaboration-not-built")));
    assert_eq!(posts(&federation, "Berlin") + posts(&federation, "Nantes"), 0);
    Ok(())
}

/// What `explain` says of a list: each site's distance, how old it is and who measured it, and why it is in or out.
#[test]
fn a_list_by_around_is_explained() -> anyhow::Result<()> {
    let federation = four()?;
    things(&federation);
    away(&federation, "Lyon", "Paris", 10);
    away(&federation, "Lyon", "Nantes", 30);
    away(&federation, "Lyon", "Berlin", 90);
    until_measured(&federation);
    let explained = |line: &[&str]| -> anyhow::Result<(Option<i32>, String)> {
        let url = format!("http://{}/things", federation.address("Berlin", "app"));
        let line = [&["explain"], line, &["GET", &url]].concat();
        let output = federation.agent("Berlin").cheops(&line)?;
        Ok((output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned()))
    };
    let document = || -> anyhow::Result<serde_json::Value> {
        Ok(serde_json::from_str(&explained(&["--scope", "{app: around(Lyon, 50ms)}", "-o", "json"])?.1)?)
    };
    let settled = || document().is_ok_and(|plan| plan["sites"] == serde_json::json!(["Paris", "Nantes"]));
    assert!(eventually(SOON, settled), "{:?}", document());
    let plan = document()?;
    assert_eq!(plan["plan"], "gather");
    let of = |site: &str| {
        let found = plan["distances"].as_array().into_iter().flatten().find(|one| one["site"] == site);
        found.cloned().unwrap_or_default()
    };
    for (site, verdict, least) in [("Paris", "in", 10.0), ("Nantes", "in", 30.0), ("Berlin", "out-of-range", 90.0)] {
        let one = of(site);
        assert_eq!(
            (&one["verdict"], &one["from"], &one["by"]),
            (&verdict.into(), &"Lyon".into(), &"Lyon".into()),
            "{one}"
        );
        assert!(one["rtt-ms"].as_f64().is_some_and(|ms| (least - 1.0..least + 40.0).contains(&ms)), "{one}");
        assert!(one["age-ms"].as_f64().is_some_and(|age| age < 15_000.0) && one["error-ms"].is_null(), "{one}");
        assert_eq!(one["within-ms"], 50.0);
    }
    assert_eq!(of("Lyon")["verdict"], "no-endpoint");
    let (code, said) = explained(&["--scope", "{app: around(Lyon, 50ms)}"])?;
    assert_eq!(code, Some(0));
    for part in
        ["the lists of Paris, Nantes are united [gather]", "(Lyon measured it ", "is out of range, 50 ms at most"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    let (code, said) = explained(&["--scope", "{app: around(Lyon, 2ms)}"])?;
    assert_eq!(code, Some(1));
    assert!(said.contains("no-site-in-range") && said.contains("Paris, 1"), "{said}");
    Ok(())
}
