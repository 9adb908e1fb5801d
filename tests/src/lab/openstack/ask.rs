//! Asking a site's services as a client does: REST, tokens, the unmodified command.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::site::{Site, plain_environment};
use crate::lab::{Answer, Client, Host, eventually};

/// How long an answer, and the building of a server, may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// What asks for a server without a network, as `--nic none` does.
pub const COMPUTE: &str = "compute 2.79";

/// A service, by its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    Keystone,
    Glance,
    Nova,
    Placement,
    Neutron,
}

impl Api {
    pub const ALL: [Self; 5] = [Self::Keystone, Self::Glance, Self::Nova, Self::Placement, Self::Neutron];

    /// Its name in scopes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Keystone => "Keystone",
            Self::Glance => "Glance",
            Self::Nova => "Nova",
            Self::Placement => "Placement",
            Self::Neutron => "Neutron",
        }
    }

    /// Its type in Keystone's catalog.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Keystone => "identity",
            Self::Glance => "image",
            Self::Nova => "compute",
            Self::Placement => "placement",
            Self::Neutron => "network",
        }
    }

    /// Its port at the site's first host.
    pub fn port(self) -> u16 {
        match self {
            Self::Keystone => 5000,
            Self::Glance => 9292,
            Self::Nova => 8774,
            Self::Placement => 8778,
            Self::Neutron => 9696,
        }
    }
}

/// A request that isn't sent yet.
#[derive(Clone, Debug)]
pub struct Ask {
    method: &'static str,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Ask {
    pub fn new(method: &'static str, path: &str) -> Self {
        Self { method, path: path.to_owned(), headers: Vec::new(), body: Vec::new() }
    }

    pub fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    pub fn delete(path: &str) -> Self {
        Self::new("DELETE", path)
    }

    pub fn post(path: &str, document: &Value) -> Self {
        let ask = Self::new("POST", path).header("Content-Type", "application/json");
        ask.body(document.to_string().into_bytes())
    }

    /// A server of this name, from this image, of the flavor `tiny`, without a network.
    pub fn server(name: &str, image: &str) -> Self {
        let server = json!({"name": name, "imageRef": image, "flavorRef": "tiny", "networks": "none"});
        Self::post("/v2.1/servers", &json!({ "server": server })).header("OpenStack-API-Version", COMPUTE)
    }

    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    #[must_use]
    pub fn token(self, token: &Token) -> Self {
        self.header("X-Auth-Token", &token.id)
    }

    #[must_use]
    pub fn scope(self, scope: &str) -> Self {
        self.header("X-Scope", scope)
    }

    #[must_use]
    pub fn body(mut self, bytes: Vec<u8>) -> Self {
        self.body = bytes;
        self
    }

    /// As it goes over the wire.
    fn bytes(&self, host: &str) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        if !self.body.is_empty() || self.method != "GET" {
            head += &format!("Content-Length: {}\r\n", self.body.len());
        }
        [format!("{head}\r\n").as_bytes(), &self.body].concat()
    }
}

/// A token, as Keystone gave it.
#[derive(Clone, Debug)]
pub struct Token {
    pub id: String,
    /// What Keystone says of it: `user`, `project`, `catalog`, `expires_at`, …
    pub document: Value,
}

impl Token {
    /// The id of its project.
    pub fn project(&self) -> &str {
        self.document["project"]["id"].as_str().unwrap_or_default()
    }

    /// The id of its user.
    pub fn user(&self) -> &str {
        self.document["user"]["id"].as_str().unwrap_or_default()
    }
}

impl Site {
    /// Asks a service of this site, from its own first host, on a connection of its own.
    pub fn ask(&self, api: Api, ask: &Ask) -> anyhow::Result<Answer> {
        self.ask_from(self.host(), api, ask)
    }

    /// The same, from any host.
    pub fn ask_from(&self, from: &Host, api: Api, ask: &Ask) -> anyhow::Result<Answer> {
        let to = self.host().at(api.port());
        let mut client: Client = from.connect(to)?;
        client.patience(PATIENCE)?;
        let answer = client.exchange(ask.bytes(&to.to_string()));
        answer.with_context(|| format!("{} {} at {}'s {}", ask.method, ask.path, self.name(), api.name()))
    }

    /// The same, and an error unless the status is below 300; the body.
    pub fn need(&self, api: Api, ask: &Ask) -> anyhow::Result<Value> {
        let answer = self.ask(api, ask)?;
        if answer.status >= 300 {
            let (name, text) = (api.name(), answer.text());
            bail!("{} {} at {}'s {name}: {} {text}", ask.method, ask.path, self.name(), answer.status);
        }
        if answer.body.is_empty() { Ok(Value::Null) } else { answer.json() }
    }

    /// What asks Keystone for a token of a user (`admin`, `demo`, `other`) for the project of the same name.
    pub fn login(&self, user: &str) -> Ask {
        let domain = json!({"id": "default"});
        let user = json!({"name": user, "domain": domain, "password": self.passwords().of(user)});
        let project = json!({"name": user["name"], "domain": domain});
        let auth = json!({
            "identity": {"methods": ["password"], "password": {"user": user}}, "scope": {"project": project},
        });
        Ask::post("/v3/auth/tokens", &json!({ "auth": auth }))
    }

    /// A token of a user.
    pub fn token(&self, user: &str) -> anyhow::Result<Token> {
        let answer = self.ask(Api::Keystone, &self.login(user))?;
        let Some(id) = answer.header("x-subject-token").filter(|_| answer.status == 201) else {
            bail!("{}'s Keystone gives {user} no token: {} {}", self.name(), answer.status, answer.text());
        };
        Ok(Token { id, document: answer.json()?["token"].take() })
    }

    /// Revokes a token.
    pub fn revoke(&self, token: &Token) -> anyhow::Result<()> {
        let ask = Ask::delete("/v3/auth/tokens").token(token).header("X-Subject-Token", &token.id);
        self.need(Api::Keystone, &ask).map(drop)
    }

    /// The id of an image of this site's own Glance.
    pub fn image(&self, name: &str) -> anyhow::Result<String> {
        let ask = Ask::get(&format!("/v2/images?name={name}")).token(&self.token("demo")?);
        let found = self.need(Api::Glance, &ask)?;
        let id = found["images"][0]["id"].as_str();
        Ok(id.with_context(|| format!("{} has no image {name}", self.name()))?.to_owned())
    }

    /// Asks for a server, which has to be accepted; its id.
    pub fn create(&self, ask: &Ask) -> anyhow::Result<String> {
        let made = self.need(Api::Nova, ask)?;
        let id = made["server"]["id"].as_str();
        Ok(id.with_context(|| format!("no server in {made}"))?.to_owned())
    }

    /// What this site's own Nova says of a server.
    pub fn server(&self, token: &Token, id: &str) -> anyhow::Result<Value> {
        let ask = Ask::get(&format!("/v2.1/servers/{id}")).token(token).header("OpenStack-API-Version", COMPUTE);
        Ok(self.need(Api::Nova, &ask)?["server"].take())
    }

    /// Waits until a server is built, well or not; what Nova says of it.
    pub fn built(&self, token: &Token, id: &str) -> anyhow::Result<Value> {
        let mut last = Value::Null;
        let done = eventually(PATIENCE, || {
            last =
                self.server(token, id).unwrap_or_else(|error| json!({"status": "BUILD", "error": error.to_string()}));
            last["status"] != "BUILD" || {
                std::thread::sleep(Duration::from_millis(200));
                false
            }
        });
        if !done {
            bail!("{}'s server {id} isn't built after {PATIENCE:?}: {last}", self.name());
        }
        Ok(last)
    }

    /// Waits until a server is ACTIVE; an error with its fault if it ends otherwise.
    pub fn active(&self, token: &Token, id: &str) -> anyhow::Result<()> {
        let server = self.built(token, id)?;
        if server["status"] != "ACTIVE" {
            bail!("{}'s server {id} is {}: {}\n{}", self.name(), server["status"], server["fault"], self.last_words());
        }
        Ok(())
    }

    /// What the unmodified command needs to know to work as a user of this site, and nothing of Cheops.
    pub fn environment(&self, user: &str) -> Vec<(&'static str, String)> {
        let known = [
            ("OS_AUTH_URL", format!("http://{}/v3", self.host().at(Api::Keystone.port()))),
            ("OS_USERNAME", user.to_owned()),
            ("OS_PASSWORD", self.passwords().of(user).to_owned()),
            ("OS_PROJECT_NAME", user.to_owned()),
            ("OS_USER_DOMAIN_ID", "default".to_owned()),
            ("OS_PROJECT_DOMAIN_ID", "default".to_owned()),
            ("OS_REGION_NAME", "RegionOne".to_owned()),
            ("OS_IDENTITY_API_VERSION", "3".to_owned()),
            // The first that knows servers without a network by `--nic none` is 2.37.
            ("OS_COMPUTE_API_VERSION", "2.79".to_owned()),
        ];
        known.into()
    }

    /// Makes a command, such as one under `cheops exec`, work as a user of this site.
    pub fn dress(&self, command: &mut Command, user: &str) {
        plain_environment(command, self.directory());
        command.envs(self.environment(user));
    }

    /// The unmodified command, for a user of this site, at its first host.
    pub fn openstack(&self, user: &str) -> Command {
        let mut command = self.host().command("/usr/bin/openstack");
        self.dress(&mut command, user);
        command
    }

    /// Runs the unmodified command; an error unless it ends well.
    pub fn run(&self, user: &str, arguments: &[&str]) -> anyhow::Result<String> {
        well(&format!("openstack {}", arguments.join(" ")), self.openstack(user).args(arguments))
    }
}

/// Runs a command to its end; what it printed, or an error with what it complained of.
pub fn well(what: &str, command: &mut Command) -> anyhow::Result<String> {
    let output: Output = command.stdin(Stdio::null()).output().with_context(|| format!("can't run {what}"))?;
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("{what}: {}: {out}{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(out)
}
