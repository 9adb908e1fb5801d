//! One site with a service, a client at the service's host or at another, and a bystander at the other one of the two.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use cheops_tests::lab::ways::From;
use cheops_tests::lab::{Agent, Answer, Client, Federation, Host, Offered, Service, eventually, tell};
use toml::Table;

/// Nothing takes longer, however busy the machine.
pub const SOON: Duration = Duration::from_secs(10);
pub const GET: &str = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";

/// One way into a limit.
#[derive(Clone, Copy)]
pub struct Case {
    pub name: &'static str,
    /// As its counter is labelled.
    pub limit: &'static str,
    /// What the configuration says while it is played, as TOML.
    pub keys: &'static str,
    pub play: fn(&Scene) -> anyhow::Result<()>,
}

/// The place of a case.
pub struct Scene {
    federation: Federation,
    client: Host,
    bystander: Host,
    /// The configuration without any limit of a case.
    usual: Table,
}

impl Scene {
    pub fn new(from: From) -> anyhow::Result<Self> {
        let services = [Offered::new("app", 8080), Offered::new("own", 8081).unserved()];
        let builder = Federation::builder().sites(&["Berlin"]);
        let federation = services.into_iter().fold(builder, cheops_tests::lab::Builder::service).start()?;
        let (here, elsewhere) = (federation.host("Berlin").clone(), federation.world().site("Nantes")?);
        let usual = toml::from_str(&std::fs::read_to_string(federation.agent("Berlin").files().config())?)?;
        Ok(match from {
            From::Here => Self { federation, client: here, bystander: elsewhere, usual },
            From::Elsewhere => Self { federation, client: elsewhere, bystander: here, usual },
        })
    }

    /// Plays each case under its own configuration. Each must be counted, and disturb nobody else.
    pub fn play(&mut self, cases: &[Case]) -> anyhow::Result<()> {
        for case in cases {
            self.play_one(case).with_context(|| case.name)?;
        }
        tell("limits", &format!("{} cases of clients at {}", cases.len(), self.client.name()));
        Ok(())
    }

    fn play_one(&mut self, case: &Case) -> anyhow::Result<()> {
        self.configure(case.keys)?;
        let counter = format!("cheops_limits_hit_total{{limit=\"{}\"}}", case.limit);
        let before = self.metric(&counter)?;
        let mut kept = self.bystander.connect(self.app())?;
        ensure!(kept.exchange(GET)?.status == 200, "the bystander is served before it");
        (case.play)(self)?;
        ensure!(self.eventually_metric(&counter, before + 1.0), "{counter} is not counted");
        // A short idle time is the bystander's too.
        let mut kept = if case.limit == "idle" { self.bystander.connect(self.app())? } else { kept };
        let begin = Instant::now();
        ensure!(kept.exchange(GET)?.status == 200, "the bystander is served after it");
        ensure!(begin.elapsed() < SOON / 2, "the bystander waits for {:?}", begin.elapsed());
        Ok(())
    }

    /// Lets the agent read a configuration with these keys, and no others that an earlier case had.
    pub fn configure(&mut self, keys: &str) -> anyhow::Result<()> {
        let keys: Table = toml::from_str(keys)?;
        let usual = self.usual.clone();
        self.federation.agent_mut("Berlin").reload(|table| {
            *table = usual;
            table.extend(keys);
        })
    }

    pub fn agent(&self) -> &Agent {
        self.federation.agent("Berlin")
    }

    /// The site's host.
    pub fn berlin(&self) -> &Host {
        self.federation.host("Berlin")
    }

    pub fn service(&self) -> &Service {
        self.federation.service("Berlin", "app")
    }

    /// The service's address.
    pub fn app(&self) -> SocketAddr {
        self.berlin().at(8080)
    }

    /// The address at which only a case itself listens.
    pub fn own(&self) -> SocketAddr {
        self.berlin().at(8081)
    }

    pub fn client(&self) -> anyhow::Result<Client> {
        self.client.connect(self.app())
    }

    /// Somebody else's connection.
    pub fn other(&self) -> anyhow::Result<Client> {
        self.bystander.connect(self.app())
    }

    /// The client's host.
    pub fn host(&self) -> &Host {
        &self.client
    }

    /// A client that has sent `request` to a service which has read its head; both are in the case's hands.
    pub fn own_service(&self, request: &str) -> anyhow::Result<(Client, Client)> {
        let listener = self.berlin().listen(self.own())?;
        let mut client = self.client.connect(self.own())?;
        client.send(request)?;
        loop {
            // What else comes is the agent's, which looks whether anybody listens.
            let (stream, peer) = listener.accept()?;
            if peer == client.local()? {
                let mut service = Client::new(stream)?;
                service.read_until(b"\r\n\r\n")?;
                return Ok((client, service));
            }
        }
    }

    pub fn metric(&self, begins: &str) -> anyhow::Result<f64> {
        Ok(self.agent().metric(begins)?.unwrap_or_default())
    }

    pub fn eventually_metric(&self, begins: &str, least: f64) -> bool {
        eventually(SOON, || self.metric(begins).is_ok_and(|value| value >= least))
    }
}

/// An answer of the agent that says which key of the configuration was in the way.
pub fn is_problem(answer: &Answer, status: u16, code: &str, key: &str) -> anyhow::Result<()> {
    let document = answer.json()?;
    let said = |name: &str| document[name].as_str().unwrap_or_default().to_owned();
    let right = answer.status == status && said("source") == "cheops" && said("code") == code;
    ensure!(right && said("hint").contains(key), "{} {document}, not {status} {code} with {key}", answer.status);
    ensure!(answer.header("x-cheops-request").is_some(), "the answer has no request id");
    Ok(())
}
