//! What is well-formed, or isn't HTTP at all, looks to both ends as if there were no agent.

#[path = "transparency/cases.rs"]
mod cases;

use cheops_tests::lab::ways::{Direct, From, InProcess, Lab, Way, report, run};

/// Every case looks the same straight and by this way.
fn transparent(way: &dyn Way) -> anyhow::Result<()> {
    let direct = Direct::new()?;
    let cases = cases::all();
    anyhow::ensure!(cases.len() >= 60, "only {} cases", cases.len());
    let before = way.taken()?;
    let mut failures = Vec::new();
    for case in &cases {
        let straight = run(&direct, &case.client, &case.service);
        let straight = straight.map_err(|error| error.context(format!("{}: straight", case.name)))?;
        match run(way, &case.client, &case.service) {
            Ok(through) if through == straight => {}
            Ok(through) => failures.push(format!("{}:\n  straight {straight:?}\n  through  {through:?}", case.name)),
            Err(error) => failures.push(format!("{}: {error}", case.name)),
        }
    }
    let taken = way.taken()? - before;
    anyhow::ensure!(taken >= cases.len() as u64, "only {taken} connections went through the agent");
    report("cases", cases.len(), &failures)
}

#[test]
fn in_this_process_everything_looks_as_without_the_agent() -> anyhow::Result<()> {
    transparent(&InProcess::new()?)
}

#[test]
fn connections_that_leave_look_as_without_the_agent() -> anyhow::Result<()> {
    transparent(&Lab::new(From::Here)?)
}

#[test]
fn connections_that_arrive_look_as_without_the_agent() -> anyhow::Result<()> {
    transparent(&Lab::new(From::Elsewhere)?)
}
