//! A service that fails, because a call that it made for a scoped request had no answer.

use super::*;

/// Berlin's `front`, or another site's by the scope; it fails where its call does.
fn failing(federation: &Federation, scoped: &str) -> anyhow::Result<Answer> {
    ask(federation, "front", "/", &(scope(scoped) + "Fails-With: 500 No reason given\r\n"))
}

/// Cuts Paris off, and waits until the others know it: what is on its way until then has an unknown outcome.
fn cut_off(federation: &Federation) {
    federation.world().isolate("Paris", true);
    let knows = |site: &str| {
        let request = format!("GET /part/1 HTTP/1.1\r\nHost: back\r\n{}\r\n", scope("{back: Paris}"));
        let answer = federation.connect(site, "back").and_then(|mut client| client.exchange(request));
        answer.is_ok_and(|answer| said(&answer) == "peer-unreachable")
    };
    for site in ["Berlin", "Nantes"] {
        assert!(eventually(SOON, || knows(site)), "{site} does not know that Paris is away");
    }
}

fn detail(answer: &Answer) -> anyhow::Result<String> {
    let problem = answer.json()?;
    assert_eq!(problem["code"], "peer-unreachable", "{problem}");
    Ok(problem["detail"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn the_site_that_a_call_did_not_reach_is_named_instead_of_a_bare_failure() -> anyhow::Result<()> {
    let federation = world_of("telling", "")?;
    assert_eq!(failing(&federation, "{front: Berlin, back: Paris}")?.text(), "Berlin Paris");
    cut_off(&federation);
    // At the entry, at the entry of several sites that may serve it, and at another site.
    for (scoped, at) in [
        ("{front: Berlin, back: Paris}", "Berlin"),
        ("{front: Berlin || Nantes, back: Paris}", "Berlin"),
        ("{front: Nantes, back: Paris}", "Nantes"),
    ] {
        let answer = failing(&federation, scoped)?;
        let told = detail(&answer)?;
        assert_eq!(answer.status, 503, "{scoped}: {told}");
        let parts = [at, "front answered 500, since its call of back failed", "Paris"];
        assert!(parts.iter().all(|part| told.contains(part)), "{scoped}: {told}");
    }
    // What a service makes the best of is its own business, and what it does not tell of other requests, too.
    let answer = ask(&federation, "front", "/", &scope("{front: Berlin, back: Paris}"))?;
    assert_eq!((answer.status, answer.text().as_str()), (200, "Berlin peer-unreachable"));
    let unscoped = ask(&federation, "front", "/", "Fails-With: 500 No\r\nCall-Scope: {back: Paris}\r\n")?;
    assert_eq!((unscoped.status, unscoped.text().as_str()), (500, "Berlin peer-unreachable"));
    let shown: Value = federation.agent("Berlin").admin("/v1/workflows")?.json()?;
    assert!(shown.to_string().contains(r#""last-failure":{"code":"peer-unreachable""#), "{shown:#}");
    Ok(())
}

#[test]
fn a_failure_of_the_services_own_is_given_as_it_is() -> anyhow::Result<()> {
    let federation = world_of("telling", "")?;
    federation.service("Paris", "back").script(
        "/part/1",
        "HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n",
        Then::Keep,
    );
    let answer = failing(&federation, "{front: Berlin, back: Paris}")?;
    assert_eq!((answer.status, answer.text().as_str()), (500, "Berlin 503 "), "back has answered");
    Ok(())
}

#[test]
fn without_the_profiles_word_a_services_failure_stands() -> anyhow::Result<()> {
    let federation = cloud("")?;
    cut_off(&federation);
    let answer = failing(&federation, "{front: Berlin, back: Paris}")?;
    assert_eq!((answer.status, answer.text().as_str()), (500, "Berlin peer-unreachable"));
    Ok(())
}
