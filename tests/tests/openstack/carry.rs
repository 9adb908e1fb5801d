//! How OpenStack's own command and curl say a scope that they know nothing of, and where the agent's configuration comes
//! from: `cheops exec`, a `.netrc`, and Keystone's catalogs.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::Context;
use cheops_tests::lab::openstack::{Api, Ask, Cloud, Token, shared, well};
use cheops_tests::lab::{Agent, program};
use serde_json::Value;

use super::debian;

/// A shell at Berlin's host, in which `openstack` is an alias as the README has it, for a user of Berlin.
fn shell(cloud: &Cloud, script: &str) -> anyhow::Result<Output> {
    let (berlin, agent) = (cloud.site("Berlin"), cloud.federation.agent("Berlin"));
    let mut bash = berlin.host().command("/bin/bash");
    berlin.dress(&mut bash, "demo");
    let cheops = program("cheops")?;
    let alias =
        format!("shopt -s expand_aliases\nalias openstack='{} exec -- openstack'\n{script}\n", cheops.display());
    bash.args(["-c", &alias]).env("CHEOPS_SOCKET", agent.files().socket()).stdin(Stdio::null());
    Ok(bash.output()?)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The names of a site's own images, as the command prints them.
fn images(site: &str) -> String {
    let names = cheops_tests::lab::openstack::IMAGES.iter().filter(|(at, _)| *at == site).map(|(_, name)| *name);
    names.map(|name| format!("{name}\n")).collect()
}

#[test]
fn lines_as_a_shell_allows_them_list_another_sites_images() -> anyhow::Result<()> {
    shared(|cloud| {
        let list = "openstack image list -f value -c Name";
        for line in [
            format!("{list} --scope {{Glance: Paris}}"),
            format!("{list} --scope '{{Nova: Berlin, Glance: Paris}}'"),
            "openstack --scope {Glance: Paris, Nova: Berlin} image list -f value -c Name".to_owned(),
            format!("{list} --scope=\"{{image: Paris}}\""),
        ] {
            let output = shell(cloud, &line)?;
            assert_eq!(out(&output), images("Paris"), "{line}: {}", said(&output));
        }
        let output = shell(cloud, list)?;
        assert_eq!(out(&output), images("Berlin"), "without a scope: {}", said(&output));
        Ok(())
    })
}

#[test]
fn what_the_shell_takes_for_itself_is_noticed_before_the_command_runs() -> anyhow::Result<()> {
    shared(|cloud| {
        for (written, quoted) in [
            ("{Glance: Berlin & Paris}", "'{Glance: Berlin …}'"),
            ("{Glance: Berlin || Paris}", "'{Glance: Berlin …}'"),
            ("{Glance: Berlin | Paris}", "'{Glance: Berlin …}'"),
        ] {
            let output = shell(cloud, &format!("openstack image list -f value -c Name --scope {written}; wait"))?;
            let (out, said) = (out(&output), said(&output));
            assert_eq!(out, "", "{written}: {said}");
            let line = format!("cheops exec -- openstack image list -f value -c Name --scope {quoted}");
            assert!(said.contains(&line) && said.contains("nothing was run"), "{written}: {said}");
        }
        Ok(())
    })
}

#[test]
fn the_seeds_line_makes_a_server_of_another_sites_image() -> anyhow::Result<()> {
    shared(|cloud| {
        let berlin = cloud.site("Berlin");
        let options = "--flavor tiny --nic none --wait -f value -c id";
        let line =
            format!("openstack server create my-vm {options} --image debian --scope {{Nova: Berlin, Glance: Paris}}");
        let output = shell(cloud, &line)?;
        let made = out(&output);
        let id = made.split_whitespace().last().with_context(|| format!("no server: {made}{}", said(&output)))?;
        let token = berlin.token("demo")?;
        berlin.active(&token, id)?;
        assert!(berlin.disk(id)? == debian(cloud).bytes, "another image than Paris's");
        berlin.need(Api::Nova, &Ask::delete(&format!("/v2.1/servers/{id}")).token(&token))?;
        Ok(())
    })
}

/// The command asks Keystone for a token and for the catalog first: its own Keystone, as each site's passwords are its own.
#[test]
fn the_commands_own_token_is_of_the_entry_site() -> anyhow::Result<()> {
    shared(|cloud| {
        let user = cloud.site("Berlin").token("demo")?.user().to_owned();
        for scope in ["'{Glance: Paris}'", "{Nova: Paris}", "'{Glance: Berlin & Paris}'"] {
            let output = shell(cloud, &format!("openstack token issue -f value -c user_id --scope {scope}"))?;
            assert_eq!(out(&output).trim(), user, "{scope}: {}", said(&output));
        }
        Ok(())
    })
}

/// A file as `~/.netrc` would be.
fn netrc(cloud: &Cloud, scope: &str) -> anyhow::Result<tempfile::NamedTempFile> {
    let file = tempfile::NamedTempFile::new()?;
    let machine = cloud.site("Berlin").host().ipv4();
    std::fs::write(file.path(), format!("machine {machine} login cheops-scope password {scope}\n"))?;
    Ok(file)
}

/// Whether Berlin's agent takes scopes from logins.
fn logins(cloud: &mut Cloud, on: bool) -> anyhow::Result<()> {
    cloud.federation.agent_mut("Berlin").reload(|table| {
        let scope = table.entry("scope").or_insert_with(|| toml::Table::new().into());
        if let Some(scope) = scope.as_table_mut() {
            scope.insert("basic".into(), on.into());
        }
    })
}

#[test]
fn a_netrc_scopes_what_curl_and_the_command_ask() -> anyhow::Result<()> {
    shared(|cloud| {
        logins(cloud, true)?;
        let berlin = cloud.site("Berlin");
        // The first is read by all versions, the others by curl from 7.84 and Python from 3.11 on.
        for scope in ["{Glance:Paris}", "\"{Glance: Paris}\"", "\"{\\\"image\\\": \\\"Paris\\\"}\""] {
            let file = netrc(cloud, scope)?;
            let path = file.path().to_string_lossy().into_owned();
            let glance = format!("http://{}/", berlin.host().at(Api::Glance.port()));
            let answer = berlin.host().curl(&["--netrc-file", &path, &glance])?;
            assert_eq!(answer.header("x-cheops-site").as_deref(), Some("Paris"), "{scope}: {}", answer.text());
            let keystone = format!("http://{}/v3", berlin.host().at(Api::Keystone.port()));
            let answer = berlin.host().curl(&["--netrc-file", &path, &keystone])?;
            assert_eq!(answer.header("x-cheops-site").as_deref(), Some("Berlin"), "{scope}: {}", answer.text());
            // The command sends the login with every request, Keystone's too; the token is Berlin's all the same.
            let command = |arguments: &[&str]| {
                let mut command = berlin.openstack("demo");
                well("openstack", command.args(arguments).env("NETRC", &path))
            };
            assert_eq!(command(&["image", "list", "-f", "value", "-c", "Name"])?, images("Paris"), "{scope}");
            let user = command(&["token", "issue", "-f", "value", "-c", "user_id"])?;
            assert_eq!(user.trim(), berlin.token("demo")?.user(), "{scope}");
        }
        logins(cloud, false)?;
        let file = netrc(cloud, "{Glance:Paris}")?;
        let mut command = cloud.site("Berlin").openstack("demo");
        command.args(["image", "list", "-f", "value", "-c", "Name"]).env("NETRC", file.path());
        assert_eq!(well("openstack", &mut command)?, images("Berlin"), "off, it is a login that no service looks at");
        Ok(())
    })
}

/// What `cheops explain` at Berlin says of a request with this token, which comes by a file.
fn explained(cloud: &Cloud, token: &Token, scope: &str, api: Api, path: &str) -> anyhow::Result<(String, Value)> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), format!("X-Auth-Token: {}\n", token.id))?;
    let (agent, url) = (cloud.agent("Berlin"), format!("http://{}{path}", cloud.site("Berlin").host().at(api.port())));
    let headers = format!("@{}", file.path().display());
    let explain = |format: &str| {
        let mut command = agent.cheops_command()?;
        command.args(["explain", "-o", format, "-H", &headers, "--scope", scope, "GET", &url]);
        let said = well("cheops explain", &mut command)?;
        assert!(!said.contains(&token.id) && !said.contains(&token.id[..20]), "the token is shown: {said}");
        Ok::<_, anyhow::Error>(said)
    };
    let document = explain("json")?;
    Ok((explain("table")?, serde_json::from_str(&document)?))
}

#[test]
fn explain_says_where_a_token_was_issued_and_who_is_asked_about_it() -> anyhow::Result<()> {
    shared(|cloud| {
        // Berlin's own, whose issue its agent saw.
        let own = cloud.site("Berlin").token("demo")?;
        let (text, document) = explained(cloud, &own, "{Glance: Paris}", Api::Glance, "/v2/images")?;
        assert_eq!(
            (&document["credential"]["home"], &document["credential"]["known"]),
            (&"Berlin".into(), &"issued".into())
        );
        assert!(
            text.contains("token      issued by Berlin\n") && text.contains("; Paris asks Berlin whether"),
            "{text}"
        );
        let (text, _) = explained(cloud, &own, "{Glance: Berlin}", Api::Glance, "/v2/images")?;
        assert!(!text.contains("asks"), "at home nobody else is asked: {text}");
        // Paris's, which Paris's agent tells of once it comes by.
        let theirs = cloud.site("Paris").token("demo")?;
        let (text, document) = explained(cloud, &theirs, "{Nova: Berlin}", Api::Nova, "/v2.1/servers")?;
        assert_eq!(document["credential"]["home"], Value::Null);
        assert!(text.contains("token      of a site that isn't known\n"), "{text}");
        let list = Ask::get("/v2.1/servers").token(&theirs).scope("{Nova: Berlin}");
        cloud.site("Paris").need(Api::Nova, &list)?;
        let (text, document) = explained(cloud, &theirs, "{Nova: Berlin}", Api::Nova, "/v2.1/servers")?;
        assert_eq!(
            (&document["credential"]["home"], &document["credential"]["known"]),
            (&"Paris".into(), &"told".into())
        );
        assert!(
            text.contains("token      issued by Paris\n") && text.contains("; Berlin asks Paris whether"),
            "{text}"
        );
        Ok(())
    })
}

/// `clouds.yaml` and `secure.yaml` of all sites, for their ordinary members.
fn clouds(cloud: &Cloud, directory: &Path) -> anyhow::Result<()> {
    let (mut clouds, mut secure) = ("clouds:\n".to_owned(), "clouds:\n".to_owned());
    for site in cloud.sites() {
        let name = site.name().to_lowercase();
        let url = format!("http://{}", site.host().at(Api::Keystone.port()));
        let auth = format!("{{auth_url: '{url}', username: demo, project_name: demo, user_domain_id: default}}");
        clouds += &format!("  {name}:\n    auth: {auth}\n    region_name: RegionOne\n");
        secure += &format!("  {name}:\n    auth: {{password: '{}'}}\n", site.passwords().of("demo"));
    }
    std::fs::write(directory.join("clouds.yaml"), clouds)?;
    std::fs::write(directory.join("secure.yaml"), secure)?;
    Ok(())
}

/// cheops at Berlin's host, with the clouds' files in the working directory.
fn cheops(agent: &Agent, directory: &Path) -> anyhow::Result<Command> {
    let mut command = agent.cheops_command()?;
    command.current_dir(directory).stdin(Stdio::null());
    Ok(command)
}

#[test]
fn the_catalogs_of_three_sites_become_the_configuration_and_agree_with_it() -> anyhow::Result<()> {
    shared(|cloud| {
        let directory = tempfile::tempdir()?;
        clouds(cloud, directory.path())?;
        let agent = cloud.federation.agent("Berlin");
        let config = directory.path().join("agent.toml");
        let profiles = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cheops-agent/profiles");
        let peers = cloud.sites().iter().filter(|site| site.name() != "Berlin");
        let peers =
            peers.map(|site| format!("[[sites]]\nname = \"{}\"\npeer = \"{}\"\n", site.name(), site.host().at(7117)));
        let peers: String = peers.collect();
        std::fs::write(&config, format!("site = \"Berlin\"\nprofile-dirs = [\"{}\"]\n{peers}", profiles.display()))?;
        let config = config.to_string_lossy().into_owned();
        let import = ["services", "import", "openstack", "--config", &config];
        let each = ["--cloud", "Berlin=berlin", "--cloud", "Paris=paris", "--cloud", "Nantes=nantes"];
        let printed = well("cheops services import", cheops(agent, directory.path())?.args(import).args(each))?;
        assert!(printed.contains("written: "), "{printed}");
        let text = std::fs::read_to_string(directory.path().join("agent.d/openstack.toml"))?;
        let written: toml::Table = text.parse()?;
        let services = written["services"].as_array().map(Vec::as_slice).unwrap_or_default();
        assert_eq!(services.len(), Api::ALL.len(), "{text}");
        for api in Api::ALL {
            let service = services.iter().find(|service| service["name"].as_str() == Some(api.name()));
            let service = service.unwrap_or_else(|| panic!("no {}: {text}", api.name()));
            assert_eq!((service["type"].as_str(), service["profile"].as_str()), (Some(api.kind()), Some("openstack")));
            for site in cloud.sites() {
                let url = format!("http://{}", site.host().at(api.port()));
                assert_eq!(service["endpoints"][site.name()].as_str(), Some(url.as_str()), "{text}");
            }
        }
        let mut checked = agent.host().command(program("cheops-agent")?);
        let valid = well("cheops-agent --check-config", checked.args(["--check-config", "--config", &config]))?;
        assert!(valid.contains("openstack.toml"), "{valid}");
        // What the lab's agents were configured with by hand is what Keystone says, too.
        for cloud in ["berlin", "Paris=paris", "Nantes=nantes"] {
            let output = cheops(agent, directory.path())?.args(["check", "--cloud", cloud]).output()?;
            assert!(out(&output).contains("ok    catalog"), "{cloud}: {}{}", out(&output), said(&output));
            assert!(!out(&output).contains("catalog-"), "{cloud}: {}", out(&output));
        }
        let passwords: Vec<&str> = cloud.sites().iter().map(|site| site.passwords().of("demo")).collect();
        assert!(passwords.iter().all(|password| !text.contains(password) && !printed.contains(password)));
        Ok(())
    })
}
