//! `/v1/membership/revoke`: a host, or a site with all its hosts, is not believed any more.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};

use super::{Agent, ApiError, document};
use crate::metadata::record;
use crate::metadata::revoke;
use crate::metadata::seal::SealError;
use crate::metadata::transaction::Write;
use crate::names::{HostName, SiteName};

#[derive(Deserialize)]
pub struct Wanted {
    site: SiteName,
    #[serde(default)]
    host: Option<HostName>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Revocation {
    site: SiteName,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<HostName>,
    /// Certificates that were issued until then, in milliseconds since 1970, are not believed.
    since: record::Millis,
    /// Whether the metadata cluster doesn't have it yet. This agent goes by it already.
    waits: bool,
    /// Whether this site keeps its metadata for itself, so that no other learns it.
    only_here: bool,
}

/// Revokes every certificate that was issued until now. A host that joins again gets one that holds.
pub async fn post(
    State(agent): State<Arc<Agent>>,
    Json(Wanted { site, host }): Json<Wanted>,
) -> Result<impl IntoResponse, ApiError> {
    let config = agent.config();
    if site == config.site && host.as_ref().is_none_or(|host| *host == config.host) {
        return Err(ApiError::Conflict("this host would revoke itself; see: cheops site leave".into()));
    }
    let (store, since) = (&agent.metadata, record::now());
    let mut waits = false;
    for write in revoke::writes(&store.view(), &site, host.as_ref(), since) {
        if let Write::Put(key, record) = &write {
            store.sealed(key, record).map_err(refused)?;
        }
        let key = write.key().clone();
        store.write(write)?;
        waits |= store.view().get(&key).is_some_and(|kept| kept.revision.is_none());
    }
    tracing::warn!(%site, host = host.as_ref().map(HostName::as_str), "certificates are revoked by command");
    Ok(document("Revocation", Revocation { site, host, since, waits, only_here: store.is_embedded() }))
}

fn refused(error: SealError) -> ApiError {
    match error {
        SealError::NoAuthority | SealError::NotJoined => ApiError::Conflict(error.to_string()),
        error => ApiError::Internal(error.to_string()),
    }
}
