//! HTTP over the agent's unix socket.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, Response, StatusCode, body::Incoming};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio_util::task::AbortOnDropHandle;

/// Asks the agent. Each question is its own connection.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

/// Why there is no answer, or not the wished one.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("the agent can't be reached at {}: {cause}{}", .socket.display(), advice(.cause))]
    Unreachable { socket: PathBuf, cause: io::Error },
    #[error("refused: {0}", .detail)]
    Refused { detail: String },
    #[error("not found: {0}", .detail)]
    NotFound { detail: String },
    /// `position` and length are those of the fault in a scope, in bytes.
    #[error("{0}", .detail)]
    BadRequest { detail: String, position: Option<(usize, usize)>, hint: Option<String> },
    #[error("the agent answered {status}: {detail}")]
    Failed { status: u16, detail: String },
    #[error("the agent's answer can't be read: {0}")]
    Broken(String),
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            "; is it running? (systemctl status cheops-agent)"
        }
        io::ErrorKind::PermissionDenied => "; join the group cheops, or use sudo",
        _ => "",
    }
}

impl Client {
    pub fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// The socket's path.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Runs `question` to its end on this thread.
    pub fn block_on<T>(&self, question: impl Future<Output = Result<T, ClientError>>) -> Result<T, ClientError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| ClientError::Broken(error.to_string()))?;
        runtime.block_on(question)
    }

    /// The JSON answer to a GET.
    pub fn get(&self, path: &str) -> Result<Value, ClientError> {
        self.block_on(async { json(self.ask(Method::GET, path, None).await?).await })
    }

    /// The JSON answer to a POST of JSON.
    pub fn post(&self, path: &str, body: &Value) -> Result<Value, ClientError> {
        self.block_on(async { json(self.ask(Method::POST, path, Some(body)).await?).await })
    }

    /// The text answer to a GET.
    pub fn text(&self, path: &str) -> Result<String, ClientError> {
        self.block_on(async {
            let body = whole(self.ask(Method::GET, path, None).await?).await?;
            String::from_utf8(body.into()).map_err(|error| ClientError::Broken(error.to_string()))
        })
    }

    /// Sends a question; the answer's status is a good one.
    ///
    /// # Errors
    /// Everything that is not 2xx, with the detail of the problem document.
    pub async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, ClientError> {
        let unreachable = |cause| ClientError::Unreachable { socket: self.socket.clone(), cause };
        let stream = UnixStream::connect(&self.socket).await.map_err(unreachable)?;
        let broken = |error: hyper::Error| ClientError::Broken(error.to_string());
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let bytes = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("content-type", "application/json")
            .body(Full::new(bytes))
            .map_err(|error| ClientError::Broken(error.to_string()))?;
        let connection = AbortOnDropHandle::new(tokio::spawn(async move { drop(connection.await) }));
        let response = sender.send_request(request).await.map_err(broken)?;
        let answer = Answer { response, _connection: connection };
        if answer.response.status().is_success() { Ok(answer) } else { Err(failure(answer).await) }
    }
}

/// An answer whose body may still arrive.
#[derive(Debug)]
pub struct Answer {
    pub response: Response<Incoming>,
    _connection: AbortOnDropHandle<()>,
}

async fn whole(answer: Answer) -> Result<Bytes, ClientError> {
    let body = answer.response.into_body().collect().await.map_err(|error| ClientError::Broken(error.to_string()))?;
    Ok(body.to_bytes())
}

async fn json(answer: Answer) -> Result<Value, ClientError> {
    let body = whole(answer).await?;
    serde_json::from_slice(&body).map_err(|error| ClientError::Broken(error.to_string()))
}

async fn failure(answer: Answer) -> ClientError {
    let status = answer.response.status();
    let body = match whole(answer).await {
        Ok(body) => body,
        Err(error) => return error,
    };
    let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
    let detail = match problem.get("detail").and_then(Value::as_str) {
        Some(detail) => detail.to_owned(),
        None => String::from_utf8_lossy(&body).into_owned(),
    };
    match status {
        StatusCode::FORBIDDEN => ClientError::Refused { detail },
        StatusCode::NOT_FOUND => ClientError::NotFound { detail },
        StatusCode::BAD_REQUEST => bad_request(detail, &problem),
        _ => ClientError::Failed { status: status.as_u16(), detail },
    }
}

fn bad_request(detail: String, problem: &Value) -> ClientError {
    let number = |name| problem.get(name).and_then(Value::as_u64).and_then(|number| usize::try_from(number).ok());
    let position = number("position").map(|position| (position, number("length").unwrap_or_default()));
    ClientError::BadRequest { detail, position, hint: problem.get("hint").and_then(Value::as_str).map(str::to_owned) }
}
