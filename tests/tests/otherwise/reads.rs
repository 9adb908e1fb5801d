//! `A & B` for one resource, and whatever a scope has for what describes an API: any site's answer will do.

use super::*;

/// Everywhere, the own site's first.
const ALL: &str = "{app: Paris & Nantes & Berlin}";

fn get(federation: &Federation, path: &str) -> anyhow::Result<(u16, Option<String>, Option<String>)> {
    let answer = federation.get("Berlin", "app", path, Some(ALL))?;
    Ok((answer.status, answer.header("x-cheops-site"), answer.header("x-cheops-sites")))
}

fn by(status: u16, site: &str, sites: Option<&str>) -> (u16, Option<String>, Option<String>) {
    (status, Some(site.to_owned()), sites.map(str::to_owned))
}

#[test]
fn one_resource_is_read_where_it_is() -> anyhow::Result<()> {
    let mut federation = three()?;
    // Berlin is nearest to itself, then Paris.
    federation.world().link("Berlin", "Nantes").round_trip(Duration::from_millis(60));
    let near = || {
        let answer = federation.get("Berlin", "app", "/things/7", Some("{app: Nantes & Paris}"));
        answer.is_ok_and(|answer| answer.site().as_deref() == Some("Paris"))
    };
    assert!(eventually(SOON, near), "distances are known");
    assert_eq!(get(&federation, "/things/7")?, by(200, "Berlin", None));
    for (status, site, sites) in [
        ("404 None", "Paris", "Berlin=declined, Paris=answered"),
        ("503 Busy", "Paris", "Berlin=declined, Paris=answered"),
    ] {
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        federation.service("Berlin", "app").script("/things/8", answer, Then::Keep);
        assert_eq!(get(&federation, "/things/8")?, by(200, site, Some(sites)), "{status}");
    }
    let refused = "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n";
    federation.service("Berlin", "app").script("/things/9", refused, Then::Keep);
    assert_eq!(get(&federation, "/things/9")?, by(403, "Berlin", None), "what it says stands");
    // It may have been asked, and nothing has changed by it.
    federation.service("Berlin", "app").script("/things/10", "HTTP/1.1 200", Then::Close);
    assert_eq!(get(&federation, "/things/10")?, by(200, "Paris", Some("Berlin=broken, Paris=answered")));
    federation.service_mut("Berlin", "app").stop();
    assert_eq!(get(&federation, "/things/7")?, by(200, "Paris", Some("Berlin=unreachable, Paris=answered")));
    federation.agent_mut("Paris").kill9()?;
    let sites = "Berlin=unreachable, Paris=unreachable, Nantes=answered";
    assert_eq!(get(&federation, "/things/7")?, by(200, "Nantes", Some(sites)));
    // Nothing is changed at several sites.
    let answer = ask(&federation, ALL, "body")?;
    assert_eq!((answer.status, code(&answer)?.as_str()), (501, "collaboration-not-built"));
    Ok(())
}

#[test]
fn what_the_api_is_is_asked_at_one_site() -> anyhow::Result<()> {
    let service = Offered::new("Nova", 8774).key("type", "compute").key("profile", "openstack");
    let mut federation = Federation::builder().service(service).start()?;
    let site = |federation: &Federation, path: &str, scope: &str| -> anyhow::Result<Option<String>> {
        let answer = federation.get("Berlin", "Nova", path, Some(scope))?;
        anyhow::ensure!(answer.status == 200, "{path} {scope}: {}", answer.text());
        Ok(answer.site())
    };
    let several = ["{Nova: Paris & Berlin}", "{Nova: Paris || Berlin}", "{Nova: *}", "{Nova: Paris % Berlin}"];
    for path in ["/", "/v2.1", "/v2.1/extensions"] {
        assert_eq!(site(&federation, path, "{Nova: Paris}")?.as_deref(), Some("Paris"));
        for scope in several {
            assert_eq!(site(&federation, path, scope)?.as_deref(), Some("Berlin"), "{path} {scope}");
        }
    }
    federation.service_mut("Berlin", "Nova").stop();
    for scope in several {
        assert!(site(&federation, "/v2.1", scope)?.is_some_and(|site| site != "Berlin"), "{scope}");
    }
    // What is asked for then tells why: clients swallow what goes wrong before.
    federation.service_mut("Berlin", "Nova").restart()?;
    federation.service_mut("Paris", "Nova").stop();
    assert_eq!(site(&federation, "/v2.1", "{Nova: Paris}")?.as_deref(), Some("Berlin"));
    assert_eq!(federation.get("Berlin", "Nova", "/v2.1/servers", Some("{Nova: Paris}"))?.status, 502);
    Ok(())
}

/// What a platform's clients look for in an error, they find.
#[test]
fn a_refusal_is_written_for_the_platforms_clients() -> anyhow::Result<()> {
    let service = |name: &str, port, profile: &str| Offered::new(name, port).key("profile", profile);
    let services = Federation::builder().service(service("Nova", 8774, "openstack"));
    let federation = services.service(service("app", 8080, "rest")).start()?;
    federation.world().isolate("Paris", true);
    let nova = federation.get("Berlin", "Nova", "/v2.1/servers", Some("{Nova: Paris}"))?;
    assert_eq!((nova.status, nova.header("content-type").as_deref()), (503, Some("application/json")));
    let document = nova.json()?;
    let message = document["error"]["message"].as_str().unwrap_or_default();
    assert!(message.starts_with("The other site can't be reached: ") && message.contains("Paris"), "{document}");
    assert_eq!(document.as_object().map(serde_json::Map::len), Some(1), "{document}");
    assert_eq!(document["error"]["code"], "peer-unreachable");
    let app = federation.get("Berlin", "app", "/things", Some("{app: Paris}"))?;
    assert_eq!((app.status, app.header("content-type").as_deref()), (503, Some("application/problem+json")));
    assert_eq!(app.json()?["code"], "peer-unreachable");
    Ok(())
}
