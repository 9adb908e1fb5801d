//! HAProxy with a rule on the header `X-Scope`, and with a Lua script that reads the scope.
//!
//! One thread, no log, connections kept on both sides and shared (`http-reuse always`). Another site's HAProxy is reached
//! over HTTP/1.1 connections that are kept, by mutual TLS 1.3 with certificates of the authority that the agents' have;
//! the scope is cut there.

use std::path::Path;

use cheops_tests::lab::Host;

use crate::program::{self, Program};
use crate::system::{PEER, System};

const CONFIGURATION: &str = "
global
    nbthread 1
    maxconn MOST
    ssl-default-bind-options ssl-min-ver TLSv1.3
    ssl-default-server-options ssl-min-ver TLSv1.3
    SCRIPT
defaults
    mode http
    http-reuse always
    timeout connect 5s
    timeout client 10m
    timeout server 10m
    timeout http-keep-alive 10m
frontend clients
    bind PROXY backlog 4096
RULE
    default_backend service
frontend uploads
    bind UPLOAD
    default_backend sink
backend service
    server one SERVICE
backend sink
    server one SINK
";

/// Only with certificates: both sides of the way to the other sites.
const PEERS: &str = "
frontend peers
    bind TLS ssl crt FOLDER/host.pem ca-file FOLDER/ca.pem verify required
    http-request del-header X-Scope
    default_backend service
backend paris
    server one PARIS ssl crt FOLDER/host.pem ca-file FOLDER/ca.pem verify required
backend potsdam
    server one POTSDAM ssl crt FOLDER/host.pem ca-file FOLDER/ca.pem verify required
";

const RULE: &str = "    acl scoped req.hdr(X-Scope) -m found
    use_backend potsdam if scoped { req.hdr(X-Scope) -m sub Potsdam }
    use_backend paris if scoped";

/// As the first design of scopes did it: the script reads each request's scope and names the backend.
const SCRIPT: &str = r#"
local backends = { Paris = "paris", Potsdam = "potsdam" }
core.register_fetches("scope", function(txn)
  local scope = txn.f:req_hdr("X-Scope")
  if scope == nil or scope == "" then return "service" end
  local service, site = scope:match("^%s*{%s*([%w_-]+)%s*:%s*([%w_-]+)%s*}%s*$")
  return service == "Web" and backends[site] or "service"
end)
"#;

/// What the two sides need to know each other: PEM.
pub struct Certificates {
    pub authority: String,
    pub certificate: String,
    pub key: String,
}

/// Starts it at a host; `others` are where Paris's and Potsdam's take what is scoped.
pub fn start(
    host: &Host,
    folder: &Path,
    lua: bool,
    certificates: &Certificates,
    others: &[Host; 2],
) -> anyhow::Result<Program> {
    let system = if lua { System::HaproxyLua } else { System::Haproxy };
    program::write(folder, "scope.lua", SCRIPT, &[])?;
    program::write(folder, "ca.pem", &certificates.authority, &[])?;
    program::write(folder, "host.pem", &format!("{}{}", certificates.certificate, certificates.key), &[])?;
    let address = |port: u16| host.at(port).to_string();
    let (load, rule) = if lua {
        (format!("lua-load {}", folder.join("scope.lua").display()), "    use_backend %[lua.scope]".to_owned())
    } else {
        (String::new(), RULE.to_owned())
    };
    // One process of each host takes what peers send.
    let tls = if lua { PEER + 1 } else { PEER };
    let replace = [
        ("SCRIPT", load),
        ("MOST", (program::descriptors()? / 2).saturating_sub(100).to_string()),
        ("RULE", rule),
        ("FOLDER", folder.display().to_string()),
        ("PROXY", address(system.port())),
        ("UPLOAD", address(system.upload_port())),
        ("SERVICE", address(System::Direct.port())),
        ("SINK", address(System::Direct.upload_port())),
        ("TLS ssl", format!("{} ssl", address(tls))),
        ("PARIS", others[0].at(PEER).to_string()),
        ("POTSDAM", others[1].at(PEER).to_string()),
    ];
    let file = program::write(folder, "haproxy.cfg", &format!("{CONFIGURATION}{PEERS}"), &replace)?;
    let mut haproxy = host.command("/usr/sbin/haproxy");
    haproxy.arg("-db").arg("-f").arg(&file);
    Program::start(host, &mut haproxy, &folder.join("haproxy.log"), host.at(system.port()))
}
