//! What another agent's connection carries: HTTP/2 frames with envelopes and streams.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use cheops_agent::peer::server::ServerLimits;
use cheops_agent::peer::{Call, Counters, PeerIdentity, Security, Serve, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// The client's connection preface (RFC 9113, 3.4) and its settings.
const BEGIN: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// Nothing that is sent here takes longer.
const SOON: Duration = Duration::from_secs(5);

/// Takes on every exchange, reads it to its end, and answers with what it read.
struct Echo;

impl Serve for Echo {
    async fn serve(&self, call: Call) {
        assert!(!call.envelope.hops.is_empty());
        let Ok((mut stream, _place)) = call.accept() else { return };
        let mut read = Vec::new();
        if stream.read_to_end(&mut read).await.is_ok() && stream.write_all(&read).await.is_ok() {
            // The other end may have gone.
            let _sent = stream.finish();
        }
    }

    async fn note(&self, call: Call) {
        self.serve(call).await;
    }
}

static SERVER: LazyLock<(Runtime, SocketAddr)> = LazyLock::new(|| {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let identity = PeerIdentity { federation: "f".to_owned(), site: "A".into(), host: "h".into() };
    let limits = ServerLimits { handshake: SOON, exchanges: 16, keepalive: SOON, user_timeout: SOON };
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let bound = Server::bind(any, identity, Security::Insecure, limits, Arc::new(Counters::default()));
    let server = runtime.block_on(bound).expect("a port");
    let address = server.local_addr().expect("bound");
    runtime.spawn(async move { server.run(Arc::new(Echo), CancellationToken::new()).await });
    (runtime, address)
});

/// `data` follows the preface. Whatever it is, the server ends the connection once we do, and goes on serving.
pub fn peer(data: &[u8]) {
    let (runtime, address) = &*SERVER;
    let ended = runtime.block_on(async { tokio::time::timeout(SOON, talk(*address, data)).await });
    assert!(ended.is_ok(), "the server doesn't end the connection");
}

async fn talk(address: SocketAddr, data: &[u8]) {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    // It may end the connection at any byte.
    let _sent = stream.write_all(&[BEGIN, data].concat()).await;
    let _shut = stream.shutdown().await;
    let mut answer = Vec::new();
    let _read = stream.read_to_end(&mut answer).await;
}
