//! nginx, twice: the service that is measured, and a well-known reverse proxy to compare the agent with.

use std::path::Path;

use cheops_tests::lab::Host;

use crate::program::{self, Program};
use crate::system::System;

/// Answers of 120 bytes, and of 1 MiB from the page cache.
const SERVICE: &str = r#"
    sendfile on;
    open_file_cache max=16;
    server {
        listen SERVICE reuseport backlog=4096;
        keepalive_requests 1000000000;
        keepalive_timeout 600s;
        default_type application/json;
        location = /large { root FOLDER; }
        location / { return 200 '{"servers":[{"id":"5a9f","name":"vm-1","status":"ACTIVE"},{"id":"77c1","name":"vm-2","status":"BUILD"}]}'; }
    }
"#;

/// Passes everything on, over connections that it keeps; bodies as they come, with buffers of 64 KiB instead of 4 KiB.
const PROXY: &str = r#"
    upstream service { server SERVICE; keepalive 256; keepalive_requests 1000000000; }
    upstream sink { server SINK; keepalive 4; }
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $http_host;
    proxy_buffering off;
    proxy_buffer_size 64k;
    proxy_buffers 8 64k;
    proxy_busy_buffers_size 128k;
    proxy_request_buffering off;
    client_body_buffer_size 64k;
    client_max_body_size 0;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    server { listen PROXY reuseport backlog=4096; location / { proxy_pass http://service; } }
    server { listen UPLOAD reuseport; location / { proxy_pass http://sink; } }
"#;

/// One process, since the agent has one thread.
const MAIN: &str = r#"
daemon off;
master_process off;
worker_processes 1;
pid FOLDER/nginx.pid;
error_log FOLDER/error.log error;
events { worker_connections CONNECTIONS; }
http {
    access_log off;
    client_body_temp_path FOLDER/body;
    proxy_temp_path FOLDER/proxy;
    fastcgi_temp_path FOLDER/fastcgi;
    uwsgi_temp_path FOLDER/uwsgi;
    scgi_temp_path FOLDER/scgi;
SERVERS}
"#;

/// The service. It has room for a connection of each of the idle clients.
pub fn service(host: &Host, folder: &Path) -> anyhow::Result<Program> {
    program::write(folder, "large", &"x".repeat(1 << 20), &[])?;
    start(host, folder, SERVICE, System::Direct, 32768)
}

/// The proxy, with room for that many connections: it sets memory aside for each at its start.
pub fn proxy(host: &Host, folder: &Path, connections: u32) -> anyhow::Result<Program> {
    start(host, folder, PROXY, System::Nginx, connections)
}

fn start(host: &Host, folder: &Path, servers: &str, system: System, connections: u32) -> anyhow::Result<Program> {
    let address = |port: u16| host.at(port).to_string();
    let replace = [
        ("SERVERS", servers.to_owned()),
        ("FOLDER", folder.display().to_string()),
        ("CONNECTIONS", connections.to_string()),
        ("SERVICE", address(System::Direct.port())),
        ("SINK", address(System::Direct.upload_port())),
        ("PROXY", address(System::Nginx.port())),
        ("UPLOAD", address(System::Nginx.upload_port())),
    ];
    let file = program::write(folder, "nginx.conf", MAIN, &replace)?;
    let mut nginx = host.command("/usr/sbin/nginx");
    nginx.arg("-p").arg(folder).arg("-c").arg(&file);
    Program::start(host, &mut nginx, &folder.join("nginx.log"), host.at(system.port()))
}
