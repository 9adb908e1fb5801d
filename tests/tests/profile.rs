//! Suite `profile`: what profiles say of requests, how their faults are located, which of several files counts, and what
//! a match costs.

#[path = "profile/command.rs"]
mod command;
#[path = "profile/files.rs"]
mod files;
#[path = "profile/openstack.rs"]
mod openstack;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use cheops_agent::profile::load::from_text;
use cheops_agent::profile::{OpKind, Profile, Profiles};
use cheops_tests::lab::busy;

/// A profile with a bit of everything that the format has.
const CLOUD: &str = r#"
version = 1
about = "A cloud's API, as far as the tests need it"

[platform]
classes = { identity = "identity" }
health = { path = "/", status = [200, 300] }

[platform.credentials]
header = "X-Auth-Token"
issuer = "identity"
issued = { header = "X-Subject-Token" }
elsewhere = "service-account"
carries-scope = true

[[platform.correlation]]
header = "X-Openstack-Request-Id"
set = "req-{uuid}"
restore = true

[[capacity]]
status = 503
body = "No valid host"

[[concurrent]]
pair = ["merge", "replace"]
rule = "both-reverse-order"

[[kinds]]
name = "server"
services = ["compute"]
collections = ["/v2.1/servers", "/v2.1/{project}/servers"]
items = ["/v2.1/{project?}/servers/{id}"]
methods = { item = { PUT = "merge" } }
created = { id = "/server/id", name = "/server/name" }
list = { elements = "/servers", id = "/id", next = "/servers_links/0/href", marker = "marker", limit = "limit" }
volatile = ["/server/updated"]
secret = ["/server/adminPass"]
marker = { field = "/server/metadata/cheops", query = "name" }

[[kinds.actions]]
method = "POST"
path = "/v2.1/servers/{id}/action"
op = "once"
body = "/reboot"

[[kinds.actions]]
method = "POST"
path = "/v2.1/servers/{id}/action"
op = "merge"
body = "/resize"

[[kinds.actions]]
method = "GET"
path = "/v2.1/servers/detail"
op = "list"

[[kinds.references]]
field = "/server/imageRef"
kind = "image"
pattern = "requirement"

[[kinds.capacity]]
status = 507
ops = ["create", "replace"]
[[kinds.concurrent]]
pair = ["add", "add"]
rule = "both-any-order"

[[kinds]]
name = "image"
services = ["image"]
collections = ["/v2/images"]
items = ["/v2/images/{id}"]

[[kinds]]
name = "object"
services = ["object-store"]
items = ["/v1/{account}/{container}/{id...}"]

[[kinds]]
name = "quota"
collections = ["/quotas"]
items = ["/quotas/{id}"]
divide = [{ field = "/cores", how = "quota" }]
aggregate = [{ field = "/cores", how = "sum" }]
"#;

fn profile(text: &str) -> Profile {
    from_text("test", Path::new("test.toml"), text).unwrap_or_else(|error| panic!("{error}"))
}

fn rest() -> Profile {
    Profiles::built_in().expect("valid").get("rest").expect("built in").as_ref().clone()
}

/// Method, path, and what it is: kind, id, op.
type Case = (&'static str, &'static str, Option<&'static str>, Option<&'static str>, OpKind);

fn check(profile: &Profile, service: Option<&str>, cases: &[Case]) {
    for (method, path, kind, id, op) in cases {
        let matched = profile.matching(service, method, path);
        assert_eq!((matched.kind, matched.id, matched.op), (*kind, *id, *op), "{method} {path}");
    }
}

#[test]
fn rest_reads_collections_and_items_by_position() {
    use OpKind::{Create, Delete, List, Merge, Once, Read, Replace, Unknown};
    check(
        &rest(),
        None,
        &[
            ("GET", "/things", Some("things"), None, List),
            ("HEAD", "/things", Some("things"), None, List),
            ("GET", "/things/", Some("things"), None, List),
            ("POST", "/things", Some("things"), None, Create),
            ("PUT", "/things", Some("things"), None, Unknown),
            ("DELETE", "/things", Some("things"), None, Unknown),
            ("GET", "/things/7", Some("things"), Some("7"), Read),
            ("HEAD", "/things/7", Some("things"), Some("7"), Read),
            ("GET", "/things/7/", Some("things"), Some("7"), Read),
            ("PUT", "/things/7", Some("things"), Some("7"), Replace),
            ("PATCH", "/things/7", Some("things"), Some("7"), Merge),
            ("DELETE", "/things/7", Some("things"), Some("7"), Delete),
            ("POST", "/things/7", Some("things"), Some("7"), Once),
            ("OPTIONS", "/things/7", Some("things"), Some("7"), Unknown),
            ("get", "/things/7", Some("things"), Some("7"), Unknown),
            ("GET", "/things/7/parts", Some("parts"), None, List),
            ("GET", "/things/7/parts/8", Some("parts"), Some("8"), Read),
            ("POST", "/a/b/c/d/e", Some("e"), None, Create),
            // leading segments that are no collection
            ("GET", "/v1", None, None, Unknown),
            ("GET", "/v1/things", Some("things"), None, List),
            ("GET", "/v2.1/things/7", Some("things"), Some("7"), Read),
            ("GET", "/api/v1/things/7", Some("things"), Some("7"), Read),
            ("GET", "/rest/api/v12/things", Some("things"), None, List),
            ("GET", "/v1/buckets/b/collections/c/records", Some("records"), None, List),
            ("PATCH", "/v1/buckets/b/collections/c/records/4-5", Some("records"), Some("4-5"), Merge),
            // only while they lead, and only with a number
            ("GET", "/things/v1", Some("things"), Some("v1"), Read),
            ("GET", "/v/things", Some("v"), Some("things"), Read),
            ("GET", "/v1x/things", Some("v1x"), Some("things"), Read),
            ("GET", "/vapi", Some("vapi"), None, List),
            // no resources
            ("GET", "/", None, None, Unknown),
            ("GET", "", None, None, Unknown),
            ("OPTIONS", "*", Some("*"), None, Unknown),
            ("GET", "//things", None, None, Unknown),
            ("GET", "/things//7", None, None, Unknown),
            // nothing is decoded
            ("GET", "/things/a%2Fb", Some("things"), Some("a%2Fb"), Read),
        ],
    );
    let deep = "/a".repeat(1000);
    let matched = rest();
    let matched = matched.matching(None, "GET", &deep);
    assert_eq!((matched.kind, matched.op), (None, Unknown), "a path of a thousand segments is nobody's");
}

#[test]
fn patterns_of_kinds_match_by_service_and_literals_first() {
    use OpKind::{Create, Delete, List, Merge, Once, Read, Unknown};
    let cloud = profile(CLOUD);
    check(
        &cloud,
        Some("compute"),
        &[
            ("GET", "/v2.1/servers", Some("server"), None, List),
            ("POST", "/v2.1/servers", Some("server"), None, Create),
            ("GET", "/v2.1/servers/7", Some("server"), Some("7"), Read),
            ("DELETE", "/v2.1/servers/7/", Some("server"), Some("7"), Delete),
            ("PUT", "/v2.1/servers/7", Some("server"), Some("7"), Merge),
            ("GET", "/v2.1/p1/servers", Some("server"), None, List),
            ("GET", "/v2.1/p1/servers/7", Some("server"), Some("7"), Read),
            // a project that is called as a collection: the literal wins where it leads somewhere
            ("GET", "/v2.1/servers/servers", Some("server"), Some("servers"), Read),
            ("GET", "/v2.1/servers/servers/7", Some("server"), Some("7"), Read),
            ("GET", "/v2.1/servers/detail", Some("server"), None, List),
            ("DELETE", "/v2.1/servers/detail", Some("server"), None, Unknown),
            // which action it is stands in the body: the careful reading
            ("POST", "/v2.1/servers/7/action", Some("server"), Some("7"), Once),
            ("GET", "/v2.1/servers/7/action", Some("server"), Some("7"), Unknown),
            ("GET", "/v2.1/servers/7/other", None, None, Unknown),
            ("GET", "/v2.1", None, None, Unknown),
            ("GET", "/v2.1//servers", None, None, Unknown),
            // another service's
            ("GET", "/v2/images/7", None, None, Unknown),
            // everybody's
            ("GET", "/quotas/7", Some("quota"), Some("7"), Read),
        ],
    );
    check(
        &cloud,
        Some("image"),
        &[("GET", "/v2/images/7", Some("image"), Some("7"), Read), ("GET", "/v2.1/servers", None, None, Unknown)],
    );
    check(
        &cloud,
        Some("object-store"),
        &[
            ("GET", "/v1/a/c/o", Some("object"), Some("o"), Read),
            ("PUT", "/v1/a/c/o/with/slashes", Some("object"), Some("o/with/slashes"), OpKind::Replace),
            ("GET", "/v1/a/c", None, None, Unknown),
        ],
    );
    check(&cloud, None, &[("GET", "/v2/images/7", None, None, Unknown), ("GET", "/quotas", Some("quota"), None, List)]);
}

#[test]
fn the_rest_of_a_profile_is_there_for_those_who_ask() {
    let cloud = profile(CLOUD);
    assert_eq!(cloud.class(Some("identity")), Some("identity"));
    assert_eq!((cloud.class(Some("compute")), cloud.class(None)), (None, None));
    let statuses = |kind, op| cloud.capacity(kind, op).iter().map(|error| error.status).collect::<Vec<_>>();
    assert_eq!(statuses(Some("server"), OpKind::Create), [503, 507]);
    assert_eq!(statuses(Some("server"), OpKind::Once), [503]);
    assert_eq!(statuses(Some("image"), OpKind::Create), [503]);
    assert_eq!(statuses(None, OpKind::Unknown), [503]);
    let [correlation] = cloud.correlation() else { panic!("one id") };
    assert_eq!(
        (correlation.header.as_str(), correlation.set.as_deref()),
        ("X-Openstack-Request-Id", Some("req-{uuid}"))
    );
    assert_eq!(
        rest().capacity(Some("things"), OpKind::Once).iter().map(|error| error.status).collect::<Vec<_>>(),
        [507]
    );
    assert_eq!(rest().correlation().len(), 3);
}

/// What is changed in [`CLOUD`], and the fault: line, column, and part of the message.
const FAULTS: &[(&str, &str, &str, &str)] = &[
    ("version = 1\n", "", "1:1", "missing field `version`"),
    ("version = 1\n", "version = 2\n", "2:11", "reads version 1 of profiles, not 2"),
    ("version = 1\n", "version = \"1\"\n", "2:11", "invalid type: string"),
    ("about =", "abuot =", "3:1", "unknown key \"abuot\": did you mean \"about\"?"),
    ("name = \"server\"", "nam = \"server\"", "30:1", "unknown key \"nam\": did you mean \"name\"?"),
    ("volatile =", "qqqqqqqq =", "37:1", "unknown key \"qqqqqqqq\"; known here: "),
    ("PUT = \"merge\"", "PUT = \"mrge\"", "34:28", "unknown word \"mrge\": did you mean \"merge\"?"),
    ("PUT = \"merge\"", "PUT = \"unknown\"", "34:28", "unknown word \"unknown\""),
    ("PUT = \"merge\"", "put = \"merge\"", "30:8", "\"put\" is no method: methods are in capitals"),
    ("\"/v2.1/servers\",", "\"v2.1/servers\",", "32:16", "a path begins with \"/\""),
    ("\"/v2.1/servers\",", "\"/v2.1//servers\",", "32:16", "a segment is empty"),
    ("\"/v2.1/servers\",", "\"/v2.1/servers/\",", "32:16", "a segment is empty"),
    ("\"/v2.1/servers\",", "\"/v2.1/s{x}\",", "32:16", "a segment is one parameter or plain text"),
    ("\"/v2.1/servers\",", "\"/v2.1/{}\",", "32:16", "a parameter needs a name"),
    ("\"/v2.1/servers\",", "\"/v2.1/{x\",", "32:16", "a segment is one parameter or plain text"),
    ("\"/v2.1/servers\",", "\"/v2.1/servers?a=b\",", "32:16", "a segment is one parameter or plain text"),
    ("\"/v2.1/servers\",", "\"/v2.1/{rest...}/x\",", "32:16", "it must be the last segment"),
    ("\"/v2.1/servers\",", "\"/v2.1/{id}\",", "32:16", "not in a collection's"),
    ("{project?}/servers/{id}", "{project?}/servers/{name}", "33:10", "an item's path has {id}"),
    ("{project?}/servers/{id}", "{id}/{id}", "33:10", "a path has {id} once"),
    ("{project?}/servers/{id}", "{a?}/{b?}/{id}", "33:10", "one segment of a path may be missing"),
    ("{project?}/servers/{id}", "servers/{id?}", "33:10", "an id can't be missing"),
    ("{project?}/servers/{id}", "{?}/{id}", "33:10", "a parameter needs a name"),
    (
        "\"/v2.1/servers\", \"/v2.1/{project}/servers\"",
        "\"/v2.1/{p?}/servers\", \"/v2.1/servers\"",
        "32:38",
        "kind \"server\" has this path already",
    ),
    ("limit = \"limit\" }", "sort = { fields = { a = \"b\" } } }", "36:120", "a pointer is empty or begins with"),
    (
        "[[capacity]]",
        "[[discovery]]\npaths = [\"/v2/images\"]\n[[capacity]]",
        "22:10",
        "kind \"image\" has this path already",
    ),
    ("[[capacity]]", "[[discovery]]\npaths = [\"/{id}\"]\n[[capacity]]", "22:10", "not in a collection's"),
    (
        "[[capacity]]",
        "[[roots]]\npath = \"/v2.1/{x}\"\nalso = [\"/v2\"]\n[[capacity]]",
        "22:8",
        "a root is a path of plain segments",
    ),
    ("[[capacity]]", "[[roots]]\npath = \"/v2.1\"\nalso = [\"v2\"]\n[[capacity]]", "23:9", "of plain segments"),
    ("[[capacity]]", "[[roots]]\npath = \"/v2.1\"\nalso = []\n[[capacity]]", "22:8", "at least one"),
    (
        "[[capacity]]",
        "[[roots]]\npath = \"/quotas\"\nalso = [\"/v2/images\"]\n[[capacity]]",
        "86:16",
        "kind \"image\" has this path already",
    ),
    (
        "[platform.credentials]",
        "[platform.problems]\ncontent-type = \"json\"\n[platform.credentials]",
        "10:16",
        "\"json\" is no media type",
    ),
    (
        "[platform.credentials]",
        "[platform.problems]\ncontent-type = \"a/b\"\nwithin = \"\"\n[platform.credentials]",
        "10:16",
        "a member of a problem has a name",
    ),
    ("\"/server/id\"", "\"server/id\"", "35:18", "a pointer is empty or begins with \"/\""),
    ("\"/server/updated\"", "\"/server/~x\"", "37:13", "is written ~0"),
    ("elements = \"/servers\"", "elements = \"/s/*\"", "36:21", "\"*\" can't stand here"),
    ("limit = \"limit\" }", "sort = { default = \"a:up\" } }", "36:115", "stands asc or desc"),
    ("marker = \"marker\",", "token = \"/t\",", "36:85", "in one way: next, token, next-header"),
    ("marker = \"marker\",", "next-header = \"Link\",", "36:91", "in one way: next, token, next-header"),
    (
        "next = \"/servers_links/0/href\", marker = \"marker\"",
        "token-header = \"X-Next\"",
        "36:60",
        "the token needs marker",
    ),
    ("limit = \"limit\" }", "total-headers = [\"X Total\"] }", "36:113", "\"X Total\" is no header's name"),
    (
        "limit = \"limit\" }",
        "total-headers = [\"Content-length\"] }",
        "36:113",
        "about the message, not about the list",
    ),
    ("next = \"/servers_links/0/href\", marker = \"marker\"", "token = \"/t\"", "36:53", "the token needs marker"),
    ("\"/reboot\"", "\"reboot\"", "45:8", "a pointer is empty or begins"),
    ("kind = \"image\"", "kind = \"imag\"", "60:8", "there is no kind \"imag\": did you mean \"image\"?"),
    ("pattern = \"requirement\"", "pattern = \"requirment\"", "61:11", "did you mean \"requirement\"?"),
    ("name = \"image\"", "name = \"server\"", "71:8", "there is a kind \"server\" already"),
    (
        "items = [\"/quotas/{id}\"]",
        "items = [\"/v2/images/{x}\", \"/v2/images/{id}\"]",
        "84:10",
        "an item's path has {id}",
    ),
    ("items = [\"/quotas/{id}\"]", "items = [\"/v2/images/{id}\"]", "84:10", "kind \"image\" has this path already"),
    ("collections = [\"/v2/images\"]\nitems = [\"/v2/images/{id}\"]", "", "71:8", "kind \"image\" has no path"),
    ("status = 507", "status = 200", "30:8", "a capacity error has a status from 400 to 599"),
    ("status = 503", "status = 70000", "22:10", "invalid value"),
    ("pair = [\"add\", \"add\"]", "pair = [\"add\", \"read\"]", "30:8", "about ops that change something"),
    ("pair = [\"add\", \"add\"]", "pair = [\"add\"]", "67:8", "invalid length 1"),
    ("how = \"sum\"", "how = \"som\"", "86:40", "did you mean \"sum\"?"),
    ("elsewhere = \"service-account\"", "elsewhere = \"service-acount\"", "13:13", "did you mean \"service-account\"?"),
    ("issued = { header = \"X-Subject-Token\" }", "issued = {}", "2:11", "in a header or in a field, one of the two"),
    ("header = \"X-Auth-Token\"", "header = \"X Auth\"", "2:11", "\"X Auth\" is no header's name"),
    ("health = { path = \"/\"", "health = { path = \"x\"", "2:11", "must begin with \"/\""),
    ("[platform.credentials]", "[platform.credentials", "9:22", ""),
];

/// A profile of the size of a whole cloud's: 400 kinds, each with two ways to write its paths.
fn large() -> Profile {
    let kinds = (0..400).map(|n| {
        format!(
            "[[kinds]]\nname = \"kind{n}\"\nservices = [\"s{}\"]\ncollections = [\"/v2/kind{n}\", \"/v2/{{p}}/kind{n}\"]\n\
             items = [\"/v2/kind{n}/{{id}}\", \"/v2/{{p}}/kind{n}/{{id}}\"]\n",
            n % 10
        )
    });
    profile(&format!("version = 1\n{}", kinds.collect::<String>()))
}

#[test]
fn a_match_takes_no_longer_than_a_microsecond() {
    let (rest, large) = (rest(), large());
    for (what, profile, service, method, path) in [
        ("rest, item", &rest, None, "PATCH", "/v1/buckets/default/collections/articles/records/8f4d"),
        ("rest, nothing", &rest, None, "GET", "/"),
        ("400 kinds, first", &large, Some("s0"), "GET", "/v2/kind0/7"),
        ("400 kinds, last, project", &large, Some("s9"), "DELETE", "/v2/8a2c6b1e/kind399/7c1b"),
        ("400 kinds, none", &large, Some("s1"), "GET", "/v2/8a2c6b1e/other/7c1b/more"),
    ] {
        const ROUNDS: u32 = 2_000;
        let round = || {
            let start = busy();
            for _ in 0..ROUNDS {
                std::hint::black_box(profile.matching(
                    std::hint::black_box(service),
                    method,
                    std::hint::black_box(path),
                ));
            }
            busy().saturating_sub(start) / ROUNDS
        };
        let best = (0..20).map(|_| round()).min().unwrap_or_default();
        println!("{what:<26} {best:?} a match");
        // A microsecond is the promise for the released program; an unoptimised one is given ten.
        let bound = if cfg!(debug_assertions) { Duration::from_micros(10) } else { Duration::from_micros(1) };
        assert!(best < bound, "{what}: {best:?}");
    }
}
