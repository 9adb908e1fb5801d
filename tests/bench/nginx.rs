//! nginx, twice: the service that is measured, and a well-known reverse proxy to compare the agent with.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use cheops_tests::lab::{Host, eventually};

/// Serves the same answer on a guarded and on an unguarded port.
const SERVICE: &str = r#"
    server {
        listen GUARDED reuseport;
        listen OPEN reuseport;
        keepalive_requests 1000000000;
        default_type application/json;
        location / { return 200 '{"servers":[{"id":"5a9f","name":"vm-1","status":"ACTIVE"},{"id":"77c1","name":"vm-2","status":"BUILD"}]}'; }
    }
"#;

/// Passes everything on, over connections that it keeps.
const PROXY: &str = r#"
    upstream service { server OPEN; keepalive 128; keepalive_requests 1000000000; }
    server {
        listen PROXY reuseport;
        keepalive_requests 1000000000;
        location / {
            proxy_pass http://service;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_buffering off;
        }
    }
"#;

/// One process, since the agent has one thread.
const MAIN: &str = r#"
daemon off;
master_process off;
worker_processes 1;
pid FOLDER/nginx.pid;
error_log FOLDER/error.log warn;
events { worker_connections 4096; }
http {
    access_log off;
    client_body_temp_path FOLDER/body;
    proxy_temp_path FOLDER/proxy;
    fastcgi_temp_path FOLDER/fastcgi;
    uwsgi_temp_path FOLDER/uwsgi;
    scgi_temp_path FOLDER/scgi;
SERVERS}
"#;

/// The port that the agent guards.
pub const GUARDED: u16 = 8080;
/// The same service, where no agent looks.
pub const OPEN: u16 = 8081;
/// nginx as a proxy in front of it.
pub const PROXIED: u16 = 8082;

/// A running nginx, ended when it is dropped.
pub struct Nginx(Child);

impl Nginx {
    pub fn service(host: &Host, folder: &Path) -> anyhow::Result<Self> {
        Self::start(host, &folder.join("service"), SERVICE, OPEN)
    }

    pub fn proxy(host: &Host, folder: &Path) -> anyhow::Result<Self> {
        Self::start(host, &folder.join("proxy"), PROXY, PROXIED)
    }

    fn start(host: &Host, folder: &Path, servers: &str, port: u16) -> anyhow::Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("can't make {}", folder.display()))?;
        let mut configuration = MAIN.replace("SERVERS", servers).replace("FOLDER", &folder.display().to_string());
        for (name, port) in [("GUARDED", GUARDED), ("OPEN", OPEN), ("PROXY", PROXIED)] {
            configuration = configuration.replace(name, &host.at(port).to_string());
        }
        let file = folder.join("nginx.conf");
        fs::write(&file, configuration)?;
        let mut nginx = host.command("/usr/sbin/nginx");
        nginx.arg("-p").arg(folder).arg("-c").arg(&file).stdin(Stdio::null());
        let mut nginx = Self(nginx.spawn().context("can't start nginx; install the Debian package nginx")?);
        if !eventually(Duration::from_secs(10), || host.connect(host.at(port)).is_ok()) {
            let errors = fs::read_to_string(folder.join("error.log")).unwrap_or_default();
            bail!("nginx doesn't listen at {} ({:?}): {errors}", host.at(port), nginx.0.try_wait());
        }
        Ok(nginx)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}
