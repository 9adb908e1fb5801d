//! The access log: one line with fixed keys per scoped request.

use super::RequestEvent;

/// The target of the lines, for filters of the log.
pub const TARGET: &str = "cheops::access";

/// Writes one line. Every key is always there; what isn't known is empty.
pub fn line(event: &RequestEvent) {
    tracing::info!(
        target: TARGET,
        id = %event.id,
        client = %event.client,
        service = %event.service,
        method = %event.method,
        path = %event.path,
        scope = event.scope.as_deref().unwrap_or_default(),
        plan = event.plan,
        sites = %event.sites.join(","),
        status = event.status.unwrap_or_default(),
        code = event.code.unwrap_or_default(),
        bytes = event.bytes,
        seconds = event.took.as_secs_f64(),
    );
}
