//! The log on standard error, and what happens on a panic.

use std::io::IsTerminal;

use anyhow::Context as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt, reload};

use crate::config::{LogConfig, LogFormat};

/// Changes the level while the agent runs.
pub struct Level(reload::Handle<Targets, Registry>);

impl Level {
    /// Uses `level` from now on.
    ///
    /// # Errors
    /// When it can't be read as filters.
    pub fn set(&self, level: &str) -> anyhow::Result<()> {
        self.0.reload(level.parse::<Targets>()?)?;
        Ok(())
    }
}

/// Starts the log; `level` outranks the configuration's.
///
/// # Errors
/// When the level can't be read.
pub fn start(level: Option<&str>, config: &LogConfig) -> anyhow::Result<Level> {
    let level = level.unwrap_or(&config.level);
    let filter = level.parse::<Targets>().with_context(|| format!("--log \"{level}\" can't be read"))?;
    let (filter, handle) = reload::Layer::new(filter);
    let registry = tracing_subscriber::registry().with(filter);
    match config.format {
        LogFormat::Json => {
            registry.with(fmt::layer().json().flatten_event(true).with_writer(std::io::stderr)).try_init()?
        }
        LogFormat::Human => {
            let colour =
                std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            registry.with(fmt::layer().with_ansi(colour).with_writer(std::io::stderr)).try_init()?;
        }
    }
    Ok(Level(handle))
}

/// A panic in any task is logged and ends the process: what it left behind can't be trusted, and systemd starts afresh.
pub fn panics_end_the_process() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let text = panic.payload_as_str().unwrap_or("no message");
        tracing::error!(%place, "the agent panicked: {text}");
        std::process::abort();
    }));
}
