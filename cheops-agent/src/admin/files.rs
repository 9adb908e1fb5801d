//! `/v1/config`: the configuration's files, without secrets.

use std::fs;
use std::sync::{Arc, PoisonError};

use axum::extract::State;
use axum::response::IntoResponse;
use serde::Serialize;

use super::{Agent, document};

#[derive(Serialize)]
struct Files {
    files: Vec<File>,
}

#[derive(Serialize)]
struct File {
    path: String,
    text: String,
}

pub async fn get(State(agent): State<Arc<Agent>>) -> impl IntoResponse {
    let paths = agent.files.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let files = paths.iter().map(|path| File {
        path: path.display().to_string(),
        text: fs::read_to_string(path).map_or_else(|error| format!("can't be read: {error}"), |text| mask(&text)),
    });
    document("Configuration", Files { files: files.collect() })
}

/// Keys whose values are never shown. `key` in [peer] is a path, but nobody should have to know that.
const SECRET: &[&str] = &["key", "password", "passwd", "secret", "token", "credential", "auth"];

/// The text with every value of a secret-looking key, and every PEM block, replaced.
fn mask(text: &str) -> String {
    let mut masked = String::new();
    let mut pem = false;
    for line in text.lines() {
        pem |= line.contains("-----BEGIN");
        let key = line.split_once('=').map(|(key, _)| key.to_lowercase());
        let secret = key.is_some_and(|key| SECRET.iter().any(|word| key.contains(word)));
        match (pem, secret, line.split_once('=')) {
            (true, _, _) => masked.push_str("(masked)"),
            (_, true, Some((key, _))) => {
                masked.push_str(key);
                masked.push_str("= \"(masked)\"");
            }
            _ => masked.push_str(line),
        }
        masked.push('\n');
        pem &= !line.contains("-----END");
    }
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_and_the_rest_stays() {
        let text = "site = \"Berlin\"\n# token = \"abc\"\napi-key = \"hush\"\nx = \"\"\"\n-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n\"\"\"\ny = 1\n";
        let masked = mask(text);
        for secret in ["abc", "hush", "MIIE"] {
            assert!(!masked.contains(secret), "{masked}");
        }
        assert!(masked.starts_with("site = \"Berlin\"\n") && masked.ends_with("y = 1\n"), "{masked}");
    }
}
