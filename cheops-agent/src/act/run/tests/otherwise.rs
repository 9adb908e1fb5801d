use super::*;

const OK: Does = Does::Answers("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
const FULL: Does = Does::Answers("HTTP/1.1 507 Full\r\nContent-Length: 4\r\n\r\nfull");

/// A POST at Berlin's endpoint: at Paris, otherwise at Nantes.
fn post(body: &str) -> String {
    let length = body.len();
    format!(
        "POST /images HTTP/1.1\r\nHost: x\r\nX-Scope: {{Glance: Paris || Nantes}}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\nX-Scope: {{Glance: Paris || Nantes}}\r\n\r\n")
}

/// How often each of Paris and Nantes was asked.
fn counts(sites: &Sites) -> (usize, usize) {
    (sites.paris.service.seen().len(), sites.nantes.service.seen().len())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_site_serves_as_long_as_it_can() {
    let sites = sites([OK, Does::Echoes, OK]).await;
    let outcome = ask(&sites.berlin, &sites.berlin, &post("body")).await;
    assert_eq!(outcome.body(), "body");
    assert!(outcome.head().contains("X-Cheops-Site: Paris\r\n") && !outcome.head().contains("X-Cheops-Sites"));
    assert_eq!(counts(&sites), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_site_without_agent_hands_over_and_the_body_is_whole() {
    let mut sites = sites([OK, OK, Does::Echoes]).await;
    sites.paris.kill().await;
    let body = "b".repeat(100_000);
    let outcome = ask(&sites.berlin, &sites.berlin, &post(&body)).await;
    assert!(outcome.body() == body);
    assert!(
        outcome.head().contains("X-Cheops-Site: Nantes\r\nX-Cheops-Sites: Paris=unreachable, Nantes=answered\r\n"),
        "{}",
        outcome.head()
    );
    assert_eq!(outcome.sites, ["Paris", "Nantes"]);
    assert_eq!(counts(&sites), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_site_whose_service_refuses_hands_over() {
    let mut sites = sites([OK, OK, Does::Echoes]).await;
    sites.paris.service.stop().await;
    let outcome = ask(&sites.berlin, &sites.berlin, &post("body")).await;
    assert_eq!(outcome.body(), "body");
    assert_eq!(counts(&sites), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_own_site_may_be_first_or_last() {
    for (scope, stop_berlin) in [("Berlin || Paris", true), ("Paris || Berlin", false)] {
        let mut sites = sites([Does::Echoes, Does::Echoes, OK]).await;
        if stop_berlin {
            sites.berlin.service.stop().await
        } else {
            sites.paris.kill().await
        }
        let outcome = ask(&sites.berlin, &sites.berlin, &post("body").replace("Paris || Nantes", scope)).await;
        assert_eq!(outcome.body(), "body", "{scope}");
        assert_eq!(outcome.sites.len(), 2);
    }
}

/// Never both: after the request was sent, whatever becomes of it, the second site isn't asked.
#[tokio::test(flavor = "multi_thread")]
async fn after_sending_the_second_site_is_never_asked() {
    let options = || Options { exchange: Duration::from_millis(400), ..Options::default() };
    for (does, code) in
        [(Does::Dies, "outcome-unknown"), (Does::Hangs, "timeout"), (Does::Answers("nonsense\r\n\r\n"), "bad-answer")]
    {
        let sites = sites_with([OK, does, OK], options()).await;
        let outcome = ask(&sites.berlin, &sites.berlin, &post("body")).await;
        assert_eq!(outcome.refusal_code(), code);
        assert_eq!(outcome.sites, ["Paris"]);
        assert_eq!(counts(&sites), (1, 0), "{code}");
    }
}

/// 502, 503 and 504 of the service itself are answers: a gateway says so also after it has sent the request on.
#[tokio::test(flavor = "multi_thread")]
async fn any_other_answer_of_the_first_stands() {
    for status in ["400 Bad", "500 Internal", "502 Bad", "503 Unavailable", "504 Late"] {
        let answer: &str = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").leak();
        let sites = sites([OK, Does::Answers(answer), OK]).await;
        let outcome = ask(&sites.berlin, &sites.berlin, &post("body")).await;
        assert!(outcome.head().starts_with(&format!("HTTP/1.1 {status}\r\n")), "{}", outcome.answer);
        assert_eq!(counts(&sites), (1, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capacity_error_hands_over_with_the_whole_body() {
    let sites = sites([OK, FULL, Does::Echoes]).await;
    let outcome = ask(&sites.berlin, &sites.berlin, &post("body")).await;
    assert_eq!(outcome.body(), "body");
    assert!(outcome.head().contains("X-Cheops-Sites: Paris=declined, Nantes=answered\r\n"), "{}", outcome.head());
    assert_eq!(counts(&sites), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_sites_capacity_error_is_the_answer() {
    let sites = sites([OK, FULL, FULL]).await;
    let outcome = ask(&sites.berlin, &sites.berlin, &post("body")).await;
    assert!(outcome.head().starts_with("HTTP/1.1 507 Full\r\n"), "{}", outcome.answer);
    assert_eq!(outcome.body(), "full");
}

/// A capacity error that only the body tells (a profile's `body`): the same status with another body stands, and comes
/// to the client whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_capacity_error_in_the_body_hands_over_and_another_stands() {
    let options = || Options { profile: "full", ..Options::default() };
    let none = "HTTP/1.1 500 Error\r\nContent-Length: 27\r\n\r\n{\"m\": \"No valid host there\"}";
    let none = none.replace("27", &(none.len() - none.find("\r\n\r\n").expect("an end") - 4).to_string());
    let sites = sites_with([OK, Does::Answers(none.leak()), Does::Echoes], options()).await;
    let outcome = ask(&sites.berlin, &sites.berlin, &post("body")).await;
    assert_eq!((outcome.body(), counts(&sites)), ("body", (1, 1)));

    let other = "HTTP/1.1 500 Error\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nbroken\r\n0\r\n\r\n";
    let sites = sites_with([OK, Does::Answers(other), Does::Echoes], options()).await;
    let outcome = ask(&sites.berlin, &sites.berlin, &post("body")).await;
    assert_eq!((outcome.body(), counts(&sites)), ("6\r\nbroken\r\n0\r\n\r\n", (1, 0)));
    assert!(outcome.head().contains("X-Cheops-Site: Paris\r\n"));
    assert_eq!(outcome.ended.expect("an answer").next, Next::Request);
}

/// Item requests without a directory: A, then B on A's 404; collections and creates don't look further.
#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_the_first_site_has_not_is_looked_for_at_the_second() {
    const NONE: Does = Does::Answers("HTTP/1.1 404 Nowhere\r\nContent-Length: 0\r\n\r\n");
    let item = sites([OK, NONE, OK]).await;
    let outcome = ask(&item.berlin, &item.berlin, &get("/images/7")).await;
    assert_eq!((outcome.body(), counts(&item)), ("hi", (1, 1)));
    assert!(outcome.head().contains("X-Cheops-Sites: Paris=declined, Nantes=answered\r\n"));

    let collection = sites([OK, NONE, OK]).await;
    let outcome = ask(&collection.berlin, &collection.berlin, &get("/images")).await;
    assert!(outcome.head().starts_with("HTTP/1.1 404 Nowhere\r\n"));
    assert_eq!(counts(&collection), (1, 0));

    let both = sites([OK, NONE, NONE]).await;
    let outcome = ask(&both.berlin, &both.berlin, &get("/images/7")).await;
    assert!(outcome.head().starts_with("HTTP/1.1 404 Nowhere\r\n"));
    assert!(outcome.head().contains("X-Cheops-Site: Nantes\r\n"));
}

/// Past the spool the first site's outcome is final, and a declined answer is the client's after all.
#[tokio::test(flavor = "multi_thread")]
async fn past_the_spool_the_first_sites_answer_stands() {
    let sites = sites_with([OK, FULL, OK], Options { spool: 1000, ..Options::default() }).await;
    let outcome = ask(&sites.berlin, &sites.berlin, &post(&"b".repeat(1001))).await;
    assert!(outcome.head().starts_with("HTTP/1.1 507 Full\r\n") && outcome.body() == "full", "{}", outcome.answer);
    assert_eq!(counts(&sites), (1, 0));
    let outcome = ask(&sites.berlin, &sites.berlin, &post(&"b".repeat(1000))).await;
    assert_eq!((outcome.body(), counts(&sites)), ("hi", (2, 1)), "the limit itself is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_no_site_can_all_are_named() {
    let mut sites = sites([OK, OK, OK]).await;
    sites.paris.kill().await;
    sites.nantes.kill().await;
    let outcome = ask(&sites.berlin, &sites.berlin, &post("body")).await;
    let (code, detail) = outcome.problem();
    assert_eq!(code, "peer-unreachable");
    assert!(detail.contains("Paris") && detail.contains("Nantes"), "{detail}");
    assert_eq!(outcome.sites, ["Paris", "Nantes"]);
}

/// A first site that takes connections and says nothing is left after the connect time; nothing was sent to it.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_site_that_stalls_before_anything_was_sent_is_left() {
    let sites = sites([OK, OK, Does::Echoes]).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut snapshot = Snapshot::clone(&sites.berlin.shared.snapshot.load());
    snapshot.sites.get_mut("Paris").expect("there").peers = vec![silent.local_addr().expect("bound").to_string()];
    sites.berlin.shared.snapshot.store(Arc::new(snapshot));
    let outcome = ask(&sites.berlin, &sites.berlin, &post("body")).await;
    assert_eq!((outcome.body(), counts(&sites)), ("body", (0, 1)));
}

/// A peer that dies, or gives up, before it has taken the request on: nothing of the request was given to it yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_site_that_breaks_before_it_takes_the_request_on_is_left() {
    struct Drops;
    impl crate::peer::Serve for Drops {
        async fn serve(&self, call: crate::peer::Call) {
            drop(call);
        }

        async fn note(&self, call: crate::peer::Call) {
            drop(call);
        }
    }
    let authority = Authority::new("edge", Validity::days(1)).expect("an authority");
    let odd = PeerIdentity { federation: "edge".to_owned(), site: "Paris".into(), host: "h1".into() };
    let sites = sites([OK, OK, Does::Echoes]).await;
    let security = Security::Tls(trust(&authority, &odd));
    let keepalive = Duration::from_secs(15);
    let limits = ServerLimits { handshake: SOON, exchanges: 100, keepalive, user_timeout: keepalive };
    let any = "127.0.0.1:0".parse().expect("an address");
    let server = Server::bind(any, odd, security, limits, Arc::default()).await.expect("a server");
    let address = server.local_addr().expect("bound").to_string();
    let running = tokio::spawn(async move { server.run(Arc::new(Drops), CancellationToken::new()).await });
    // Berlin trusts this authority's Paris, and Nantes as before.
    let berlin = PeerIdentity { federation: "edge".to_owned(), site: "Berlin".into(), host: "h1".into() };
    let mut snapshot = Snapshot::clone(&sites.berlin.shared.snapshot.load());
    let client = sites.berlin.shared.peers.as_ref().expect("peers");
    // The link to Nantes is made first, with the certificates that Nantes knows.
    let nantes = snapshot.sites.get("Nantes").expect("there").clone();
    let deadline = tokio::time::Instant::now() + SOON;
    client.hello(&nantes.name, &nantes.peers[0], &crate::peer::Asks::default(), deadline).await.expect("Nantes");
    client.replace_security(Security::Tls(trust(&authority, &berlin)));
    snapshot.sites.get_mut("Paris").expect("there").peers = vec![address];
    sites.berlin.shared.snapshot.store(Arc::new(snapshot));
    let outcome = ask(&sites.berlin, &sites.berlin, &post("body")).await;
    assert_eq!((outcome.body(), counts(&sites)), ("body", (0, 1)), "{}", outcome.answer);
    running.abort();
}
