//! The agent's own answers on the wire (RFC 9112; RFC 9457 for the body, unless a platform's clients know another form).

use bytes::{BufMut, Bytes, BytesMut};

use super::head::{RequestHead, Version};
use super::problem::{Form, Problem};

/// How an answer must be written for the client to take it right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// No body goes out, only its length (RFC 9110, 9.3.2).
    pub head_only: bool,
    /// The connection goes on after it.
    pub persists: bool,
    /// The client speaks HTTP/1.0, where going on must be said (RFC 9112, C.2.2).
    pub old: bool,
}

impl Manner {
    /// For a request of which not even the head could be read: where the next one starts is not known.
    pub const UNREADABLE: Self = Self { head_only: false, persists: false, old: false };

    /// For `request`. `body_taken` says whether all of its body was read: if not, the connection ends.
    pub fn of(request: &RequestHead, body_taken: bool) -> Self {
        Self {
            head_only: request.method() == "HEAD",
            persists: body_taken && request.persists(),
            old: request.version() == Version::Http10,
        }
    }

    /// The line that says whether the connection goes on, where that must be said.
    pub fn connection(self) -> &'static str {
        match self {
            Self { persists: false, .. } => "Connection: close\r\n",
            Self { old: true, .. } => "Connection: keep-alive\r\n",
            _ => "",
        }
    }
}

/// `problem` as a whole answer. `request` is the id under which the log has it.
pub fn problem(problem: &Problem, request: &str, manner: Manner) -> Bytes {
    problem_in(problem, request, manner, Form::STANDARD)
}

/// `problem` as a whole answer, in the form of a platform.
pub fn problem_in(problem: &Problem, request: &str, manner: Manner, form: Form<'_>) -> Bytes {
    let document = problem.to_json(request, form);
    let status = problem.code.status();
    let reason =
        ::http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or_default();
    let connection = manner.connection();
    let head = format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: {}\r\nContent-Length: {}\r\nX-Cheops-Request: {request}\r\n{connection}\r\n",
        form.content_type,
        document.len(),
    );
    let mut answer = BytesMut::with_capacity(head.len() + document.len());
    answer.put_slice(head.as_bytes());
    if !manner.head_only {
        answer.put_slice(&document);
    }
    answer.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::problem::Code;
    use crate::http::{AnswerHead, BodyLength};

    fn write(request: &str, body_taken: bool) -> (AnswerHead, Bytes) {
        let request = RequestHead::parse(Bytes::copy_from_slice(request.as_bytes()), 10).expect("a request");
        let answer = problem(&Problem::new(Code::ServiceUnreachable, "nobody"), "r1", Manner::of(&request, body_taken));
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("an end") + 4;
        let head = AnswerHead::parse(answer.slice(..end), 10, request.method()).expect("well-formed");
        (head, answer.slice(end..))
    }

    #[test]
    fn every_code_has_a_reason() {
        for code in Code::ALL {
            assert!(
                ::http::StatusCode::from_u16(code.status()).expect("valid").canonical_reason().is_some(),
                "{code:?}"
            );
        }
    }

    #[test]
    fn the_answer_is_a_problem_document_with_the_request_id() {
        let (head, body) = write("GET / HTTP/1.1\r\nHost: x\r\n\r\n", true);
        assert_eq!(head.status(), 502);
        assert_eq!(head.length(), BodyLength::Exact(body.len() as u64));
        assert_eq!(head.first("x-cheops-request"), Some(&b"r1"[..]));
        assert!(head.persists());
        let document: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(document["code"], "service-unreachable");
        assert_eq!(document["request"], "r1");
    }

    #[test]
    fn a_platforms_clients_find_a_sentence_where_they_look() {
        let form = Form { content_type: "application/json", within: Some("error"), message: Some("message") };
        let refused = Problem::new(Code::PeerUnreachable, "Paris: no agent answered");
        let answer = problem_in(&refused, "r1", Manner::UNREADABLE, form);
        let text = String::from_utf8(answer.to_vec()).expect("text");
        assert!(text.contains("\r\nContent-Type: application/json\r\n"), "{text}");
        let body = text.split("\r\n\r\n").nth(1).unwrap_or_default();
        let document: serde_json::Value = serde_json::from_str(body).expect("JSON");
        // glanceclient takes every member for an object
        assert_eq!(document.as_object().map(serde_json::Map::len), Some(1), "{body}");
        let error = &document["error"];
        assert_eq!(error["message"], "The other site can't be reached: Paris: no agent answered.");
        assert_eq!((&error["code"], &error["request"]), (&"peer-unreachable".into(), &"r1".into()));
        assert_eq!((&error["source"], &error["status"]), (&"cheops".into(), &503.into()));
    }

    #[test]
    fn head_has_the_length_but_no_body() {
        let (head, body) = write("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", true);
        assert!(head.first("content-length").is_some_and(|length| length != b"0"));
        assert!(body.is_empty());
    }

    #[test]
    fn the_connection_ends_when_the_body_was_not_taken_or_the_client_says_so() {
        assert!(!write("GET / HTTP/1.1\r\nHost: x\r\n\r\n", false).0.persists());
        assert!(!write("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", true).0.persists());
        assert!(!write("GET / HTTP/1.0\r\n\r\n", true).0.persists());
        let (head, _) = write("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true);
        assert_eq!(head.first("connection"), Some(&b"keep-alive"[..]));
    }
}
