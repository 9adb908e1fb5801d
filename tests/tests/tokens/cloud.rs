//! Three sites, each with an identity service and an image service that has its users' tokens checked there, as
//! OpenStack's do: played by the lab's recording services.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use cheops_tests::lab::{Answer, Federation, Host, Offered, Recorded, Scripted, Then};
use serde_json::{Value, json};

pub const SITES: [&str; 3] = ["Berlin", "Paris", "Nantes"];
const KEYSTONE: u16 = 5000;
const GLANCE: u16 = 9292;

/// Sites whose tokens are believed by each other unless a test says otherwise.
pub struct Cloud {
    pub federation: Federation,
    keystones: BTreeMap<String, Arc<Keystone>>,
}

/// What a site's identity service knows.
#[derive(Default)]
pub struct Keystone {
    site: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Token → what it says of it.
    tokens: BTreeMap<String, Value>,
    /// Those of them that have expired: they can't speak for themselves, and count for who asks for such.
    expired: BTreeSet<String>,
    /// Ids of users and projects.
    ids: BTreeSet<String>,
    issued: usize,
    /// Instead of the answer to a look-up of users and projects.
    looks_up: Option<u16>,
    /// Instead of the answer to a check.
    checks: Option<u16>,
}

/// With this the services' own tokens begin.
const SERVICE: &str = "service-secret-of-";

/// When tokens expired that have.
pub const EXPIRED: &str = "2020-02-02T00:00:00.000000Z";

/// The token of a site's image service.
pub fn service_token(site: &str) -> String {
    format!("{SERVICE}{site}")
}

/// What an identity service says of a token of an ordinary user there.
pub fn document(site: &str, roles: &[&str]) -> Value {
    let roles: Vec<Value> = roles.iter().map(|role| json!({ "id": format!("{site}-{role}"), "name": role })).collect();
    json!({ "token": {
        "user": { "id": format!("user-of-{site}"), "name": "demo" },
        "project": { "id": format!("project-of-{site}"), "name": "demo" },
        "roles": roles, "catalog": [], "is_admin_project": true,
    }})
}

impl Cloud {
    /// `identity` is each site's `[identity]`.
    pub fn start(identity: &str) -> anyhow::Result<Self> {
        let profiles = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tokens/profiles");
        let offered = |name: &str, port, kind: &str| Offered::new(name, port).key("type", kind).key("profile", "cloud");
        let builder = Federation::builder()
            .service(offered("Keystone", KEYSTONE, "identity"))
            .service(offered("Glance", GLANCE, "image"));
        let overlay = format!("profile-dirs = [{:?}]\n[timeouts]\nconnect = '1s'\n[identity]\n{identity}", profiles);
        let federation = builder.overlay(&overlay).start()?;
        let keystones = SITES.map(|site| {
            let keystone = Arc::new(Keystone { site: site.to_owned(), state: Mutex::default() });
            keystone.with(|state| {
                state.tokens.insert(service_token(site), document(site, &["admin", "service"]));
                state.ids.extend([format!("user-of-{site}"), format!("project-of-{site}")]);
            });
            let (serves, host) = (keystone.clone(), federation.host(site).clone());
            federation.service(site, "Keystone").script_all(move |request| Some(serves.answer(request)));
            let asks = federation.address(site, "Keystone");
            federation.service(site, "Glance").script_all(move |request| Some(glance(&host, asks, request)));
            (site.to_owned(), keystone)
        });
        Ok(Self { federation, keystones: keystones.into() })
    }

    /// A site's identity service.
    pub fn keystone(&self, site: &str) -> &Keystone {
        &self.keystones[site]
    }

    /// A token of an ordinary member, got from a site's identity service as clients do.
    pub fn login(&self, site: &str) -> anyhow::Result<String> {
        let body = r#"{"auth":{"identity":"password-secret"}}"#;
        let length = body.len();
        let text = format!("POST /v3/auth/tokens HTTP/1.1\r\nHost: k\r\nContent-Length: {length}\r\n\r\n{body}");
        let answer = self.federation.connect(site, "Keystone")?.exchange(text)?;
        anyhow::ensure!(answer.status == 201, "{} {}", answer.status, answer.text());
        Ok(answer.header("X-Subject-Token").expect("a token"))
    }

    /// Asks a site's image service with a token, as another service of the site does: its own comes along.
    pub fn images(&self, at: &str, token: &str, scope: Option<&str>) -> anyhow::Result<Answer> {
        self.asked(at, &format!("X-Auth-Token: {token}\r\nX-Service-Token: {}\r\n", service_token(at)), scope)
    }

    /// The same, as its user does.
    pub fn images_of_user(&self, at: &str, token: &str, scope: Option<&str>) -> anyhow::Result<Answer> {
        self.asked(at, &format!("X-Auth-Token: {token}\r\n"), scope)
    }

    fn asked(&self, at: &str, tokens: &str, scope: Option<&str>) -> anyhow::Result<Answer> {
        let scope = scope.map(|scope| format!("X-Scope: {scope}\r\n")).unwrap_or_default();
        let text = format!("GET /v2/images/1 HTTP/1.1\r\nHost: g\r\n{tokens}{scope}\r\n");
        self.federation.connect(at, "Glance")?.exchange(text)
    }

    /// The requests that a site's service got since it was asked last.
    pub fn taken(&self, site: &str, service: &str) -> Vec<Recorded> {
        self.federation.service(site, service).take_requests()
    }

    /// Forgets what all services got.
    pub fn forget(&self) {
        for site in SITES {
            self.taken(site, "Keystone");
            self.taken(site, "Glance");
        }
    }
}

impl Keystone {
    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().expect("whole"))
    }

    /// Makes a token valid without an agent's knowledge.
    pub fn make(&self, token: &str, document: Value) {
        self.with(|state| state.tokens.insert(token.to_owned(), document));
    }

    /// It is valid no longer.
    pub fn revoke(&self, token: &str) {
        self.with(|state| state.tokens.remove(token));
    }

    /// It has expired.
    pub fn expire(&self, token: &str) {
        self.change(token, |said| said["token"]["expires_at"] = EXPIRED.into());
        self.with(|state| state.expired.insert(token.to_owned()));
    }

    /// Changes what it says of a token.
    pub fn change(&self, token: &str, change: impl FnOnce(&mut Value)) {
        self.with(|state| change(state.tokens.get_mut(token).expect("a token")));
    }

    /// Lets it know the id of a user or project.
    pub fn know(&self, id: &str) {
        self.with(|state| state.ids.insert(id.to_owned()));
    }

    /// From now on answers look-ups of ids so.
    pub fn look_ups(&self, status: Option<u16>) {
        self.with(|state| state.looks_up = status);
    }

    /// From now on answers checks of tokens so.
    pub fn checks(&self, status: Option<u16>) {
        self.with(|state| state.checks = status);
    }

    fn answer(&self, request: &Recorded) -> Scripted {
        let mut whole = self.whole(request);
        if request.line().starts_with("HEAD ") {
            let end = whole.bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
            whole.bytes.truncate(end);
        }
        whole
    }

    fn whole(&self, request: &Recorded) -> Scripted {
        let line = request.line();
        let mut parts = line.split([' ', '?']);
        let (method, path) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let (caller, subject) = (request.header("X-Auth-Token"), request.header("X-Subject-Token"));
        self.with(|state| {
            let counts = |token: &String| state.tokens.contains_key(token) && !state.expired.contains(token);
            let known = |token: &Option<String>| token.as_ref().is_some_and(counts);
            if (method, path) == ("POST", "/v3/auth/tokens") {
                state.issued += 1;
                let token = format!("token-secret-{}-of-{}", state.issued, self.site);
                let document = document(&self.site, &["member"]);
                state.tokens.insert(token.clone(), document.clone());
                return answer(201, &format!("X-Subject-Token: {token}\r\n"), &document);
            }
            if path == "/v3/auth/tokens" && state.checks.is_some() && known(&caller) {
                return answer(state.checks.unwrap_or_default(), "", &json!({ "error": "as the test says" }));
            }
            if !known(&caller) {
                return answer(401, "", &json!({ "error": { "message": "The request requires authentication." } }));
            }
            let unknown = || answer(404, "X-Unknown: yes\r\n", &json!({ "error": { "message": "Not found" } }));
            if path != "/v3/auth/tokens" {
                let id = path.rsplit('/').next().unwrap_or_default();
                return match state.looks_up {
                    Some(status) => answer(status, "", &json!({ "error": "as the test says" })),
                    None if state.ids.contains(id) => answer(200, "", &json!({ "id": id })),
                    None => unknown(),
                };
            }
            let too = line.contains("?allow_expired=1") && caller.is_some_and(|caller| caller.starts_with(SERVICE));
            let told = subject.as_ref().filter(|subject| too || !state.expired.contains(*subject));
            let Some(document) = told.and_then(|subject| state.tokens.get(subject)) else {
                return unknown();
            };
            let repeated = format!("X-Subject-Token: {}\r\nVary: X-Auth-Token\r\n", subject.unwrap_or_default());
            match method {
                "DELETE" => Scripted { bytes: b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(), then: Then::Keep },
                _ => answer(200, &repeated, document),
            }
        })
    }
}

/// The image service has the token checked, and says what it was told; as OpenStack's, it says no more than 401 otherwise.
fn glance(host: &Host, keystone: SocketAddr, request: &Recorded) -> Scripted {
    let token = request.header("X-Auth-Token").unwrap_or_default();
    let check = format!(
        "GET /v3/auth/tokens?allow_expired=1 HTTP/1.1\r\nHost: {keystone}\r\nX-Auth-Token: {}\r\nX-Subject-Token: {token}\r\n\r\n",
        service_token(host.site())
    );
    let checked = host.connect(keystone).and_then(|mut client| client.exchange(check));
    match checked {
        Ok(checked) if checked.status == 200 => {
            let told = checked.json().unwrap_or_default();
            answer(200, &format!("X-Lab-Site: {}\r\n", host.site()), &json!({ "site": host.site(), "told": told }))
        }
        Ok(checked) if matches!(checked.status, 401 | 404) => {
            answer(401, "X-Glance: yes\r\n", &json!({ "code": "401" }))
        }
        Ok(checked) => answer(503, "", &json!({ "checked": checked.status })),
        Err(error) => answer(503, "", &json!({ "error": error.to_string() })),
    }
}

fn answer(status: u16, fields: &str, body: &Value) -> Scripted {
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 {status} Lab\r\nContent-Type: application/json\r\n{fields}Content-Length: {}\r\n\r\n",
        body.len()
    );
    Scripted { bytes: [head, body].concat().into(), then: Then::Keep }
}
