//! A drained site refuses at its own door what is new, also where others don't know yet that it is drained.

use super::*;
use crate::metadata::record::Standing;

const OK: Does = Does::Answers("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");

/// Only Paris itself knows that it is drained.
async fn drained() -> Sites {
    let sites = sites([OK, OK, OK]).await;
    let mut snapshot = (*sites.paris.shared.snapshot.load_full()).clone();
    snapshot.sites.get_mut("Paris").expect("Paris").standing = Standing::Drained;
    sites.paris.shared.snapshot.store(Arc::new(snapshot));
    sites
}

fn request(method: &str, target: &str, scope: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: x\r\nX-Scope: {{Glance: {scope}}}\r\nContent-Length: 0\r\n\r\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_new_is_created_for_others() {
    let sites = drained().await;
    let outcome = ask(&sites.berlin, &sites.berlin, &request("POST", "/images", "Paris")).await;
    let (code, detail) = outcome.problem();
    assert_eq!(code, "site-drained");
    assert!(outcome.head().starts_with("HTTP/1.1 503 ") && detail.contains("Paris is drained"), "{detail}");
    assert!(sites.paris.service.seen().is_empty());

    let outcome = ask(&sites.berlin, &sites.berlin, &request("POST", "/images", "Paris || Nantes")).await;
    assert!(outcome.head().contains("X-Cheops-Site: Nantes\r\n"), "{}", outcome.answer);
    assert_eq!((sites.paris.service.seen().len(), sites.nantes.service.seen().len()), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_else_goes_on() {
    let sites = drained().await;
    let others = [("GET", "/images"), ("GET", "/images/1"), ("PUT", "/images/1"), ("DELETE", "/images/1")];
    for (method, target) in others {
        let outcome = ask(&sites.berlin, &sites.berlin, &request(method, target, "Paris")).await;
        assert!(outcome.head().contains("X-Cheops-Site: Paris\r\n"), "{method}: {}", outcome.answer);
    }
    assert_eq!(sites.paris.service.seen().len(), others.len());
    // Its own users ask for it; Berlin's agent only happens to see the request first.
    let outcome = ask(&sites.berlin, &sites.paris, &request("POST", "/images", "Paris")).await;
    assert!(outcome.head().contains("X-Cheops-Site: Paris\r\n"), "{}", outcome.answer);
}
