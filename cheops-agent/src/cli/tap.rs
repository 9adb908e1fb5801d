//! `cheops tap`: live requests, one line each.

use std::io::{self, Write};

use clap::Args;
use http_body_util::BodyExt;
use hyper::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::output::field;
use super::{ClientError, Context, Exit, Format};

#[derive(Debug, Args)]
pub struct Arguments {
    /// Only this service's requests
    #[arg(long, value_name = "SERVICE")]
    service: Option<String>,
    /// Only requests with a scope
    #[arg(long)]
    scoped: bool,
    /// Ends after this many requests
    #[arg(long, short = 'n', value_name = "NUMBER")]
    count: Option<u64>,
}

pub fn run(arguments: &Arguments, context: &Context) -> anyhow::Result<Exit> {
    let mut path = format!("/v1/tap?scoped={}", arguments.scoped);
    if let Some(service) = &arguments.service {
        path.push_str("&service=");
        path.extend(utf8_percent_encode(service, NON_ALPHANUMERIC));
    }
    context.client.block_on(watch(arguments, context, &path))?;
    Ok(Exit::Yes)
}

async fn watch(arguments: &Arguments, context: &Context, path: &str) -> Result<(), ClientError> {
    let mut answer = context.client.ask(Method::GET, path, None).await?;
    let mut buffer = Vec::new();
    let mut seen = 0;
    while let Some(frame) = answer.response.body_mut().frame().await {
        let frame = frame.map_err(|error| ClientError::Broken(error.to_string()))?;
        buffer.extend_from_slice(frame.data_ref().map(|data| &data[..]).unwrap_or_default());
        while let Some(event) = next_event(&mut buffer) {
            match show(&event, context.output.format) {
                Ok(true) => seen += 1,
                Ok(false) => {}
                // Whoever read the lines has gone: `cheops tap | head`.
                Err(_) => return Ok(()),
            }
            if arguments.count.is_some_and(|count| seen >= count) {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Takes one server-sent event off the front: its data.
fn next_event(buffer: &mut Vec<u8>) -> Option<Value> {
    loop {
        let end = memchr::memmem::find(buffer, b"\n\n")?;
        let event: Vec<u8> = buffer.drain(..end + 2).collect();
        let text = String::from_utf8_lossy(&event);
        if let Some(data) = text.lines().find_map(|line| line.strip_prefix("data:")) {
            return serde_json::from_str(data.trim()).ok();
        }
        // A comment that keeps the connection alive.
    }
}

/// Prints one event; whether it was a request.
fn show(event: &Value, format: Format) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    if let Some(lost) = event.get("lost").and_then(Value::as_u64) {
        writeln!(io::stderr().lock(), "cheops: {lost} requests were too fast to show")?;
        return Ok(false);
    }
    match format {
        Format::Json => writeln!(out, "{event}")?,
        Format::Yaml => writeln!(out, "---\n{}", serde_saphyr::to_string(event).map_err(io::Error::other)?.trim_end())?,
        Format::Name => writeln!(out, "{}", field(event, "id"))?,
        Format::Table | Format::Wide => writeln!(out, "{}", line(event))?,
    }
    out.flush()?;
    Ok(true)
}

fn line(event: &Value) -> String {
    let seconds = event.get("seconds").and_then(Value::as_f64).unwrap_or_default();
    let status = match (field(event, "status"), field(event, "code")) {
        (status, code) if code == "-" => status,
        (status, code) => format!("{status}({code})"),
    };
    format!(
        "{} {} {} {} {} scope={} from={} plan={} sites={}{} {status} {:.1}ms",
        field(event, "id"),
        field(event, "client"),
        field(event, "service"),
        field(event, "method"),
        field(event, "path"),
        field(event, "scope"),
        field(event, "scope-source"),
        field(event, "plan"),
        field(event, "sites"),
        link(event),
        seconds * 1000.0,
    )
}

/// What links it to its cause; nothing for most requests.
fn link(event: &Value) -> String {
    let Some(link) = event.get("link") else { return String::new() };
    let follows = link.get("follows") == Some(&Value::Bool(true));
    format!(" link={}:{}{}", field(link, "kind"), field(link, "id"), if follows { "" } else { "(other-caller)" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_taken_apart_wherever_the_pieces_end() {
        let mut buffer = b": alive\n\nevent: request\ndata: {\"id\":\"a\"}\n\nda".to_vec();
        assert_eq!(next_event(&mut buffer).map(|event| field(&event, "id")), Some("a".into()));
        assert_eq!(next_event(&mut buffer), None);
        buffer.extend_from_slice(b"ta: {\"id\":\"b\"}\n\n");
        assert_eq!(next_event(&mut buffer).map(|event| field(&event, "id")), Some("b".into()));
    }

    #[test]
    fn a_link_is_told_with_its_id() {
        let linked = |follows| serde_json::json!({ "link": { "kind": "profile", "id": "req-1", "follows": follows } });
        assert_eq!(link(&linked(true)), " link=profile:req-1");
        assert_eq!(link(&linked(false)), " link=profile:req-1(other-caller)");
        assert_eq!(
            link(&serde_json::json!({ "link": { "kind": "credential", "id": null, "follows": true } })),
            " link=credential:-"
        );
        assert_eq!(link(&serde_json::json!({})), "");
    }

    #[test]
    fn a_line_has_every_part() {
        let event = serde_json::json!({
            "id": "x", "client": "10.0.0.9:1", "service": "Glance", "method": "GET", "path": "/v2", "scope": "{Glance: Paris}",
            "scope-source": "basic", "plan": "at", "sites": ["Paris"], "status": 503, "code": "peer-unreachable", "seconds": 0.0125
        });
        assert_eq!(
            line(&event),
            "x 10.0.0.9:1 Glance GET /v2 scope={Glance: Paris} from=basic plan=at sites=Paris 503(peer-unreachable) 12.5ms"
        );
    }
}
