//! Kinto at a site: a JSON store with an HTTP API, made by others, installed from PyPI and running unmodified.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use cheops_tests::lab::{Host, eventually};

/// Where each site's Kinto listens.
pub const PORT: u16 = 8888;

/// Kinto's own configuration: its memory store, open to everybody. Nothing in it knows of Cheops.
const CONFIGURATION: &str = r#"
[server:main]
use = egg:waitress#main
host = ADDRESS
port = PORT

[app:main]
use = egg:kinto
kinto.storage_backend = kinto.core.storage.memory
kinto.permission_backend = kinto.core.permission.memory
kinto.cache_backend = kinto.core.cache.memory
kinto.userid_hmac_secret = demo
multiauth.policies = basicauth
kinto.bucket_create_principals = system.Everyone
kinto.bucket_read_principals = system.Everyone
kinto.bucket_write_principals = system.Everyone

[loggers]
keys = root
[handlers]
keys = console
[formatters]
keys = plain
[logger_root]
level = ERROR
handlers = console
[handler_console]
class = StreamHandler
args = (sys.stderr,)
formatter = plain
[formatter_plain]
format = %(message)s
"#;

/// Starts Kinto at the host, and puts one image into its store. It ends with the world.
pub fn start(host: &Host, kinto: &Path, folder: &Path, image: &str) -> anyhow::Result<()> {
    let file = folder.join(format!("kinto-{}.ini", host.name()));
    let text = CONFIGURATION.replace("ADDRESS", &host.ipv4().to_string()).replace("PORT", &PORT.to_string());
    fs::write(&file, text).with_context(|| format!("can't write {}", file.display()))?;
    let log = folder.join(format!("kinto-{}.log", host.name()));
    let sink = fs::File::create(&log)?;
    let mut command = host.command(kinto);
    command.args(["start", "--port", &PORT.to_string(), "--ini"]).arg(&file);
    command.stdin(Stdio::null()).stdout(sink.try_clone()?).stderr(sink);
    let mut process = command.spawn().with_context(|| format!("can't start {}", kinto.display()))?;
    if !eventually(Duration::from_secs(30), || host.connect(host.at(PORT)).is_ok()) {
        let said = fs::read_to_string(&log).unwrap_or_default();
        bail!("Kinto at {} doesn't listen ({:?}): {said}", host.site(), process.try_wait());
    }
    put(host, "/v1/buckets/images", "{}")?;
    put(host, "/v1/buckets/images/collections/disks", "{}")?;
    let record = format!(r#"{{"data":{{"stored-at":"{}"}}}}"#, host.site());
    put(host, &format!("/v1/buckets/images/collections/disks/records/{image}"), &record)
}

fn put(host: &Host, path: &str, body: &str) -> anyhow::Result<()> {
    let request = format!(
        "PUT {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        host.at(PORT),
        body.len()
    );
    let answer = host.connect(host.at(PORT))?.exchange(request)?;
    if answer.status != 201 {
        bail!("Kinto at {} answers {} to PUT {path}: {}", host.site(), answer.status, answer.text());
    }
    Ok(())
}
