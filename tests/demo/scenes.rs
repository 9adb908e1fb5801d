//! The scenes, one after the other. Each shows what was typed and checks what was answered.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use cheops_tests::lab::eventually;

use crate::show::{Said, answer, note, scene, typed, why};
use crate::stage::Stage;

/// Plays all scenes; the first wrong answer ends the play.
pub fn play(stage: &mut Stage) -> anyhow::Result<()> {
    let mut number = 0;
    let n = &mut number;
    joined(n, stage)?;
    without_scope(n, stage)?;
    by_header(n, stage)?;
    by_parameter(n, stage)?;
    by_exec(n, stage)?;
    written_elsewhere(n, stage)?;
    typing_error(n, stage)?;
    explained(n, stage)?;
    tapped(n, stage)?;
    around(n, stage)?;
    otherwise(n, stage)?;
    drained(n, stage)?;
    known_of_sites(n, stage)?;
    one_list(n, stage)?;
    majority_killed(n, stage)?;
    agent_killed(n, stage)
}

fn joined(n: &mut u32, stage: &mut Stage) -> anyhow::Result<()> {
    scene(n, "Three sites become a federation: one command at each");
    note("Each agent's file names its own site and Kinto, and where etcd is; none knows of another site.");
    for shell in [&stage.berlin, &stage.paris, &stage.nantes] {
        shell.until("the agent has reached etcd", "cheops status", |said| said.has("etcd, connected to"))?;
    }
    stage.berlin.shows("cheops site init", |said| said.code == 0)?;
    for joins in ["Paris", "Nantes"] {
        let line = format!("cheops token issue {joins}");
        typed(stage.berlin.host.name(), &line);
        let token = stage.berlin.quietly(&line)?;
        answer("cheops-1-… (for that site, once, for an hour)");
        if token.code != 0 {
            bail!("no token: {}", token.error);
        }
        let shell = if joins == "Paris" { &mut stage.paris } else { &mut stage.nantes };
        shell.variables.push(("TOKEN".to_owned(), token.out.trim().to_owned()));
        shell.shows("cheops site join $TOKEN", |said| said.code == 0)?;
        shell.variables.pop();
    }
    for shell in [&stage.berlin, &stage.paris, &stage.nantes] {
        let line = "cheops sites -o json; cheops services";
        shell.until("each site knows the others and their Kintos", line, |said| {
            said.out.matches(r#""state": "up""#).count() == 2 && said.out.matches(":8888").count() >= 3
        })?;
    }
    stage.berlin.shows("cheops services", |said| said.out.matches(":8888").count() >= 3)?;
    why("Keys were made where they are used; certificates, sites and services were learned, none was copied by hand.");
    Ok(())
}

fn without_scope(n: &mut u32, stage: &Stage) -> anyhow::Result<()> {
    scene(n, "Without a scope nothing changes");
    stage.laptop.shows("curl -si $API", |said| {
        said.has(r#""stored-at":"Berlin""#) && !said.has("Paris") && !said.has("X-Cheops") && said.has("200 OK")
    })?;
    why("Berlin's Kinto answered. The agent passed every byte on as it was: no header of its own.");
    Ok(())
}

fn by_header(n: &mut u32, stage: &Stage) -> anyhow::Result<()> {
    scene(n, "Sharing: the request's header names another site");
    stage.laptop.shows("curl -si -H 'X-Scope: {Kinto: Paris}' $API", |said| {
        said.has(r#""stored-at":"Paris""#) && said.has("X-Cheops-Site: Paris") && said.has("200 OK")
    })?;
    why("The same URL, asked at Berlin: Paris's Kinto answered, 20 ms away, and its answer came back as it was.");
    Ok(())
}

fn by_parameter(n: &mut u32, stage: &Stage) -> anyhow::Result<()> {
    scene(n, "Sharing: a query parameter names another site");
    stage.laptop.shows("curl -si -G --data-urlencode 'scope={Kinto: Nantes}' $API", |said| {
        said.has(r#""stored-at":"Nantes""#) && said.has("X-Cheops-Site: Nantes")
    })?;
    why("For clients that can't set a header. The parameter was cut out: Kinto never saw it.");
    Ok(())
}

fn by_exec(n: &mut u32, stage: &Stage) -> anyhow::Result<()> {
    scene(n, "Sharing: a command that can do neither runs under `cheops exec`");
    let paris = |said: &Said| said.has(r#""stored-at":"Paris""#) && said.code == 0;
    stage.berlin.shows("cheops exec --scope '{Kinto: Paris}' -- curl -s $API", paris)?;
    stage.berlin.shows("cheops exec -- curl -s $API --scope '{Kinto: Paris}'", paris)?;
    why("Every request of that process tree carried the scope; curl sent none. The second form is made for an alias.");
    Ok(())
}

fn written_elsewhere(n: &mut u32, stage: &Stage) -> anyhow::Result<()> {
    scene(n, "Writing at another site");
    let put =
        r#"curl -si -X PUT -H 'X-Scope: {Kinto: Nantes}' --json '{"data":{"by":"a client at Berlin"}}' $API/arch"#;
    stage.laptop.shows(put, |said| said.has("201 Created") && said.has("X-Cheops-Site: Nantes"))?;
    stage.nantes.shows("curl -s $API/arch", |said| said.has("a client at Berlin"))?;
    stage.laptop.shows("curl -s -o /dev/null -w '%{http_code}\\n' $API/arch", |said| said.out.trim() == "404")?;
    why("The record is in Nantes's own store; Berlin's has none. Sites stay independent until a scope says otherwise.");
    Ok(())
}

fn typing_error(n: &mut u32, stage: &Stage) -> anyhow::Result<()> {
    scene(n, "A scope with a typing error");
    stage.berlin.shows("cheops scope parse '{Kinto: Berlim || Paris}'", |said| {
        said.has("^") && said.has("did you mean") && said.has("Berlin") && said.code == 1
    })?;
    stage.laptop.shows("curl -si -H 'X-Scope: {Kinto: Berlim || Paris}' $API", |said| {
        said.has("400") && said.has("application/problem+json") && said.has("Berlim") && said.has("Berlin")
    })?;
    why("The agent answered itself, with the place of the error, and sent nothing to any site.");
    Ok(())
}

fn explained(n: &mut u32, stage: &Stage) -> anyhow::Result<()> {
    scene(n, "What would be done, and why; nothing is sent");
    stage.berlin.shows("cheops explain --scope '{Kinto: Paris || Nantes}' GET $API", |said| {
        said.has("Kinto") && said.has("Paris") && said.has("Nantes") && said.code == 0
    })?;
    Ok(())
}

fn tapped(n: &mut u32, stage: &Stage) -> anyhow::Result<()> {
    scene(n, "Live requests");
    let line = "cheops tap -n 2";
    typed(stage.berlin.host.name(), &format!("{line} &"));
    let mut tap = stage.berlin.command(line).stdout(Stdio::piped()).spawn().context("can't start cheops tap")?;
    // The tap shows only what comes after it, so requests go on until it has seen enough.
    let seen = eventually(Duration::from_secs(20), || {
        _ = stage.laptop.quietly("curl -s -o /dev/null $API; curl -s -o /dev/null -H 'X-Scope: {Kinto: Paris}' $API");
        matches!(tap.try_wait(), Ok(Some(_)))
    });
    if !seen {
        _ = tap.kill();
        bail!("cheops tap showed no request within 20 s");
    }
    typed(stage.laptop.host.name(), "curl -s $API; curl -s -H 'X-Scope: {Kinto: Paris}' $API");
    let said = Said::from(&tap.wait_with_output()?);
    said.out.lines().for_each(answer);
    if said.code != 0 || said.out.lines().count() != 2 || !said.has("Paris") {
        bail!("cheops tap should have shown two requests, one of them served by Paris: {}{}", said.out, said.error);
    }
    why("One line a request: id, client, service, method, path, scope, plan, sites, status, time. No body, no header.");
    Ok(())
}

fn around(n: &mut u32, stage: &Stage) -> anyhow::Result<()> {
    scene(n, "Around: the sites within 50 ms, as they are measured now");
    let line = "cheops explain --scope '{Kinto: around(Berlin, 50ms)}' GET $API/debian";
    stage.berlin.until("all distances are known", "cheops map", |said| said.code == 0 && !said.has("?"))?;
    stage.berlin.shows("cheops map", |said| said.has("Paris") && said.has("Nantes"))?;
    stage.berlin.shows(line, |said| said.has("binds Kinto to Berlin, else Paris [") && said.has("out-of-range"))?;
    why("Asked for a place near Berlin: Berlin itself, else Paris. Nantes is 60 ms away, and so out of range.");
    note("Now the way to Paris takes 80 ms, and the one to Nantes 10 ms.");
    let (paris, nantes) = (stage.world().link("Berlin", "Paris"), stage.world().link("Berlin", "Nantes"));
    paris.round_trip(Duration::from_millis(80));
    nantes.round_trip(Duration::from_millis(10));
    let moved = |said: &Said| said.has("binds Kinto to Berlin, else Nantes [");
    stage.berlin.until("Berlin's agent has measured that", line, moved)?;
    stage.berlin.shows(line, |said| moved(said) && said.has("out-of-range"))?;
    stage.laptop.shows("curl -si -H 'X-Scope: {Kinto: Nantes || around(Berlin, 50ms)}' $API/alpine", |said| {
        said.has("X-Cheops-Site: Nantes") && said.has("200 OK")
    })?;
    why("Each request goes by the distances of its own moment. Nobody configured them.");
    paris.round_trip(Duration::from_millis(20));
    nantes.round_trip(Duration::from_millis(60));
    Ok(())
}

fn otherwise(n: &mut u32, stage: &Stage) -> anyhow::Result<()> {
    scene(n, "Otherwise: Paris, or Nantes if Paris can't");
    let line = "curl -si -H 'X-Scope: {Kinto: Paris || Nantes}' $API";
    stage.laptop.shows(line, |said| said.has(r#""stored-at":"Paris""#) && said.has("X-Cheops-Site: Paris"))?;
    note("Now Paris is cut off: no packet passes to it or from it any more.");
    stage.world().isolate("Paris", true);
    stage.berlin.until("Berlin's agent sees that Paris is away", "cheops sites -o json", |said| {
        state_of(said, "Paris").is_some_and(|state| state == "down")
    })?;
    stage.berlin.shows("cheops sites", |said| said.has("down"))?;
    stage.laptop.shows(line, |said| said.has(r#""stored-at":"Nantes""#) && said.has("X-Cheops-Site: Nantes"))?;
    why("Nothing had reached Paris, so Nantes could serve it: one of the two, never both.");
    stage.laptop.shows("curl -si -H 'X-Scope: {Kinto: Paris}' $API", |said| {
        said.has("application/problem+json") && said.has("Paris") && said.has("HTTP/1.1 50")
    })?;
    why("A scope without an alternative says who is away, instead of serving something else.");
    stage.laptop.shows("curl -s $API", |said| said.has(r#""stored-at":"Berlin""#))?;
    why("Local first: requests without a scope don't notice.");
    stage.world().isolate("Paris", false);
    note("Paris is back.");
    stage.berlin.until("Berlin's agent sees that Paris is back", "cheops sites -o json", |said| {
        state_of(said, "Paris").is_some_and(|state| state == "up")
    })?;
    stage.laptop.shows(line, |said| said.has(r#""stored-at":"Paris""#))?;
    Ok(())
}

/// A site's state in what `cheops sites -o json` says.
pub fn state_of(said: &Said, site: &str) -> Option<String> {
    let document: serde_json::Value = serde_json::from_str(&said.out).ok()?;
    let sites = document.get("sites")?.as_array()?;
    let found = sites.iter().find(|line| line.get("name").is_some_and(|name| name == site))?;
    Some(found.get("state")?.as_str()?.to_owned())
}

fn drained(n: &mut u32, stage: &Stage) -> anyhow::Result<()> {
    scene(n, "Nantes is to be repaired: nothing new is to come there");
    stage.berlin.shows("cheops site drain Nantes", |said| said.has("Nantes is drained now"))?;
    stage.berlin.until("Berlin's agent goes by it", "cheops sites", |said| said.has("drained"))?;
    let post = |scope: &str| format!("curl -si -H 'X-Scope: {{Kinto: {scope}}}' --json '{{\"data\":{{}}}}' $API");
    stage.laptop.shows(&post("Nantes"), |said| said.has("503") && said.has("site-drained") && said.has("Nantes"))?;
    stage.laptop.shows(&post("Nantes || Paris"), |said| said.has("201 Created") && said.has("X-Cheops-Site: Paris"))?;
    stage.laptop.shows("curl -si -H 'X-Scope: {Kinto: Nantes}' $API/alpine", |said| {
        said.has(r#""stored-at":"Nantes""#) && said.has("200 OK")
    })?;
    why("What other sites would create there goes elsewhere or is refused; reads, updates and its own users go on.");
    stage.berlin.shows("cheops site undrain Nantes", |said| said.has("Nantes is active now"))?;
    Ok(())
}

fn known_of_sites(n: &mut u32, stage: &Stage) -> anyhow::Result<()> {
    scene(n, "What is known of the sites, and what the loss of one would mean");
    let whole = |said: &Said| ["Berlin", "Paris", "Nantes"].iter().all(|site| said.has(site)) && said.code == 0;
    stage.berlin.shows("cheops sites -o wide", |said| whole(said) && said.has("CERTIFICATE"))?;
    stage
        .berlin
        .shows("cheops status", |said| whole(said) && said.has("if Paris goes: metadata writes yes (2 of 3"))?;
    why("Requests never wait for metadata; status says aloud what would still work.");
    Ok(())
}

fn one_list(n: &mut u32, stage: &Stage) -> anyhow::Result<()> {
    scene(n, "One list over three sites");
    stage.laptop.shows("curl -si -H 'X-Scope: {Kinto: Berlin & Paris & Nantes}' $API", of_all)?;
    stage.laptop.shows("curl -si -H 'X-Scope: {Kinto: *}' $API", of_all)?;
    why("Each site's Kinto gave its own list; every element came through unchanged, with a mark of its site.");
    Ok(())
}

/// Whether a list has marked elements of all sites.
fn of_all(said: &Said) -> bool {
    let marked = |site: &&str| said.has(&format!(r#""cheops_site":"{site}""#)) && said.has(&format!("{site}=ok"));
    ["Berlin", "Paris", "Nantes"].iter().all(marked)
}

fn majority_killed(n: &mut u32, stage: &Stage) -> anyhow::Result<()> {
    scene(n, "etcd's leader is killed, then a majority of its members: requests go on");
    let status = "cheops status | grep -e members: -e now: -e goes:";
    let leader = stage.etcd().wait_leader(None)?;
    note(&format!("The leader is the member at {leader}; now it is killed."));
    stage.etcd().member(&leader).kill()?;
    served(stage)?;
    let next = stage.etcd().wait_leader(Some(&leader))?;
    note(&format!("{next}'s member leads now. It is killed, too: one of three is left, which is no majority."));
    stage.etcd().member(&next).kill()?;
    served(stage)?;
    let lost = |said: &Said| said.has("now: metadata writes no, requests yes");
    stage.berlin.until("Berlin's agent sees that nothing can be written", status, lost)?;
    stage.berlin.shows(status, lost)?;
    stage.berlin.shows("cheops site drain Paris", |said| said.code == 1 && said.has("metadata cluster"))?;
    served(stage)?;
    stage.laptop.shows("curl -si -H 'X-Scope: {Kinto: Berlin & Paris & Nantes}' $API", of_all)?;
    why("What needs one truth among sites says that it can't be; every request was served from what is known.");
    stage.etcd().member(&leader).start()?;
    stage.etcd().member(&next).start()?;
    note("Both are back.");
    let whole = |said: &Said| said.has("now: metadata writes yes, requests yes");
    stage.berlin.until("Berlin's agent can write again", status, whole)?;
    stage.berlin.shows(status, whole)?;
    Ok(())
}

/// Requests with and without a scope, and one by distances.
fn served(stage: &Stage) -> anyhow::Result<()> {
    stage.laptop.shows("curl -s $API", |said| said.has(r#""stored-at":"Berlin""#))?;
    stage.laptop.shows("curl -s -H 'X-Scope: {Kinto: Nantes}' $API", |said| said.has(r#""stored-at":"Nantes""#))?;
    let around = "curl -s -H 'X-Scope: {Kinto: around(Berlin, 50ms)}' $API/debian";
    stage.laptop.shows(around, |said| said.has(r#""stored-at":"Berlin""#))?;
    Ok(())
}

fn agent_killed(n: &mut u32, stage: &mut Stage) -> anyhow::Result<()> {
    scene(n, "The agent dies: the API still answers");
    let pid = stage.agent("Berlin").pid().context("Berlin's agent isn't running")?;
    stage.berlin.shows(&format!("kill -9 {pid}"), |said| said.code == 0)?;
    stage.agent("Berlin").wait_end(Duration::from_secs(10))?;
    stage.laptop.shows("curl -s $API", |said| said.has(r#""stored-at":"Berlin""#))?;
    stage.berlin.shows("curl -s $API", |said| said.has(r#""stored-at":"Berlin""#))?;
    why("The kernel's redirection went with the agent: both clients reached Kinto directly.");
    stage.berlin.shows("cheops status", |said| said.code == 5)?;
    Ok(())
}
