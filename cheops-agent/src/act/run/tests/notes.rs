//! Two agents of one site: each knows of the other's scoped requests before they are sent.

use super::*;
use crate::peer::Envelope;
use crate::workflow::{Keep, Kind, Link, Links, Maker};

const OK: Does = Does::Answers("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
const GET: &str = "GET /v2/images HTTP/1.1\r\nHost: x\r\nX-Scope: {Glance: Berlin}\r\n\r\n";

/// Agents of these sites; each is told that the next one's address is its own site's other agent.
async fn two(names: [&str; 2]) -> [AtSite; 2] {
    let authority = Authority::new("edge", Validity::days(1)).expect("an authority");
    let listeners = [TcpListener::bind("127.0.0.1:0").await, TcpListener::bind("127.0.0.1:0").await];
    let [one, other] = listeners.map(|listener| listener.expect("a port"));
    let peers = [other.local_addr().expect("bound"), one.local_addr().expect("bound")];
    let (mut agents, options) = (Vec::new(), Options::default());
    for ((name, listener), other) in names.into_iter().zip([one, other]).zip(peers) {
        let service = Small::start(OK).await;
        let own = NAMES.iter().position(|known| *known == name).expect("a site");
        let snapshot = snapshot(own, &[service.address; 3], &[other; 3], &options);
        let agent = agent(name, listener, snapshot, service, &authority, &options);
        // A record ends with its request, so that its end is seen at once.
        let mut config = crate::config::Config::clone(&agent.shared.config.load());
        config.timeouts.workflow = Duration::ZERO;
        agent.shared.config.store(Arc::new(config));
        agents.push(agent);
    }
    agents.try_into().ok().expect("two")
}

fn ids() -> Links {
    vec![(Kind::RequestId, Link { name: "x-request-id".to_owned(), value: "7".to_owned() })]
}

fn knows(agent: &AtSite) -> bool {
    let keep = Keep::of(&agent.shared.config.load());
    agent.shared.workflows.look(&ids(), keep).expect("one scope").0.is_some()
}

async fn until(condition: impl Fn() -> bool) {
    in_time(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

fn plan_at(agent: &AtSite) -> crate::plan::Plan {
    let request = RequestHead::parse(Bytes::from_static(GET.as_bytes()), 100).expect("a request");
    planned(agent, agent, &request).0
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_agent_knows_before_the_request_is_sent_and_until_it_has_ended() {
    let [one, other] = two(["Berlin", "Berlin"]).await;
    let plan = plan_at(&one);
    let kept = in_time(async {
        loop {
            let kept = ids::keep(&one.shared, &ids(), &plan, "r-1", &ids::Told::default(), None)
                .await
                .expect("no conflict")
                .expect("ids");
            // The first one may be late, since the link is made with it.
            if knows(&other) {
                return kept;
            }
        }
    })
    .await;
    assert!(knows(&one) && knows(&other));
    drop(kept);
    assert!(!knows(&one));
    until(|| !knows(&other)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_is_live_under_another_scope_at_the_other_agent_is_refused() {
    let [one, other] = two(["Berlin", "Berlin"]).await;
    let (scope, entry, service) = (r#"{"Glance":"Paris","default":"Berlin"}"#, "Berlin".into(), "Glance".into());
    let maker = Maker {
        scope,
        entry: &entry,
        addressed: Some(&service),
        request: "r-0",
        brief: false,
        caller: None,
        credential: None,
    };
    let links = ids().into_iter().map(|(_, link)| link).collect();
    let keep = Keep { records: 10, after: Duration::ZERO };
    let _held = other.shared.workflows.hold(links, maker, keep).expect("held");
    let plan = plan_at(&one);
    let problem = in_time(async {
        loop {
            if let Err(problem) = ids::keep(&one.shared, &ids(), &plan, "r-1", &ids::Told::default(), None).await {
                return problem;
            }
        }
    })
    .await;
    assert_eq!(problem.code, Code::RequestIdInUse);
    assert!(!knows(&one), "nothing was sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_does_not_answer_is_not_waited_for() {
    let [one, mut other] = two(["Berlin", "Berlin"]).await;
    other.kill().await;
    let plan = plan_at(&one);
    let kept = ids::keep(&one.shared, &ids(), &plan, "r-1", &ids::Told::default(), None).await.expect("it goes on");
    assert!(kept.is_some() && knows(&one));
    assert_eq!(one.shared.workflows.counters().missed(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_of_another_site_tells_nothing() {
    let [berlin, paris] = two(["Berlin", "Paris"]).await;
    let snapshot = paris.shared.snapshot.load();
    let to = snapshot.sites.get("Berlin").expect("there");
    let hop = crate::peer::Hop { site: "Paris".into(), host: "h1".into() };
    let envelope = Envelope {
        scope: Some(r#"{"Glance":"Paris","default":"Berlin"}"#.to_owned()),
        own_scope: true,
        entry: "Berlin".into(),
        request: "r-1".to_owned(),
        links: vec![("x-request-id".to_owned(), "7".to_owned())],
        deadline: None,
        ..Envelope::of_agent("Berlin".into(), "Glance".into(), "x:1".to_owned(), hop, SOON)
    };
    let peers = paris.shared.peers.as_ref().expect("peers");
    let mut stream = peers.note(to, &envelope, tokio::time::Instant::now() + SOON).await.expect("open");
    in_time(stream.read_u8()).await.expect_err("refused");
    assert_eq!(stream.failure().map(crate::peer::PeerError::code), Some(Code::NotExported));
    assert!(!knows(&berlin));
}
