//! Who asks, and what they may ask (AMENDMENTS 24).

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request};
use axum::http::{Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use nix::unistd::{Gid, Group, Uid, User};

use super::ApiError;
use crate::kernel::session::Process;

/// The group that may run `cheops exec` and look at what concerns its members.
pub const GROUP: &str = "cheops";
/// The group that may do everything.
pub const ADMIN_GROUP: &str = "cheops-admin";

/// What a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Nobody,
    /// Group `cheops`.
    User,
    /// root, the agent's own user, and group `cheops-admin`.
    Admin,
}

/// The process at the other end of the unix socket (SO_PEERCRED), as the kernel saw it connect.
#[derive(Clone, Debug)]
pub struct Caller {
    pub uid: u32,
    pub role: Role,
    /// The process itself, where the kernel can hold on to it.
    pub process: Option<Arc<Process>>,
}

impl Caller {
    /// The caller with these credentials. Groups are looked up in the system's database: SO_PEERCRED tells only the
    /// primary one.
    pub fn new(uid: u32, gid: u32, process: Option<Process>) -> Self {
        Self { uid, role: role(Uid::from_raw(uid), Gid::from_raw(gid)), process: process.map(Arc::new) }
    }

    /// Somebody of whom nothing is known: may do nothing.
    pub fn nobody() -> Self {
        Self { uid: u32::MAX, role: Role::Nobody, process: None }
    }
}

fn role(uid: Uid, gid: Gid) -> Role {
    if uid.is_root() || uid == Uid::effective() {
        return Role::Admin;
    }
    let groups = groups(uid, gid);
    let member = |name| Group::from_name(name).ok().flatten().is_some_and(|group| groups.contains(&group.gid));
    if member(ADMIN_GROUP) {
        Role::Admin
    } else if member(GROUP) {
        Role::User
    } else {
        Role::Nobody
    }
}

fn groups(uid: Uid, gid: Gid) -> Vec<Gid> {
    let user = User::from_uid(uid).ok().flatten();
    let name = user.and_then(|user| std::ffi::CString::new(user.name).ok());
    let groups = name.and_then(|name| nix::unistd::getgrouplist(&name, gid).ok());
    groups.unwrap_or_else(|| vec![gid])
}

/// The least role for a route.
fn needed(path: &str) -> Role {
    const USERS: &[&str] = &[
        "/v1/status",
        "/v1/sites",
        "/v1/map",
        "/v1/services",
        "/v1/explain",
        "/v1/tap",
        "/v1/workflows",
        "/healthz",
        "/readyz",
        "/openapi.json",
    ];
    if USERS.contains(&path) || path == "/v1/sessions" || path.starts_with("/v1/sessions/") {
        Role::User
    } else {
        Role::Admin
    }
}

/// Lets a request through when its caller's role suffices.
pub async fn by_role(ConnectInfo(caller): ConnectInfo<Caller>, mut request: Request, next: Next) -> Response {
    let needed = needed(request.uri().path());
    if caller.role >= needed {
        request.extensions_mut().insert(caller);
        return next.run(request).await;
    }
    let group = if needed == Role::User { GROUP } else { ADMIN_GROUP };
    ApiError::Forbidden(format!("uid {} is not in the group {group}", caller.uid)).into_response()
}

/// Lets a GET to a loopback host through.
pub async fn loopback_get(request: Request, next: Next) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return ApiError::Forbidden("this listener only answers GET; use the unix socket".into()).into_response();
    }
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    if host.is_some_and(is_loopback_host) {
        return next.run(request).await;
    }
    ApiError::Forbidden("Host must be a loopback address or localhost".into()).into_response()
}

fn is_loopback_host(host: &str) -> bool {
    let Ok(authority) = host.parse::<axum::http::uri::Authority>() else { return false };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_hosts_pass() {
        for host in ["localhost", "LOCALHOST:7118", "127.0.0.1", "127.1.2.3:80", "[::1]:7118", "[::1]"] {
            assert!(is_loopback_host(host), "{host}");
        }
        for host in ["", "evil.example", "127.0.0.1.evil.example", "10.0.0.1", "localhost.evil", "[::2]", "a b"] {
            assert!(!is_loopback_host(host), "{host}");
        }
    }

    #[test]
    fn root_and_strangers() {
        assert_eq!(Caller::new(0, 0, None).role, Role::Admin);
        assert_eq!(Caller::new(4_000_000, 4_000_000, None).role, Role::Nobody);
    }

    #[test]
    fn what_isnt_listed_needs_an_admin() {
        assert_eq!(needed("/v1/status"), Role::User);
        assert_eq!(needed("/v1/sessions/3"), Role::User);
        for path in ["/v1/config", "/v1/check", "/metrics", "/v1/sessionsx", "/"] {
            assert_eq!(needed(path), Role::Admin, "{path}");
        }
    }
}
