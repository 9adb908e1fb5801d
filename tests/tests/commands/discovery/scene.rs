//! Keystones that are scripted, and agents that know no service yet.

use std::path::PathBuf;
use std::process::{Output, Stdio};

use cheops_tests::lab::{Agent, Federation, Host, Recorded, Scripted, Service, Then};
use serde_json::{Value, json};

pub(super) const PASSWORD: &str = "s3cr3t-of-nobody";
pub(super) const TOKEN: &str = "gAAAAAB-token-of-nobody";

/// A Keystone that knows one password, and gives this catalog.
pub(super) fn keystone(host: &Host, catalog: Value) -> anyhow::Result<Service> {
    let service = Service::start(host, "keystone", &[host.at(5000)])?;
    service.script_all(move |request| Some(answer(request, &catalog)));
    Ok(service)
}

pub(super) fn answer(request: &Recorded, catalog: &Value) -> Scripted {
    let asked: Value = serde_json::from_slice(request.body()).unwrap_or_default();
    let said = &asked["auth"]["identity"]["password"]["user"]["password"];
    let (status, body) = match (request.line().as_str(), said.as_str()) {
        ("POST /v3/auth/tokens HTTP/1.1", Some(PASSWORD)) => {
            let project = json!({ "id": "3f1a9d0c6a7b4b0ea6d2f0a1b2c3d4e5", "name": "demo" });
            ("201 Created", json!({ "token": { "catalog": catalog, "project": project } }))
        }
        ("POST /v3/auth/tokens HTTP/1.1", _) => ("401 Unauthorized", asked),
        _ => ("404 Not Found", json!({})),
    };
    let body = body.to_string();
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\nX-Subject-Token: {TOKEN}\r\nContent-Length: {length}\r\n\r\n");
    Scripted { bytes: (head + &body).into(), then: Then::Close }
}

pub(super) fn entry(kind: &str, name: &str, url: &str) -> Value {
    json!({ "type": kind, "name": name, "endpoints": [
        { "interface": "public", "region": "RegionOne", "region_id": "RegionOne", "url": url } ] })
}

/// As a site of the lab's OpenStack has it.
pub(super) fn catalog(host: &Host) -> Value {
    let at = |port: u16, path: &str| format!("http://{}{path}", host.at(port));
    json!([
        entry("identity", "keystone", &at(5000, "/v3")),
        entry("image", "glance", &at(9292, "")),
        entry("compute", "nova", &at(8774, "/v2.1")),
        entry("volumev3", "cinderv3", &at(8776, "/v3/3f1a9d0c6a7b4b0ea6d2f0a1b2c3d4e5")),
        entry("volumev2", "cinderv2", &at(8776, "/v2/%(project_id)s")),
    ])
}

/// Berlin and Paris, whose agents know no service yet, each with a Keystone; and a `clouds.yaml` of both.
pub(super) struct Scene {
    pub(super) federation: Federation,
    pub(super) keystones: Vec<Service>,
    pub(super) clouds: tempfile::TempDir,
}

impl Scene {
    pub(super) fn new() -> anyhow::Result<Self> {
        let federation =
            Federation::builder().sites(&["Berlin", "Paris"]).overlay("[intercept]\nmode = \"off\"").start()?;
        let mut keystones = Vec::new();
        let mut text = "clouds:\n".to_owned();
        for site in ["Berlin", "Paris"] {
            let agent = federation.agent(site);
            agent.files().profile("openstack", "version = 1\n[conventional]\nskip = [\"v{number}\"]\n")?;
            let host = agent.host();
            keystones.push(keystone(host, catalog(host))?);
            let name = site.to_lowercase();
            text += &format!(
                "  {name}:\n    auth: {{auth_url: 'http://{}/v3', username: demo, project_name: demo}}\n",
                host.at(5000)
            );
        }
        let clouds = tempfile::tempdir()?;
        std::fs::write(clouds.path().join("clouds.yaml"), text)?;
        let auth = format!("{{auth: {{password: {PASSWORD}}}}}");
        std::fs::write(clouds.path().join("secure.yaml"), format!("clouds:\n  berlin: {auth}\n  paris: {auth}\n"))?;
        Ok(Self { federation, keystones, clouds })
    }

    pub(super) fn agent(&self) -> &Agent {
        self.federation.agent("Berlin")
    }

    pub(super) fn config(&self) -> String {
        self.agent().files().config().to_string_lossy().into_owned()
    }

    pub(super) fn drop_in(&self) -> PathBuf {
        self.agent().files().directory().join("agent.d/openstack.toml")
    }

    /// Runs cheops at Berlin's host, where `clouds.yaml` is in the working directory.
    pub(super) fn run(&self, arguments: &[&str], variables: &[(&str, &str)]) -> anyhow::Result<Output> {
        let mut command = self.agent().cheops_command()?;
        command.args(arguments).current_dir(self.clouds.path()).envs(variables.iter().copied());
        Ok(command.stdin(Stdio::null()).output()?)
    }

    pub(super) fn import(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        let config = self.config();
        self.run(&[&["services", "import", "openstack", "--config", &config], arguments].concat(), &[])
    }

    pub(super) fn both(&self) -> anyhow::Result<Output> {
        self.import(&["--cloud", "Berlin=berlin", "--cloud", "Paris=paris"])
    }
}
