//! Real servers that tell in `X-Seen` what they took for a request.

use std::convert::Infallible;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use cheops_tests::lab::eventually;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use tokio::runtime::Runtime;

use super::io::Io;

/// A server needs no longer to start.
const SOON: Duration = Duration::from_secs(40);

/// A server, which ends with this.
pub struct Server {
    pub name: &'static str,
    pub address: SocketAddr,
    process: Option<Child>,
    _files: Option<tempfile::TempDir>,
    _runtime: Option<Runtime>,
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            // It may have ended.
            let _killed = process.kill();
            let _status = process.wait();
        }
    }
}

/// What a request is to a server, as `X-Seen` has it.
pub fn seen(method: &str, target: &[u8], body: &[u8]) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("{method} {} {};", hex(&path(target)), hex(body))
}

/// A target without scheme and authority, as servers that know absolute-form hand it on.
fn path(target: &[u8]) -> Vec<u8> {
    let Some(at) = target.windows(3).position(|three| three == b"://").filter(|_| !target.starts_with(b"/")) else {
        return target.to_vec();
    };
    let rest = &target[at + 3..];
    let path = &rest[rest.iter().position(|byte| b"/?".contains(byte)).unwrap_or(rest.len())..];
    if path.starts_with(b"/") { path.to_vec() } else { [b"/", path].concat() }
}

async fn echo(request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let target = head.uri.to_string();
    let mut answer = Response::new(Empty::new());
    if head.method == Method::CONNECT {
        *answer.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    }
    let line = seen(head.method.as_str(), target.as_bytes(), &body);
    answer.headers_mut().insert("X-Seen", line.try_into().expect("hexadecimal"));
    Ok(answer)
}

/// hyper, in this process.
pub fn hyper() -> anyhow::Result<Server> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
    let address = listener.local_addr()?;
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                // What it refuses shows at the client.
                let mut http = http1::Builder::new();
                let _served = http.half_close(true).serve_connection(Io(stream), service_fn(echo)).await;
                Ok::<_, Infallible>(())
            });
        }
    });
    Ok(Server { name: "hyper", address, process: None, _files: None, _runtime: Some(runtime) })
}

/// Python's http.server.
pub fn python() -> anyhow::Result<Server> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/framing/echo.py");
    let mut process = Command::new("python3").arg(script).stdout(Stdio::piped()).stdin(Stdio::null()).spawn()?;
    let mut line = String::new();
    BufReader::new(process.stdout.take().context("no output")?).read_line(&mut line)?;
    let address = SocketAddr::from(([127, 0, 0, 1], line.trim().parse()?));
    Ok(Server { name: "http.server", address, process: Some(process), _files: None, _runtime: None })
}

/// nginx, which sends what it took for a request to `behind`, with a framing of its own.
pub fn nginx(behind: &Server) -> anyhow::Result<Server> {
    let files = tempfile::tempdir()?;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let root = files.path().display();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {root}/{kind};\n"))
        .concat();
    let text = format!(
        "daemon off; master_process off; pid {root}/pid; error_log {root}/error.log;\nevents {{}}\nhttp {{ access_log off;\n{temporary}\
         lingering_close off; client_max_body_size 0; server {{ listen 127.0.0.1:{port}; location / {{\
         proxy_pass http://{}; proxy_http_version 1.1; proxy_set_header Connection \"\"; \
         proxy_ignore_client_abort on; }} }} }}\n",
        behind.address
    );
    let path = files.path().join("nginx.conf");
    std::fs::write(&path, text)?;
    let mut nginx = Command::new("nginx");
    nginx.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    nginx.arg("-c").arg(&path).arg("-p").arg(files.path()).arg("-e").arg(files.path().join("error.log"));
    let process = nginx.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("nginx")?;
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let server = Server { name: "nginx", address, process: Some(process), _files: Some(files), _runtime: None };
    anyhow::ensure!(eventually(SOON, || TcpStream::connect(address).is_ok()), "nginx doesn't listen");
    Ok(server)
}
