//! SIGHUP: the configuration is read again, and what changed is said.

use std::sync::{Arc, PoisonError};

use super::descriptors;
use super::logging::Level;
use super::notify;
use super::start::Started;
use crate::config::{self, reload::Changes};
use crate::profile::Profiles;

/// Reads files, profiles and certificates again. What can't be used changes nothing.
pub async fn reload(started: &Started, level: &Level, level_is_fixed: bool) {
    notify::reloading();
    let applied = apply(started, level, level_is_fixed).await;
    started.agent.observer.reloaded(applied.is_ok());
    match applied {
        Ok(changes) if changes.is_empty() => tracing::info!("reload: the configuration is as it was"),
        Ok(changes) => {
            tracing::info!(applied = %changes.applied.join(", "), "reload: the new configuration holds");
            if !changes.restart.is_empty() {
                tracing::warn!(restart = %changes.restart.join(", "), "reload: these keys need a restart; their old values hold");
            }
        }
        Err(error) => tracing::error!("reload: the old configuration stays\n{error:#}"),
    }
    notify::ready();
}

async fn apply(started: &Started, level: &Level, level_is_fixed: bool) -> anyhow::Result<Changes> {
    let agent = &started.agent;
    let mut loaded = config::load(&agent.config_path)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let profiles = Profiles::for_config(&loaded.config)?;
    loaded.config.scope.tokens = profiles.scope_headers();
    let (next, changes) = config::reload::reload(&agent.config(), loaded.config);
    if let (Some(ends), Some(peer)) = (&started.peers, &next.peer) {
        ends.take_up(&next, peer, &agent.metadata)?;
    }
    if !level_is_fixed {
        level.set(&next.log.level)?;
    }
    descriptors::limit(next.limits.descriptors);
    agent.shared.profiles.store(Arc::new(profiles));
    // Connections look up again what they address.
    agent.shared.snapshot.rcu(|snapshot| Arc::new((**snapshot).clone()));
    agent.shared.config.store(Arc::new(next));
    *agent.files.lock().unwrap_or_else(PoisonError::into_inner) = loaded.files;
    started.knowledge.renew().await;
    started.publisher.publish();
    Ok(changes)
}
