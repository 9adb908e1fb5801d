//! Keystone over TLS: whose certificate counts, and which one it is shown.

use std::path::Path;
use std::process::{Child, Output};
use std::time::Duration;

use cheops_tests::lab::eventually;
use serde_json::json;

use super::scene::{PASSWORD, Scene, catalog};
use super::{NO, YES, exits, hushed, out};

/// A Keystone over TLS at Berlin, for whose certificate `ca.pem` stands; the working directory has its files.
struct Sealed {
    scene: Scene,
    url: String,
    server: Child,
}

impl Sealed {
    /// `wants`: the file of the authority whose certificates it wants to be shown.
    fn start(wants: Option<&str>) -> anyhow::Result<Self> {
        let mut scene = Scene::new()?;
        scene.keystones.clear();
        let host = scene.agent().host().clone();
        let address = host.ipv4().to_string();
        let (certificate, key) = own(&address)?;
        let path = |name: &str| scene.clouds.path().join(name);
        std::fs::write(path("keystone.pem"), certificate.clone() + &key)?;
        std::fs::write(path("ca.pem"), certificate)?;
        std::fs::write(path("answer.json"), json!({ "token": { "catalog": catalog(&host) } }).to_string())?;
        let (certificate, key) = own("somebody")?;
        std::fs::write(path("both.pem"), certificate.clone() + &key)?;
        std::fs::write(path("mine.pem"), certificate)?;
        std::fs::write(path("mine.key"), key)?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/commands/keystone.py");
        let mut command = host.command("/usr/bin/python3");
        command.args([&script.to_string_lossy(), &address[..], "5443"]).args(wants).current_dir(scene.clouds.path());
        let sealed = Self { scene, url: format!("https://{address}:5443"), server: command.spawn()? };
        let up = eventually(Duration::from_secs(60), || host.connect(host.at(5443)).is_ok());
        anyhow::ensure!(up, "no TLS server");
        Ok(sealed)
    }

    fn import(&self, more: &[(&str, &str)]) -> anyhow::Result<Output> {
        let given = [
            ("OS_AUTH_URL", self.url.as_str()),
            ("OS_USERNAME", "demo"),
            ("OS_PASSWORD", PASSWORD),
            ("OS_PROJECT_ID", "7"),
        ];
        let config = self.scene.config();
        let line = ["services", "import", "openstack", "--dry-run", "--config", &config];
        self.scene.run(&line, &[&given[..], more].concat())
    }

    fn believes(&self, more: &[(&str, &str)]) -> anyhow::Result<()> {
        let output = self.import(more)?;
        exits(&output, YES);
        assert!(out(&output).contains("Glance"), "{more:?}: {}", out(&output));
        Ok(())
    }

    fn refuses(&self, more: &[(&str, &str)], part: &str) -> anyhow::Result<()> {
        let output = self.import(more)?;
        exits(&output, NO);
        hushed(&output);
        assert!(out(&output).contains(part), "{more:?}, {part}: {}", out(&output));
        Ok(())
    }
}

impl Drop for Sealed {
    fn drop(&mut self) {
        _ = self.server.kill();
        _ = self.server.wait();
    }
}

/// A certificate that is its own authority, and its key.
fn own(name: &str) -> anyhow::Result<(String, String)> {
    let key = rcgen::KeyPair::generate()?;
    let certificate = rcgen::CertificateParams::new([name.to_owned()])?.self_signed(&key)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

const TRUSTED: (&str, &str) = ("OS_CACERT", "ca.pem");

#[test]
fn keystone_over_tls_is_believed_as_the_settings_say() -> anyhow::Result<()> {
    let keystone = Sealed::start(None)?;
    keystone.believes(&[TRUSTED])?;
    keystone.believes(&[("OS_INSECURE", "true")])?;
    keystone.refuses(&[], "(cacert, OS_CACERT)")?;
    keystone.refuses(&[("OS_CACERT", "answer.json")], "it holds no certificate")
}

#[test]
fn keystone_is_shown_a_certificate_where_it_wants_one() -> anyhow::Result<()> {
    let keystone = Sealed::start(Some("mine.pem"))?;
    let unknown = [TRUSTED, ("OS_CERT", "keystone.pem")];
    keystone.refuses(&[TRUSTED], "wants to be shown a certificate")?;
    keystone.refuses(&unknown, "wants to be shown a certificate")?;
    keystone.believes(&[TRUSTED, ("OS_CERT", "mine.pem"), ("OS_KEY", "mine.key")])?;
    keystone.believes(&[("OS_INSECURE", "true"), ("OS_CERT", "both.pem")])?;
    let unusable = "(cert, key), which can't be used";
    keystone.refuses(&[TRUSTED, ("OS_CERT", "mine.pem")], unusable)?;
    keystone.refuses(&[TRUSTED, ("OS_CERT", "answer.json"), ("OS_KEY", "mine.key")], unusable)?;
    keystone.refuses(&[TRUSTED, ("OS_CERT", "ca.pem"), ("OS_KEY", "mine.key")], unusable)
}
