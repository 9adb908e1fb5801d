//! `cheops exec [--scope EXPR] -- COMMAND…`

mod arguments;

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::process::Command;

use clap::Args;
use serde_json::json;

use super::{Context, Exit};
use crate::kernel::session::network;
use crate::scope::{self, ScopeError, Span};

/// A command that can't be found, and one that can't be started, as shells and env(1) have it.
const NOT_FOUND: i32 = 127;
const NOT_STARTED: i32 = 126;

#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct Arguments {
    /// Where the command's requests are served; without it, a --scope is taken out of the command's arguments
    #[arg(long, value_name = "EXPR")]
    scope: Option<OsString>,
    /// The command and its arguments
    #[arg(trailing_var_arg = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

// Paragraphs in one line each: they are wrapped as wide as the terminal is.
const HELP: &str = "\
Every request to a guarded endpoint that the command, or a process that it starts, makes without a scope of its own \
carries this one. The command doesn't know. With
    alias openstack='cheops exec -- openstack'
the scope can stand among the command's arguments, up to a --:
    openstack server create my-vm --image debian --scope '{Nova: Berlin, Glance: Paris}'
Without quotes a scope arrives whole only if it has none of &, |, ;, *, ( and ), and a space behind each comma. A command \
with a --scope of its own keeps that if the scope stands before the command, or behind a --.

The exit status is the command's own; before it runs: 2 when the scope is wrong, 5 when the agent can't be reached, 6 \
when it refuses. Without a scope the command runs as it is, also without an agent.

A connection whose scope can't be honoured (TLS without the endpoint's certificate, HTTP/2, CONNECT) is reset, never \
served without its scope: see the agent's log, and cheops_connections_refused_total{reason=\"scope-not-honoured\"}. A \
process that moves itself to another cgroup (a login, systemd-run, a container engine) or network namespace leaves the \
session.";

pub fn run(arguments: Arguments, context: &Context) -> anyhow::Result<Exit> {
    let line = match arguments::line(arguments.scope, arguments.command) {
        Ok(line) => line,
        Err(error) => return Ok(refuse(&error.to_string())),
    };
    if let Some(text) = &line.scope {
        let fault = match scope::parse(text) {
            Err(error) => Some(error),
            Ok(_) => begin(text, context)?,
        };
        if let Some(error) = fault {
            return Ok(refuse(&format!("{}{}", error.render(text), advice(text, line.joined))));
        }
    }
    become_command(&line.command)
}

fn refuse(why: &str) -> Exit {
    eprintln!("cheops exec: {why}\nnothing was run");
    Exit::Usage
}

/// A shell makes two words of `{Nova:Berlin,Glance:Paris}`, without the braces, and names of files of `*`.
fn advice(text: &str, joined: bool) -> &'static str {
    if text.contains(':') && !text.trim_start().starts_with('{') {
        "\nhelp: a shell takes braces around words without spaces away; put the scope in quotes"
    } else if joined {
        "\nhelp: this is what the shell made of the scope; put it in quotes"
    } else {
        ""
    }
}

/// Asks the agent for a session: when it answers yes, this process is in it. Else what is wrong with the scope.
fn begin(text: &str, context: &Context) -> anyhow::Result<Option<ScopeError>> {
    let question = json!({ "scope": text, "network": network()? });
    match context.client.post("/v1/sessions", &question) {
        Ok(_) => Ok(None),
        Err(super::ClientError::BadRequest { detail, position: Some((start, length)), hint }) => {
            let message = hint.as_deref().and_then(|hint| detail.strip_suffix(hint)?.strip_suffix(": "));
            let error = ScopeError::at(Span { start, end: start.saturating_add(length) }, message.unwrap_or(&detail));
            Ok(Some(match hint {
                Some(hint) => error.suggest(hint),
                None => error,
            }))
        }
        Err(error) => Err(anyhow::Error::from(error).context("nothing was run")),
    }
}

/// Never returns: this process becomes the command, so that terminal, signals and exit status are the command's own.
fn become_command(command: &[OsString]) -> ! {
    let mut words = command.iter();
    let program = words.next().cloned().unwrap_or_default();
    let error = Command::new(&program).args(words).exec();
    eprintln!("cheops exec: can't run {}: {error}", program.display());
    std::process::exit(if error.kind() == ErrorKind::NotFound { NOT_FOUND } else { NOT_STARTED })
}
