//! How a client's connection and the remote service's belong together.

use cheops_tests::lab::Then;

use super::*;

/// Requests that may be run twice share the service's connection with those of the same client connection, and with no
/// other's; what must not run twice gets a new one, which a service can't be closing already.
#[test]
fn a_client_connection_is_one_connection_to_the_remote_service() -> anyhow::Result<()> {
    let federation = three()?;
    let paris = federation.service("Paris", "app");
    let get = request("GET", "/a", "{app: Paris}", "");
    let mut client = federation.connect("Berlin", "app")?;
    for _ in 0..5 {
        assert_eq!(client.exchange(&get)?.status, 200);
    }
    let mut other = federation.connect("Berlin", "app")?;
    assert_eq!(other.exchange(&get)?.status, 200);
    assert_eq!(client.exchange(request("POST", "/a", "{app: Paris}", "body"))?.status, 200);
    let used: Vec<usize> = paris.requests().iter().map(|recorded| recorded.connection).collect();
    assert_eq!(used.len(), 7);
    assert!(used[..5].iter().all(|connection| *connection == used[0]), "{used:?}");
    assert!(used[5] != used[0] && used[6] != used[0] && used[6] != used[5], "{used:?}");
    Ok(())
}

/// A service that closes after an answer without saying so costs nobody a request.
#[test]
fn a_service_that_closes_without_a_word_loses_no_request() -> anyhow::Result<()> {
    let federation = three()?;
    let paris = federation.service("Paris", "app");
    paris.script("/once", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Then::Close);
    let mut client = federation.connect("Berlin", "app")?;
    for _ in 0..20 {
        let answer = client.exchange(request("GET", "/once", "{app: Paris}", ""))?;
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    }
    assert_eq!(paris.requests().len(), 20);
    Ok(())
}
