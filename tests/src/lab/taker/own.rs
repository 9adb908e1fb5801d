//! The taker's own side: runs the kernel programs, relays what they took, obeys.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use cheops_agent::accept::listeners::{Left, NAME_V4, NAME_V6};
use cheops_agent::accept::{self, Listeners, OriginError, Origins, SessionId};
use cheops_agent::config;
use cheops_agent::kernel::{Interceptor, Kept, Sizes};
use cheops_agent::metadata::Guard;
use serde_json::{Value, json};
use socket2::SockRef;
use tokio::net::{TcpSocket, TcpStream};

use super::lent::Lent;
use super::{Guarding, Order, Plan, Seen};
use crate::lab::lock;

#[derive(Default)]
struct Record {
    taken: Mutex<Vec<Seen>>,
    refused: Mutex<Vec<String>>,
    kept: Vec<(String, OwnedFd)>,
}

/// The taker's own side.
pub fn serve() -> anyhow::Result<()> {
    let plan: Plan = serde_json::from_str(&std::env::args().nth(1).context("no plan")?)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let (interceptor, record, config) = match begin(&plan) {
            Ok(begun) => begun,
            Err(error) => {
                say(&Err(format!("{error:#}")));
                return Err(error);
            }
        };
        say(&Ok(Value::Null));
        // Orders are read where blocking does no harm; the runtime goes on meanwhile.
        let handle = tokio::runtime::Handle::current();
        tokio::task::spawn_blocking(move || {
            for line in std::io::stdin().lines() {
                let order = serde_json::from_str(&line?)?;
                let answer = handle.block_on(obey(order, &interceptor, &record, &config));
                say(&answer.map_err(|error| format!("{error:#}")));
            }
            anyhow::Ok(())
        })
        .await?
    })
}

fn begin(plan: &Plan) -> anyhow::Result<(Arc<Interceptor>, Arc<Record>, config::Config)> {
    let config = configuration(&plan.run_dir, &plan.cgroup)?;
    let (guarded, pending, sessions) = plan.sizes;
    let (mut left, mut kept) = (Left::default(), Kept::default());
    for (name, descriptor) in accept::sys::passed().into_iter().chain(plan.left.fetch()?) {
        match name.as_str() {
            NAME_V4 => left.v4 = Some(descriptor),
            NAME_V6 => left.v6 = Some(descriptor),
            _ => drop(kept.take(&name, descriptor)),
        }
    }
    let listeners = Listeners::open_with(left)?;
    let prepared = Interceptor::prepare(&config, kept, Sizes { guarded, pending, sessions })?;
    let interceptor = Interceptor::begin(prepared, &config, &listeners)?;
    interceptor.attach()?;
    let kept = listeners.to_keep()?.into_iter().chain(interceptor.to_keep()?).collect();
    let record = Arc::new(Record { kept, ..Record::default() });
    tokio::spawn(accept(listeners, interceptor.clone(), record.clone()));
    Ok((interceptor, record, config))
}

fn configuration(run_dir: &Path, cgroup: &Path) -> anyhow::Result<config::Config> {
    let text = format!(
        "site = \"S\"\nrun-dir = {run_dir:?}\n[intercept]\ncgroup = {cgroup:?}\n[admin]\nsocket = \"{}/admin.sock\"\n",
        run_dir.display()
    );
    Ok(config::from_text(&text).map_err(|error| anyhow::anyhow!("{error}"))?.config)
}

async fn accept(listeners: Listeners, interceptor: Arc<Interceptor>, record: Arc<Record>) {
    loop {
        let Ok((stream, from)) = listeners.accept().await else { continue };
        match interceptor.taken(&stream) {
            Ok(taken) => {
                let session = taken.session.map(|session| session.0);
                let seen = Seen { orig: taken.orig.get(), client: taken.client.get(), session };
                lock(&record.taken).push(seen);
                tokio::spawn(relay(stream, seen, interceptor.clone(), record.clone()));
            }
            Err(OriginError::Probe) => {}
            Err(error) => {
                lock(&record.refused).push(format!("{from}: {error}"));
                reset(&stream);
            }
        }
    }
}

async fn relay(mut client: TcpStream, seen: Seen, interceptor: Arc<Interceptor>, record: Arc<Record>) {
    match dial(&interceptor, seen.orig, Some(seen.client)).await {
        Ok(mut service) => {
            // Either end may go at any time; a test looks at what its own ends saw.
            tokio::io::copy_bidirectional(&mut client, &mut service).await.ok();
        }
        Err(error) => {
            lock(&record.refused).push(format!("{}: {error}", seen.client));
            reset(&client);
        }
    }
}

fn reset(stream: &TcpStream) {
    SockRef::from(stream).set_linger(Some(Duration::ZERO)).ok();
}

async fn dial(interceptor: &Interceptor, to: SocketAddr, client: Option<SocketAddr>) -> std::io::Result<TcpStream> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    SockRef::from(&socket).set_mark(interceptor.mark())?;
    if let Some(client) = client {
        interceptor.announce(socket.as_fd(), cheops_agent::address::ClientAddr::new(client))?;
    }
    socket.connect(to).await
}

async fn obey(
    order: Order,
    interceptor: &Interceptor,
    record: &Record,
    config: &config::Config,
) -> anyhow::Result<Value> {
    Ok(match order {
        Order::Guard(guards) => {
            let guard = |guarding: Guarding| Guard {
                address: guarding.address,
                own: guarding.own,
                refuse_when_down: guarding.refuse,
            };
            interceptor.guard(&guards.into_iter().map(guard).collect::<Vec<_>>())?;
            Value::Null
        }
        Order::Counters => {
            let counters = interceptor.counters()?;
            json!(counters.into_iter().map(|(hook, what, n)| (format!("{hook}/{what}"), n)).collect::<BTreeMap<_, _>>())
        }
        Order::Probe => json!(interceptor.probe().await?.as_micros() as u64),
        Order::Hold(time) => json!(interceptor.hold(Duration::from_millis(time))?),
        Order::Session(session, cgroup) => json!(interceptor.add_session(SessionId(session), cgroup)?),
        Order::Forget(session) => json!(interceptor.remove_session(SessionId(session))?),
        Order::Facts => interceptor.facts(),
        Order::Taken => json!(*lock(&record.taken)),
        Order::Refused => json!(*lock(&record.refused)),
        Order::ToKeep => json!(Lent::new(&record.kept)),
        Order::DumpMaps => cheops_agent::kernel::dump_maps(config)?,
        Order::Detach => json!(cheops_agent::kernel::detach(config)?),
        Order::Preflight => json!(cheops_agent::kernel::preflight(config)),
        Order::Number(address) => json!(interceptor.endpoint(address).map(|number| number.0)),
        Order::Dial { to, client } => json!(dial(interceptor, to, client).await.map(drop)?),
    })
}

fn say(answer: &Result<Value, String>) {
    // A test that is gone reads nothing; the process ends with its standard input.
    let line = serde_json::to_string(answer).unwrap_or_default();
    writeln!(std::io::stdout(), "{line}").ok();
}
