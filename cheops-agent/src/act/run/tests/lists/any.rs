//! Whatever a service answers, a list of several sites is JSON with all that the sites' lists have, or it says what is
//! missing, or it is broken off for all to see.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;

use super::*;

/// Bodies of the three sites, and how they are broken.
fn bodies() -> impl Strategy<Value = Vec<String>> {
    let element = prop_oneof![
        Just("{}".to_owned()),
        (0..1000_u32).prop_map(|n| format!("{{\"id\":\"{n}\",\"created_at\":{n}}}")),
        (0..9000_usize).prop_map(|n| format!("{{\"id\":\"long\",\"x\":\"{}\"}}", "\u{e9}\\u0041".repeat(n))),
        Just(" [1, {\"images\":[]}]".to_owned()),
        Just("null".to_owned()),
        Just("-1.50e3".to_owned()),
        Just("\"]}\\\"\"".to_owned()),
    ];
    let outside = prop_oneof![
        Just(""),
        Just("\"next\":null,"),
        Just("\"total\":3,"),
        Just("\"o\":{\"images\":[1]},"),
        Just("\"images\":[],"),
        Just("\"next\":7,"),
        Just("\"next\":\"/v2/images?marker=x\","),
    ];
    let behind = prop_oneof![Just(""), Just(",\"total\":4"), Just(",\"k\":[[]]"), Just(",\"next\":\"/v2/images?a=b\"")];
    let list = (outside, prop::collection::vec(element, 0..6), behind);
    let whole = list.prop_map(|(before, list, behind)| format!("{{{before}\"images\":[{}]{behind}}}", list.join(",")));
    let broken = prop_oneof![
        4 => whole.clone(),
        1 => (whole.clone(), any::<prop::sample::Index>()).prop_map(|(text, at)| {
            let cut = (0..=at.index(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
            text[..cut].to_owned()
        }),
        1 => (whole, any::<prop::sample::Index>(), prop::sample::select(vec!["]", "}", "\"", ",", "x", "\\", "\n"]))
            .prop_map(|(mut text, at, with)| {
                let at = (0..=at.index(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
                text.insert_str(at, with);
                text
            }),
        1 => Just(String::new()),
        1 => Just("[1,2]".to_owned()),
    ];
    prop::collection::vec(broken, 3)
}

/// The elements of a body that is right.
fn elements(body: &str) -> Option<Vec<Value>> {
    let document: Value = serde_json::from_str(body).ok()?;
    Some(document.get("images")?.as_array()?.clone())
}

/// There is another page, of whichever site, and an element without an id to go on behind.
fn have_no_place(bodies: &[String]) -> bool {
    let nameless = |body: &String| elements(body).is_some_and(|all| all.iter().any(|one| !one["id"].is_string()));
    bodies.iter().any(|body| body.contains("\"next\":\"/")) && bodies.iter().any(nameless)
}

fn unmarked(mut element: Value) -> (Value, Option<String>) {
    let site = element.as_object_mut().and_then(|object| object.remove("cheops_site"));
    (element, site.and_then(|site| site.as_str().map(str::to_owned)))
}

#[test]
fn whatever_the_sites_answer_nothing_is_missing_unsaid() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let says_now: Arc<Mutex<Vec<String>>> = Arc::default();
    let does = [0, 1, 2].map(|site| {
        let now = says_now.clone();
        says(move |_| answer(&now.lock().expect("no panic")[site]))
    });
    let sites = runtime.block_on(sites_with(does, Options { profile: "images", ..Options::default() }));
    let mut runner = TestRunner::new(Config { cases: 150, ..Config::default() });
    let asked = |bodies: Vec<String>| {
        says_now.lock().expect("no panic").clone_from(&bodies);
        let outcome = runtime.block_on(ask(&sites.berlin, &sites.berlin, &get("/v2/images?sort_dir=asc", ALL)));
        holds(&bodies, &outcome).map(|()| outcome)
    };
    // One site has more, and another's last element no name.
    let rare = [
        r#"{"images":[{},{"id":"0","created_at":0}]}"#,
        r#"{"images":[{"id":"long","x":""}],"next":"/v2/images?a=b"}"#,
        r#"{"images":[]}"#,
    ];
    let outcome = asked(rare.map(str::to_owned).into()).expect("it holds");
    assert!(matches!(outcome.ended, Err(RunError::Exchange(_))), "{}", outcome.answer);
    runner.run(&bodies(), |bodies| asked(bodies).map(drop)).expect("it holds");
}

fn holds(bodies: &[String], outcome: &Outcome) -> Result<(), TestCaseError> {
    if matches!(outcome.ended, Err(RunError::Exchange(_))) {
        // Broken off: no last chunk, so that nobody takes it for whole.
        prop_assert!(!outcome.answer.ends_with("0\r\n\r\n"));
        let broken = bodies.iter().any(|body| elements(body).is_none() || body.len() > 60_000);
        prop_assert!(broken || have_no_place(bodies));
        return Ok(());
    }
    if matches!(outcome.ended, Err(RunError::Refused { .. })) {
        let (code, detail) = outcome.problem();
        prop_assert_eq!(code, "bad-answer");
        prop_assert!(NAMES.iter().all(|name| detail.contains(name)), "{}", detail);
        return Ok(());
    }
    let told = field(outcome, "X-Cheops-Sites").unwrap_or_default();
    let document: Value =
        serde_json::from_str(&body(outcome)).map_err(|error| TestCaseError::fail(error.to_string()))?;
    let shown = document["images"].as_array().cloned().unwrap_or_default();
    let shown: Vec<(Value, Option<String>)> = shown.into_iter().map(unmarked).collect();
    let mut left = shown.len();
    for (name, body) in NAMES.into_iter().zip(bodies) {
        let ok = told.contains(&format!("{name}=ok"));
        prop_assert!(ok || told.contains(&format!("{name}=broken")), "{}", told);
        // A page may end before a site's list does: then its link says so.
        let Some(wanted) = elements(body).filter(|_| ok) else { continue };
        let here = shown.iter().filter(|(_, site)| site.as_deref() == Some(name)).count();
        let objects = wanted.iter().filter(|element| element.is_object()).count();
        prop_assert!(here == objects || document["next"].is_string(), "{name}: {here} of {objects}: {}", document);
        prop_assert!(
            wanted.iter().all(|element| shown.iter().any(|(one, _)| one == element)) || document["next"].is_string()
        );
        left = left.saturating_sub(wanted.len());
    }
    prop_assert!(left == 0 || document["next"].is_string(), "{} elements are nobody's", left);
    Ok(())
}
