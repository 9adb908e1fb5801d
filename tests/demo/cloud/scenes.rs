//! The story: a server here from an image there, one list of two sites, and another site when one is full.

use std::time::Duration;

use anyhow::{Context, bail};

use super::Stage;
use crate::scenes::state_of;
use crate::show::{Said, Shell, note, scene, why};

/// Plays all scenes; the first wrong answer ends the play.
pub fn play(stage: &mut Stage) -> anyhow::Result<()> {
    let mut number = 0;
    let n = &mut number;
    independent(n, stage)?;
    created(n, stage)?;
    same_bytes(n, stage)?;
    listed(n, stage)?;
    from_anywhere(n, stage)?;
    by_curl(n, stage)?;
    otherwise(n, stage)?;
    away(n, stage)?;
    agent_killed(n, stage)
}

const CREATE: &str = "openstack server create --flavor tiny --nic none --image debian";

fn independent(n: &mut u32, stage: &Stage) -> anyhow::Result<()> {
    scene(n, "Without a scope each site is what it was");
    stage.berlin.shows("openstack image list", |said| said.has("cirros") && !said.has("debian"))?;
    stage.paris.shows("openstack image list", |said| said.has("debian") && !said.has("cirros"))?;
    stage.berlin.shows(&format!("{CREATE} my-vm"), |said| said.has("No Image found for debian") && said.code == 1)?;
    why("Berlin has no debian. The command, its services and their configuration know nothing of other sites.");
    Ok(())
}

fn created(n: &mut u32, stage: &Stage) -> anyhow::Result<()> {
    scene(n, "Create: a server at Berlin, of an image that only Paris has");
    let line = format!("{CREATE} my-vm -c id -c name -c status --scope '{{Nova: Berlin, Glance: Paris}}'");
    stage.berlin.shows(&line, |said| said.has("my-vm") && accepted(said))?;
    active(&stage.berlin, "my-vm", "")?;
    // The command itself asks Glance for the image's name.
    let list = "openstack server list -c Name -c Status -c Image --scope '{Glance: Paris}'";
    stage.berlin.shows(list, |said| said.has("my-vm") && said.has("ACTIVE") && said.has("debian"))?;
    why("Berlin's Nova asked Glance as it always does, some seconds later, and from other processes than the one that");
    why("took the request: the scope followed its calls to Paris, whose services checked Berlin's token with Berlin.");
    Ok(())
}

/// Whether a server is being built, or is already.
fn accepted(said: &Said) -> bool {
    (said.has("BUILD") || said.has("ACTIVE")) && said.code == 0
}

/// Waits until a server is active.
fn active(shell: &Shell, name: &str, scope: &str) -> anyhow::Result<()> {
    let line = format!("openstack server show {name} -f value -c status {scope}");
    shell.until("the server is active", &line, |said| said.has("ACTIVE"))
}

fn same_bytes(n: &mut u32, stage: &Stage) -> anyhow::Result<()> {
    scene(n, "The server's disk is Paris's image, byte by byte");
    let image = stage.paris.shows("openstack image show debian -f value -c checksum", |said| said.code == 0)?;
    let disk = "md5sum < $DISKS/$(openstack server show my-vm -f value -c id)/disk";
    stage.berlin.shows(disk, |said| said.out.split_whitespace().next() == Some(image.out.trim()))?;
    Ok(())
}

fn listed(n: &mut u32, stage: &Stage) -> anyhow::Result<()> {
    scene(n, "List: another site's images, and two sites' in one list");
    stage.berlin.shows("openstack image list --scope '{Glance: Paris}'", |said| {
        said.has("debian") && !said.has("cirros") && said.code == 0
    })?;
    stage.berlin.shows("openstack image list --scope '{Glance: Berlin & Paris}'", |said| {
        said.has("debian") && said.has("cirros") && !said.has("alpine") && said.code == 0
    })?;
    Ok(())
}

fn from_anywhere(n: &mut u32, stage: &Stage) -> anyhow::Result<()> {
    scene(n, "Show: any site may be asked");
    let line = format!("{CREATE} hers -c id -c name -c status --scope '{{Nova: Berlin, Glance: Paris}}'");
    stage.nantes.shows(&line, |said| said.has("hers") && accepted(said))?;
    active(&stage.nantes, "hers", "--scope '{Nova: Berlin}'")?;
    let show = "openstack server show hers -c name -c status -c OS-EXT-AZ:availability_zone --scope '{Nova: Berlin}'";
    stage.nantes.shows(show, |said| said.has("ACTIVE"))?;
    stage
        .nantes
        .shows("openstack server list -f value -c Name", |said| said.out.trim().is_empty() && said.code == 0)?;
    why("A user of Nantes, logged in there, has a server at Berlin, in a project that is Nantes's; Nantes has none.");
    Ok(())
}

fn by_curl(n: &mut u32, stage: &Stage) -> anyhow::Result<()> {
    scene(n, "The same with any HTTP client");
    let line = "curl -si -H \"X-Auth-Token: $(openstack token issue -f value -c id)\" -H 'X-Scope: {Glance: Paris}' \
        ${OS_AUTH_URL%:5000/v3}:9292/v2/images?name=debian";
    stage.berlin.shows(line, |said| said.has("200 OK") && said.has("X-Cheops-Site: Paris") && said.has("debian"))?;
    Ok(())
}

fn otherwise(n: &mut u32, stage: &Stage) -> anyhow::Result<()> {
    scene(n, "Otherwise: Nantes, if Berlin has no room");
    note(&format!("At Berlin a project may have {} servers.", super::QUOTA));
    let create = |name: &str, nova: &str| {
        format!("{CREATE} {name} -c id -c name -c status --scope '{{Nova: {nova}, Glance: Paris}}'")
    };
    stage.berlin.shows(&create("second", "Berlin || Nantes"), accepted)?;
    active(&stage.berlin, "second", "")?;
    stage.berlin.shows(&create("third", "Berlin"), |said| said.has("Quota exceeded") && said.code == 1)?;
    stage.berlin.shows(&create("third", "Berlin || Nantes"), accepted)?;
    active(&stage.berlin, "third", "--scope '{Nova: Nantes}'")?;
    let list = "openstack server list -f value -c Name -c Status";
    stage.berlin.shows(list, |said| said.has("second") && !said.has("third"))?;
    stage.berlin.shows(&format!("{list} --scope '{{Nova: Nantes}}'"), |said| said.has("third ACTIVE"))?;
    why("Berlin's Nova had room for the second and refused the third: so Nantes made it. One of the two, never both.");
    Ok(())
}

fn away(n: &mut u32, stage: &Stage) -> anyhow::Result<()> {
    scene(n, "Paris is away: one clear error, and nothing half-made");
    stage.cloud.federation.world().isolate("Paris", true);
    let away = |said: &Said| state_of(said, "Paris").is_some_and(|state| state == "down");
    stage.berlin.until("Berlin's agent sees that Paris is away", "cheops sites -o json", away)?;
    stage.berlin.shows("openstack image list --scope '{Glance: Paris}'", |said| said.code != 0 && said.has("Paris"))?;
    stage
        .berlin
        .shows("openstack image list -f value -c Name", |said| said.out.trim() == "cirros" && said.code == 0)?;
    stage.cloud.federation.world().isolate("Paris", false);
    let back = |said: &Said| state_of(said, "Paris").is_some_and(|state| state == "up");
    stage.berlin.until("Berlin's agent sees that Paris is back", "cheops sites -o json", back)?;
    Ok(())
}

fn agent_killed(n: &mut u32, stage: &mut Stage) -> anyhow::Result<()> {
    scene(n, "The agent dies: OpenStack is as it was");
    let agent = stage.cloud.federation.agent_mut("Berlin");
    let pid = agent.pid().context("Berlin's agent isn't running")?;
    stage.berlin.shows(&format!("kill -9 {pid}"), |said| said.code == 0)?;
    stage.cloud.federation.agent_mut("Berlin").wait_end(Duration::from_secs(10))?;
    let plain = "\\openstack server list -f value -c Name -c Status";
    stage.berlin.shows(plain, |said| said.has("my-vm ACTIVE") && said.code == 0)?;
    let refused = stage.berlin.shows("openstack server list --scope '{Nova: Nantes}'", |said| said.code == 5)?;
    if refused.has("third") {
        bail!("served without an agent");
    }
    why("What asks for no scope doesn't notice; what asks for one is refused rather than served elsewhere.");
    Ok(())
}
