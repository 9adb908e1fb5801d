//! What leaves HTTP/1, spoken for real: WebSocket, SPDY/3.1 as Kubernetes has it, HTTP/2 as gRPC has it.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Stdio};
use std::sync::Mutex;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use cheops_tests::lab::{Federation, Host, Offered, tell};
use serde_json::{Value, json};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Message, WebSocket};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transparency");
/// Debian's own interpreter: it has the package that setup installs.
const PYTHON: &str = "/usr/bin/python3";

/// Berlin with a service of the test's own on port 8080.
struct Site<S> {
    federation: Federation,
    nantes: Host,
    service: S,
}

impl<S> Site<S> {
    fn new(start: impl Fn(&Host) -> anyhow::Result<S>) -> anyhow::Result<Self> {
        let service = Mutex::new(None);
        let builder = Federation::builder().sites(&["Berlin"]).service(Offered::new("app", 8080).unserved());
        let prepare = |host: &Host| {
            *service.lock().expect("one thread") = Some(start(host)?);
            Ok(())
        };
        let federation = builder.prepare(prepare).start()?;
        let nantes = federation.world().site("Nantes")?;
        let service = service.lock().expect("one thread").take().context("no service")?;
        Ok(Self { federation, nantes, service })
    }

    /// Where clients are: those that leave, and those that arrive.
    fn clients(&self) -> [&Host; 2] {
        [self.federation.host("Berlin"), &self.nantes]
    }

    fn passed(&self, reason: &str) -> anyhow::Result<f64> {
        let name = format!("cheops_passthrough_total{{reason=\"{reason}\"");
        Ok(self.federation.agent("Berlin").metric(&name)?.unwrap_or_default())
    }
}

/// Starts a service in Python; it listens when this returns.
fn python(host: &Host, arguments: &[&str]) -> anyhow::Result<Child> {
    let mut command = host.command(PYTHON);
    let mut process = command.args(arguments).stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(process.stdout.take().context("a pipe")?).read_line(&mut line)?;
    ensure!(line == "listening\n", "{arguments:?} didn't start: {line:?}");
    Ok(process)
}

#[test]
fn websockets_are_spoken() -> anyhow::Result<()> {
    let script = format!("{FOLDER}/websocket.py");
    let site = Site::new(|host| python(host, &[&script, "8080", &host.ipv4().to_string()]))?;
    let to = site.federation.address("Berlin", "app");
    for client in site.clients() {
        let open = |path: &str| -> anyhow::Result<_> {
            let stream = client.connect(to)?.into_stream();
            Ok(tungstenite::client(format!("ws://{to}{path}"), stream))
        };
        let Ok((mut socket, answer)) = open("/echo")? else { bail!("the upgrade was refused") };
        assert_eq!(answer.status(), 101);
        for message in [
            Message::text("hello"),
            Message::text("é\0\u{10ffff}"),
            Message::binary(vec![]),
            Message::binary((0..=255).collect::<Vec<u8>>()),
            Message::binary(vec![7; 1 << 20]),
            Message::text("x".repeat(70_000)),
        ] {
            assert_eq!(echoed(&mut socket, message.clone())?, message);
        }
        assert_eq!(
            echoed(&mut socket, Message::Ping(Bytes::from_static(b"there?")))?,
            Message::Pong(Bytes::from_static(b"there?"))
        );
        let Message::Close(Some(close)) = echoed(&mut socket, Message::text("bye"))? else { bail!("not closed") };
        assert_eq!((close.code, close.reason.as_str()), (CloseCode::Library(4001), "as you wish"));
        // Both closes are exchanged, then the connection ends in order.
        ensure!(matches!(socket.read(), Err(tungstenite::Error::ConnectionClosed)));

        let refused = open("/refused")?.err().map(|error| error.to_string()).unwrap_or_default();
        ensure!(refused.contains("403"), "{refused}");
    }
    assert_eq!(site.passed("upgrade")?, 2.0);
    drop(site.service);
    tell("transparency", "18 cases: WebSocket's messages, a close, and a refusal, each from two hosts");
    Ok(())
}

fn echoed(socket: &mut WebSocket<std::net::TcpStream>, message: Message) -> anyhow::Result<Message> {
    socket.send(message)?;
    Ok(socket.read()?)
}

#[test]
fn spdy_is_spoken_as_kubernetes_speaks_it() -> anyhow::Result<()> {
    let script = format!("{FOLDER}/spdy.py");
    let site = Site::new(|host| python(host, &[&script, "serve", "8080", &host.ipv4().to_string()]))?;
    let to = site.federation.address("Berlin", "app");
    for client in site.clients() {
        let output = client.run("timeout", &["60", PYTHON, &script, "exec", "8080", &to.ip().to_string()])?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let seen: Value = serde_json::from_slice(&output.stdout)?;
        let expected = json!({
            "replies": [1, 3, 5, 7], "stdout": 256_006, "reset": [7, 5], "ping": 1, "status": "Success", "end": 0,
        });
        assert_eq!(seen, expected);
    }
    assert_eq!(site.passed("upgrade")?, 2.0);
    drop(site.service);
    tell("transparency", "2 cases: sessions of SPDY/3.1, from two hosts");
    Ok(())
}

/// A message each way and trailers, several streams at once.
#[test]
fn http2_is_spoken_as_grpc_speaks_it() -> anyhow::Result<()> {
    let site = Site::new(|host| host.listen(host.at(8080)))?;
    let to = site.federation.address("Berlin", "app");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let listener = site.service.try_clone()?;
    runtime.spawn(async move { serve(listener).await.map_err(|error| eprintln!("the service: {error:#}")) });
    for client in site.clients() {
        let stream = client.connect(to)?.into_stream();
        stream.set_nonblocking(true)?;
        let calls = runtime.block_on(async {
            let stream = tokio::net::TcpStream::from_std(stream)?;
            let (sender, connection) = h2::client::handshake(stream).await?;
            tokio::spawn(connection);
            let calls = (0..10_u8).map(|number| call(sender.clone(), number));
            let calls = calls.map(tokio::spawn).collect::<Vec<_>>();
            let mut lengths = Vec::new();
            for call in calls {
                lengths.push(call.await??);
            }
            anyhow::Ok(lengths)
        })?;
        assert_eq!(calls, (0..10).map(|number| number * 20_000).collect::<Vec<usize>>());
    }
    // The service's settings may be there before the client's preface is.
    assert_eq!(site.passed("http2")? + site.passed("server-first")?, 2.0);
    tell("transparency", "20 cases: calls over HTTP/2, from two hosts");
    Ok(())
}

/// One call: so many bytes there, as many back, and `grpc-status` behind them.
async fn call(sender: h2::client::SendRequest<Bytes>, number: u8) -> anyhow::Result<usize> {
    let mut sender = sender.ready().await?;
    let request = http::Request::post("http://lab/app.Service/Call").header("te", "trailers").body(())?;
    let (answer, mut body) = sender.send_request(request, false)?;
    body.send_data(vec![number; usize::from(number) * 20_000].into(), true)?;
    let mut answer = answer.await?.into_body();
    let mut length = 0;
    while let Some(data) = answer.data().await {
        let data = data?;
        ensure!(data.iter().all(|byte| *byte == number), "another call's bytes");
        answer.flow_control().release_capacity(data.len())?;
        length += data.len();
    }
    let trailers = answer.trailers().await?.context("no trailers")?;
    ensure!(trailers.get("grpc-status").is_some_and(|status| status == "0"));
    Ok(length)
}

async fn serve(listener: TcpListener) -> anyhow::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            let mut connection = h2::server::handshake(stream).await?;
            while let Some(accepted) = connection.accept().await {
                let (request, answer) = accepted?;
                tokio::spawn(echo(request.into_body(), answer));
            }
            anyhow::Ok(())
        });
    }
}

async fn echo(mut body: h2::RecvStream, mut answer: h2::server::SendResponse<Bytes>) -> anyhow::Result<()> {
    let mut sending = answer.send_response(http::Response::new(()), false)?;
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        sending.send_data(data, false)?;
    }
    sending.send_trailers(http::HeaderMap::from_iter([(
        http::HeaderName::from_static("grpc-status"),
        http::HeaderValue::from_static("0"),
    )]))?;
    Ok(())
}
