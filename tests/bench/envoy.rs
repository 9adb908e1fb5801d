//! Envoy: one worker, no access log, no hot restart, connections kept on both sides.

use std::path::Path;

use cheops_tests::lab::Host;

use crate::program::{self, Program};
use crate::system::System;

const LISTENER: &str = r"
  - name: NAME
    address: { socket_address: { address: HOST, port_value: PORT } }
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          '@type': type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: NAME
          generate_request_id: false
          route_config:
            virtual_hosts:
            - { name: all, domains: ['*'], routes: [{ match: { prefix: / }, route: { cluster: NAME, timeout: 0s } }] }
          http_filters:
          - name: envoy.filters.http.router
            typed_config: { '@type': type.googleapis.com/envoy.extensions.filters.http.router.v3.Router, suppress_envoy_headers: true }
";

const CLUSTER: &str = r"
  - name: NAME
    connect_timeout: 5s
    type: STATIC
    circuit_breakers: { thresholds: [{ max_connections: 32768, max_requests: 32768, max_pending_requests: 32768 }] }
    load_assignment:
      cluster_name: NAME
      endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: HOST, port_value: PORT } } } }] }]
";

/// Starts it at a host.
pub fn start(host: &Host, folder: &Path, envoy: &Path) -> anyhow::Result<Program> {
    let fill = |text: &str, name: &str, port: u16| {
        text.replace("NAME", name).replace("HOST", &host.ipv4().to_string()).replace("PORT", &port.to_string())
    };
    let configuration = format!(
        "static_resources:\n  listeners:{}{}  clusters:{}{}",
        fill(LISTENER, "service", System::Envoy.port()),
        fill(LISTENER, "sink", System::Envoy.upload_port()),
        fill(CLUSTER, "service", System::Direct.port()),
        fill(CLUSTER, "sink", System::Direct.upload_port()),
    );
    let file = program::write(folder, "envoy.yaml", &configuration, &[])?;
    let mut command = host.command(envoy);
    command.args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "error", "--config-path"]).arg(&file);
    Program::start(host, &mut command, &folder.join("envoy.log"), host.at(System::Envoy.port()))
}
