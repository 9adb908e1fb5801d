//! Sharing: a scoped request is served by another site's instance, and nothing else about it changes.

#[path = "sharing/bytes.rs"]
mod bytes;
#[path = "sharing/connections.rs"]
mod connections;
#[path = "sharing/faults.rs"]
mod faults;
#[path = "sharing/hosts.rs"]
mod hosts;
#[path = "sharing/streams.rs"]
mod streams;
#[path = "sharing/trust.rs"]
mod trust;

use std::time::Duration;

use cheops_tests::lab::{Answer, Federation, Offered};

/// Nothing takes longer, however busy the machine.
const SOON: Duration = Duration::from_secs(30);

/// Three sites, with two services.
fn three() -> anyhow::Result<Federation> {
    Federation::builder().service(Offered::new("app", 8080)).service(Offered::new("other", 8081)).start()
}

/// A request as a user's client would send it, with the scope in the usual field.
fn request(method: &str, path: &str, scope: &str, body: &str) -> String {
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    format!("{method} {path} HTTP/1.1\r\nHost: app\r\nX-Scope: {scope}\r\n{length}\r\n{body}")
}

/// The stable code and the detail of an answer that an agent made itself.
fn problem(answer: &Answer) -> anyhow::Result<(String, String)> {
    let document = answer.json()?;
    assert_eq!(answer.header("content-type").as_deref(), Some("application/problem+json"));
    assert_eq!(document["source"], "cheops");
    let text = |name: &str| document[name].as_str().unwrap_or_default().to_owned();
    Ok((text("code"), text("detail")))
}
