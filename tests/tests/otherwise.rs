//! `A || B`: at A; at B only where nothing can have happened at A. Never both.

#[path = "otherwise/never_both.rs"]
mod never_both;
#[path = "otherwise/reads.rs"]
mod reads;

use std::time::Duration;

use cheops_tests::lab::{Answer, Federation, Offered, Then, eventually};

/// Nothing takes longer, however busy the machine.
const SOON: Duration = Duration::from_secs(30);

/// Two services that only a request's scope tells apart from one another; at Paris, otherwise at Nantes.
const SCOPE: &str = "{app: Paris || Nantes}";

fn three() -> anyhow::Result<Federation> {
    Federation::builder().service(Offered::new("app", 8080)).overlay("timeouts.connect = '2s'").start()
}

fn post(path: &str, scope: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: app\r\nX-Scope: {scope}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// A POST at Berlin's own endpoint, on a connection of its own.
fn ask(federation: &Federation, scope: &str, body: &str) -> anyhow::Result<Answer> {
    federation.connect("Berlin", "app")?.exchange(post("/echo", scope, body))
}

/// How often each of Paris and Nantes was asked.
fn counts(federation: &Federation) -> (usize, usize) {
    let count = |site| federation.service(site, "app").requests().len();
    (count("Paris"), count("Nantes"))
}

fn code(answer: &Answer) -> anyhow::Result<String> {
    Ok(answer.json()?["code"].as_str().unwrap_or_default().to_owned())
}

/// The request came whole to the site that served it.
#[track_caller]
fn assert_served(answer: &Answer, site: &str, body: &str) {
    assert_eq!((answer.status, answer.site().as_deref()), (200, Some(site)), "{:.300}", answer.text());
    assert_eq!(answer.header("x-cheops-site").as_deref(), Some(site));
    assert!(answer.text().ends_with(body));
}

#[test]
fn the_first_site_serves_as_long_as_it_can() -> anyhow::Result<()> {
    let federation = three()?;
    let answer = ask(&federation, SCOPE, "body")?;
    assert_served(&answer, "Paris", "body");
    assert_eq!((answer.header("x-cheops-sites"), counts(&federation)), (None, (1, 0)));
    Ok(())
}

#[test]
fn a_dead_agent_hands_over_and_the_body_is_whole() -> anyhow::Result<()> {
    let mut federation = three()?;
    federation.agent_mut("Paris").kill9()?;
    let body = "b".repeat(500_000);
    let answer = ask(&federation, SCOPE, &body)?;
    assert_served(&answer, "Nantes", &body);
    assert_eq!(answer.header("x-cheops-sites").as_deref(), Some("Paris=unreachable, Nantes=answered"));
    assert_eq!(counts(&federation), (0, 1));
    Ok(())
}

#[test]
fn a_service_that_refuses_hands_over() -> anyhow::Result<()> {
    let mut federation = three()?;
    federation.service_mut("Paris", "app").stop();
    assert_served(&ask(&federation, SCOPE, "body")?, "Nantes", "body");
    // Chunked bodies too, and more of the same connection after it.
    let mut client = federation.connect("Berlin", "app")?;
    let head = format!("POST /echo HTTP/1.1\r\nHost: app\r\nX-Scope: {SCOPE}\r\nTransfer-Encoding: chunked\r\n\r\n");
    let body = "4\r\nbody\r\n0\r\n\r\n";
    for _ in 0..2 {
        assert_served(&client.exchange(format!("{head}{body}"))?, "Nantes", body);
    }
    Ok(())
}

/// The cut is not yet known when the request comes: it is only given to a peer that has said that it takes it.
#[test]
fn a_cut_hands_over_also_before_it_is_known() -> anyhow::Result<()> {
    let federation = three()?;
    assert_served(&ask(&federation, SCOPE, "before")?, "Paris", "before");
    federation.world().isolate("Paris", true);
    assert_served(&ask(&federation, SCOPE, "body")?, "Nantes", "body");
    assert_eq!(counts(&federation), (1, 1));
    Ok(())
}

#[test]
fn an_agent_that_stands_still_hands_over() -> anyhow::Result<()> {
    let federation = three()?;
    assert_served(&ask(&federation, SCOPE, "before")?, "Paris", "before");
    federation.agent("Paris").sigstop()?;
    assert_served(&ask(&federation, SCOPE, "body")?, "Nantes", "body");
    federation.agent("Paris").sigcont()?;
    // It works off what had come to it meanwhile before it serves this.
    let serves =
        || federation.get("Berlin", "app", "/awake", Some("{app: Paris}")).is_ok_and(|answer| answer.status == 200);
    assert!(eventually(SOON, serves), "Paris is back");
    let posts =
        |site| federation.service(site, "app").requests().iter().filter(|seen| seen.line().starts_with("POST")).count();
    assert_eq!((posts("Paris"), posts("Nantes")), (1, 1), "nothing of it is at Paris, also when it wakes");
    Ok(())
}

#[test]
fn the_own_site_may_come_first_or_last() -> anyhow::Result<()> {
    let mut federation = three()?;
    assert_served(&ask(&federation, "{app: Berlin || Paris}", "one")?, "Berlin", "one");
    federation.service_mut("Berlin", "app").stop();
    assert_served(&ask(&federation, "{app: Berlin || Paris}", "two")?, "Paris", "two");
    federation.service_mut("Berlin", "app").restart()?;
    federation.agent_mut("Paris").kill9()?;
    assert_served(&ask(&federation, "{app: Paris || Berlin}", "three")?, "Berlin", "three");
    assert_served(&ask(&federation, "Paris || Nantes || Berlin", "four")?, "Nantes", "four");
    Ok(())
}

/// 502, 503 and 504 of the service itself are answers: a gateway says so also after it has sent the request on.
#[test]
fn any_other_answer_of_the_first_site_stands() -> anyhow::Result<()> {
    let federation = three()?;
    for status in [400, 401, 403, 409, 500, 502, 503, 504] {
        let mut client = federation.connect("Berlin", "app")?;
        let answer = client.exchange(post(&format!("/status/{status}"), SCOPE, "body"))?;
        assert_eq!((answer.status, answer.site().as_deref()), (status, Some("Paris")));
    }
    assert_eq!(counts(&federation), (8, 0));
    Ok(())
}

/// The profile's capacity errors (`rest`: 507) hand over, with the whole body; the last site's stands.
#[test]
fn a_capacity_error_hands_over() -> anyhow::Result<()> {
    let federation = three()?;
    federation.service("Paris", "app").script("/echo", "HTTP/1.1 507 Full\r\nContent-Length: 0\r\n\r\n", Then::Keep);
    let answer = ask(&federation, SCOPE, "body")?;
    assert_served(&answer, "Nantes", "body");
    assert_eq!(answer.header("x-cheops-sites").as_deref(), Some("Paris=declined, Nantes=answered"));
    assert_eq!(ask(&federation, "{app: Nantes || Paris}", "x")?.site().as_deref(), Some("Nantes"));
    federation.service("Nantes", "app").script("/echo", "HTTP/1.1 507 Also\r\nContent-Length: 0\r\n\r\n", Then::Keep);
    let answer = ask(&federation, SCOPE, "body")?;
    assert_eq!((answer.status, answer.header("x-cheops-site").as_deref()), (507, Some("Nantes")));
    Ok(())
}

/// Item requests without a directory: A, then B on A's 404. Collections and creates don't look further.
#[test]
fn an_item_that_the_first_site_has_not_is_looked_for_at_the_second() -> anyhow::Result<()> {
    let federation = three()?;
    let none = "HTTP/1.1 404 None\r\nContent-Length: 0\r\n\r\n";
    for path in ["/things/7", "/things"] {
        federation.service("Paris", "app").script(path, none, Then::Keep);
    }
    let item = federation.get("Berlin", "app", "/things/7", Some(SCOPE))?;
    assert_eq!((item.status, item.site().as_deref()), (200, Some("Nantes")));
    let collection = federation.get("Berlin", "app", "/things", Some(SCOPE))?;
    assert_eq!(collection.status, 404);
    let made = federation.connect("Berlin", "app")?.exchange(post("/things", SCOPE, "x"))?;
    assert_eq!(made.status, 404);
    assert_eq!(counts(&federation), (3, 1));
    federation.service("Nantes", "app").script("/things/7", none, Then::Keep);
    let item = federation.get("Berlin", "app", "/things/7", Some(SCOPE))?;
    assert_eq!((item.status, item.header("x-cheops-site").as_deref()), (404, Some("Nantes")));
    Ok(())
}

/// Past the spool the first site's outcome is final.
#[test]
fn past_the_spool_the_first_outcome_stands() -> anyhow::Result<()> {
    let federation =
        Federation::builder().service(Offered::new("app", 8080)).overlay("limits.otherwise-spool = '64KiB'").start()?;
    federation.service("Paris", "app").script(
        "/echo",
        "HTTP/1.1 507 Full\r\nContent-Length: 4\r\n\r\nfull",
        Then::Keep,
    );
    let answer = ask(&federation, SCOPE, &"b".repeat(64 * 1024 + 1))?;
    assert_eq!((answer.status, answer.text().as_str(), counts(&federation)), (507, "full", (1, 0)));
    let answer = ask(&federation, SCOPE, &"b".repeat(64 * 1024))?;
    assert_served(&answer, "Nantes", &"b".repeat(64 * 1024));
    Ok(())
}

#[test]
fn when_no_site_can_all_are_named() -> anyhow::Result<()> {
    let mut federation = three()?;
    federation.agent_mut("Paris").kill9()?;
    federation.agent_mut("Nantes").kill9()?;
    let answer = ask(&federation, SCOPE, "body")?;
    assert_eq!((answer.status, code(&answer)?.as_str()), (503, "peer-unreachable"));
    let detail = answer.json()?["detail"].as_str().unwrap_or_default().to_owned();
    assert!(detail.contains("Paris") && detail.contains("Nantes"), "{detail}");
    assert_eq!(federation.get("Berlin", "app", "/", None)?.status, 200);
    Ok(())
}

/// The peer says that it sent nothing: that counts, whatever its reason.
#[test]
fn a_site_that_does_not_offer_the_service_hands_over() -> anyhow::Result<()> {
    let federation = Federation::builder()
        .service(Offered::new("app", 8080))
        .configure(|site, table| {
            let services = table.get_mut("services").and_then(|services| services.as_array_mut()).expect("services");
            services[0].as_table_mut().expect("a table").insert("export".into(), (site != "Paris").into());
        })
        .start()?;
    assert_served(&ask(&federation, SCOPE, "body")?, "Nantes", "body");
    assert_eq!(counts(&federation), (0, 1));
    Ok(())
}
