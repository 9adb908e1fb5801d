//! A token of Keystone's (Identity API v3, `POST /v3/auth/tokens`), of which only the catalog is used.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::connect::{self, ConnectError, Tls, Trust};
use super::settings::Cloud;
use crate::config::endpoint_url;

/// What Keystone tells with a token. The token itself stands in a header, and is not looked at.
#[derive(Debug, Deserialize)]
pub struct Token {
    /// Absent without a project.
    pub catalog: Option<Vec<Entry>>,
    pub project: Option<Project>,
}

#[derive(Debug, Deserialize)]
pub struct Project {
    pub id: String,
}

/// One service of the catalog.
#[derive(Debug, Deserialize)]
pub struct Entry {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub endpoints: Vec<Endpoint>,
}

#[derive(Debug, Deserialize)]
pub struct Endpoint {
    pub interface: String,
    pub region_id: Option<String>,
    /// As `region_id`, in catalogs of before.
    pub region: Option<String>,
    pub url: String,
}

impl Endpoint {
    pub fn region(&self) -> Option<&str> {
        self.region_id.as_deref().or(self.region.as_deref())
    }
}

/// Why there is no token. Holds nothing of the credentials.
#[derive(Debug, thiserror::Error)]
pub enum KeystoneError {
    #[error("the cloud \"{0}\" has no {1}")]
    Missing(String, &'static str),
    #[error("the auth_url of the cloud \"{0}\" can't be used: {1}")]
    Url(String, String),
    #[error(
        "the cloud \"{0}\" asks for auth_type \"{1}\", which is not supported here: use password, token or \
         v3applicationcredential"
    )]
    AuthType(String, String),
    #[error("Keystone at {place} {error}{}", unused(.proxy))]
    Connect { place: String, error: ConnectError, proxy: Option<&'static str> },
    #[error(
        "Keystone at {0} refuses the credentials of the cloud \"{1}\" (401): look at the user, its domain, the password and \
         the project"
    )]
    Refused(String, String),
    #[error("there is no Keystone at {0} ({1}): auth_url is Keystone's own address, with or without /v3")]
    NoKeystone(String, u16),
    #[error("Keystone at {0} answers {1}; its log says why")]
    Answered(String, u16),
    #[error("what {0} answers is no token: line {1}, column {2}")]
    Unreadable(String, usize, usize),
    #[error(
        "the token of the cloud \"{0}\" has no catalog: name a project (project_name and project_domain_name, or \
         project_id)"
    )]
    NoCatalog(String),
}

/// Asks for a token with a catalog.
pub async fn token(cloud: &Cloud) -> Result<Token, KeystoneError> {
    let name = || cloud.name.clone();
    let written = cloud.get("auth_url").ok_or(KeystoneError::Missing(name(), "auth_url (OS_AUTH_URL)"))?;
    let mut to = endpoint_url(written).map_err(|why| {
        // An URL with a password in it is not shown.
        let why = if written.contains('@') { "it can't hold a user or password".to_owned() } else { why };
        KeystoneError::Url(name(), why)
    })?;
    let root = to.prefix.rsplit_once('/').map_or("", |(before, last)| match last {
        "v3" | "v2.0" => before,
        _ => &to.prefix,
    });
    to.prefix = root.to_owned();
    let place = to.url();
    let body = question(cloud)?;
    let trust = match (cloud.is_insecure(), cloud.authority()) {
        (true, _) => Trust::Anybody,
        (false, Some(path)) => Trust::File(path),
        (false, None) => Trust::System,
    };
    let tls = Tls { trust, shown: cloud.certificate() };
    let (status, body) = connect::post(&to, "/v3/auth/tokens", &body, &tls).await.map_err(|error| {
        let is_way = matches!(error, ConnectError::Unreachable(_) | ConnectError::Late);
        let proxy = cloud.proxy(if to.https { "https" } else { "http" }).filter(|_| is_way);
        KeystoneError::Connect { place: place.clone(), error, proxy }
    })?;
    match status.as_u16() {
        200 | 201 => {}
        401 => return Err(KeystoneError::Refused(place, name())),
        status @ (300..=399 | 404 | 405) => return Err(KeystoneError::NoKeystone(place, status)),
        status => return Err(KeystoneError::Answered(place, status)),
    }
    #[derive(Deserialize)]
    struct Answer {
        token: Token,
    }
    let answer: Answer = serde_json::from_slice(&body)
        .map_err(|error| KeystoneError::Unreadable(place, error.line(), error.column()))?;
    if answer.token.catalog.is_none() {
        return Err(KeystoneError::NoCatalog(name()));
    }
    Ok(answer.token)
}

/// The variable that names a proxy, which OpenStack's own command would have gone by.
fn unused(proxy: &Option<&'static str>) -> String {
    proxy
        .map(|name| format!("; {name} is set, but no proxy is used: run this where Keystone is reached directly"))
        .unwrap_or_default()
}

/// How a cloud proves who asks.
enum Method {
    Password,
    Token,
    ApplicationCredential,
}

fn method(cloud: &Cloud) -> Result<Method, KeystoneError> {
    match cloud.get("auth_type") {
        Some("password" | "v3password") => Ok(Method::Password),
        Some("token" | "v3token") => Ok(Method::Token),
        Some("v3applicationcredential") => Ok(Method::ApplicationCredential),
        Some(other) => Err(KeystoneError::AuthType(cloud.name.clone(), other.to_owned())),
        None if cloud.get("application_credential_secret").is_some() => Ok(Method::ApplicationCredential),
        None if cloud.get("token").is_some() && cloud.get("password").is_none() => Ok(Method::Token),
        None => Ok(Method::Password),
    }
}

/// The body of the question.
fn question(cloud: &Cloud) -> Result<Value, KeystoneError> {
    let missing = |what| KeystoneError::Missing(cloud.name.clone(), what);
    let mut auth = Map::new();
    let identity = match method(cloud)? {
        Method::Password => {
            let mut user = user(cloud).ok_or(missing("username (OS_USERNAME)"))?;
            let password = cloud.get("password").ok_or(missing("password (secure.yaml, OS_PASSWORD)"))?;
            user.insert("password".to_owned(), password.into());
            json!({ "methods": ["password"], "password": { "user": user } })
        }
        Method::Token => {
            let token = cloud.get("token").ok_or(missing("token (OS_TOKEN)"))?;
            json!({ "methods": ["token"], "token": { "id": token } })
        }
        Method::ApplicationCredential => {
            let secret = cloud.get("application_credential_secret");
            let secret = secret.ok_or(missing("application_credential_secret"))?;
            let credential = match cloud.get("application_credential_id") {
                Some(id) => json!({ "id": id, "secret": secret }),
                None => {
                    let name = cloud.get("application_credential_name");
                    let name = name.ok_or(missing("application_credential_id"))?;
                    let user = user(cloud).ok_or(missing("username of its application credential's name"))?;
                    json!({ "name": name, "secret": secret, "user": user })
                }
            };
            // It has its project in itself.
            let methods = ["application_credential"];
            auth.insert("identity".to_owned(), json!({ "methods": methods, "application_credential": credential }));
            return Ok(json!({ "auth": auth }));
        }
    };
    auth.insert("identity".to_owned(), identity);
    if let Some(scope) = scope(cloud) {
        auth.insert("scope".to_owned(), scope);
    }
    Ok(json!({ "auth": auth }))
}

fn user(cloud: &Cloud) -> Option<Map<String, Value>> {
    let named = match cloud.first(&["user_id"]) {
        Some(id) => json!({ "id": id }),
        None => json!({ "name": cloud.first(&["username", "user_name"])?, "domain": domain(cloud, "user") }),
    };
    named.as_object().cloned()
}

/// What the token is for: a project, a domain, the system, or nothing in particular.
fn scope(cloud: &Cloud) -> Option<Value> {
    if let Some(id) = cloud.first(&["project_id", "tenant_id"]) {
        return Some(json!({ "project": { "id": id } }));
    }
    if let Some(name) = cloud.first(&["project_name", "tenant_name"]) {
        return Some(json!({ "project": { "name": name, "domain": domain(cloud, "project") } }));
    }
    if cloud.get("system_scope").is_some() {
        return Some(json!({ "system": { "all": true } }));
    }
    match (cloud.get("domain_id"), cloud.get("domain_name")) {
        (Some(id), _) => Some(json!({ "domain": { "id": id } })),
        (None, Some(name)) => Some(json!({ "domain": { "name": name } })),
        (None, None) => None,
    }
}

/// Of a user or a project; as OpenStack's own command has it, the default domain if nothing is said.
fn domain(cloud: &Cloud, of: &str) -> Value {
    let [id, name] = ["id", "name"].map(|what| cloud.get(&format!("{of}_domain_{what}")));
    match (id, name) {
        (Some(id), _) => json!({ "id": id }),
        (None, Some(name)) => json!({ "name": name }),
        (None, None) => json!({ "id": cloud.first(&["default_domain", "default_domain_id"]).unwrap_or("default") }),
    }
}

#[cfg(test)]
mod tests;
