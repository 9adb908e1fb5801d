//! Load: a service that counts each request by its id, and clients that never try anything twice. Both are processes, so
//! that they can run where a test's own process can't be, such as in a session of `cheops exec`.

mod client;
mod message;
mod service;
pub mod site;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use client::{Failure, Fared, Kinds};
pub use service::Counted;

/// The program beside the test.
pub const PROGRAM: &str = "cheops-lab-load";

/// What the program is told on its command line.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Part {
    Service { at: SocketAddr },
    Clients(Clients),
}

/// Clients of one service.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Clients {
    /// Where the service is.
    pub to: SocketAddr,
    /// Distinguishes their requests from those of others.
    pub name: String,
    pub kinds: Kinds,
    /// How long a client rests between two requests, on the average. Milliseconds.
    pub rest: u64,
    /// After this time without an answer a request has failed. Milliseconds.
    pub patience: u64,
    pub scope: Scope,
}

/// What the clients' requests have to do with scopes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// Nothing.
    None,
    /// They carry one in `X-Scope`.
    Header(String),
    /// The clients are in a session of `cheops exec`.
    Session,
}

/// The program: does what its argument says, until standard input ends.
///
/// # Errors
/// When the argument isn't understood, or the address can't be listened at.
pub fn main() -> anyhow::Result<()> {
    let part = std::env::args().nth(1).context("this program is the lab's")?;
    let part: Part = serde_json::from_str(&part)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match part {
        Part::Service { at } => runtime.block_on(service::serve(at)),
        Part::Clients(clients) => runtime.block_on(client::run(clients)),
    }
}

/// Orders that come on standard input, one a line.
fn orders() -> tokio::sync::mpsc::UnboundedReceiver<String> {
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

fn say(what: &impl Serialize) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(what)?)?;
    Ok(out.flush()?)
}

/// Milliseconds since 1970: both ends of a test's processes tell time by it.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// A running part. Ends when dropped.
struct Process {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Process {
    /// `command` runs the program; its argument is added here.
    fn start(mut command: Command, part: &Part) -> anyhow::Result<Self> {
        command.arg(serde_json::to_string(part)?).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("can't start the load")?;
        let (orders, answers) = (child.stdin.take(), child.stdout.take().context("no output")?);
        let mut process = Self { child, orders, answers: BufReader::new(answers) };
        process.answer::<String>()?;
        Ok(process)
    }

    fn ask<T: DeserializeOwned>(&mut self, order: &str) -> anyhow::Result<T> {
        writeln!(self.orders.as_mut().context("it has ended")?, "{order}")?;
        self.answer()
    }

    fn answer<T: DeserializeOwned>(&mut self) -> anyhow::Result<T> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            bail!("the load's process has ended: {:?}", self.child.try_wait()?);
        }
        serde_json::from_str(&line).with_context(|| format!("the load says {line:?}"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.orders = None;
        if !super::eventually(Duration::from_secs(1), || !matches!(self.child.try_wait(), Ok(None))) {
            _ = self.child.kill();
        }
        _ = self.child.wait();
    }
}

/// A counting service.
pub struct Counting(Process);

impl Counting {
    /// Starts it by `command`, which runs [`PROGRAM`].
    ///
    /// # Errors
    /// When it can't be started or can't listen.
    pub fn start(command: Command, at: SocketAddr) -> anyhow::Result<Self> {
        Process::start(command, &Part::Service { at }).map(Self)
    }

    /// What it was sent until now.
    ///
    /// # Errors
    /// When it has ended.
    pub fn counted(&mut self) -> anyhow::Result<Counted> {
        self.0.ask("report")
    }
}

/// Clients at work.
pub struct Load(Process);

impl Load {
    /// Starts them by `command`, which runs [`PROGRAM`].
    ///
    /// # Errors
    /// When they can't be started.
    pub fn start(command: Command, clients: Clients) -> anyhow::Result<Self> {
        Process::start(command, &Part::Clients(clients)).map(Self)
    }

    /// How they fared until now.
    ///
    /// # Errors
    /// When their process has ended.
    pub fn fared(&mut self) -> anyhow::Result<Fared> {
        self.0.ask("report")
    }

    /// Lets each finish what it has begun, and says how all fared.
    ///
    /// # Errors
    /// When their process has ended.
    pub fn finish(mut self) -> anyhow::Result<Fared> {
        self.0.ask("finish")
    }
}

/// Requests by their ids.
type Ids = BTreeMap<String, u32>;
