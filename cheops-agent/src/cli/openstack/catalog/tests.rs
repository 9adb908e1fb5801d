use serde_json::json;

use super::*;

/// A catalog as devstack makes it: everything behind one web server, by path.
fn devstack() -> Token {
    let one = |kind: &str, name: &str, path: &str| {
        json!({ "type": kind, "name": name, "id": "x", "endpoints": [
            { "id": "1", "interface": "public", "region": "RegionOne", "region_id": "RegionOne",
              "url": format!("http://10.0.0.5{path}") }
        ]})
    };
    token(json!([
        one("compute_legacy", "nova_legacy", "/compute/v2/3f1a9d0c6a7b4b0ea6d2f0a1b2c3d4e5"),
        one("compute", "nova", "/compute/v2.1"),
        one("image", "glance", "/image"),
        one("identity", "keystone", "/identity"),
        one("volumev2", "cinderv2", "/volume/v2/3f1a9d0c6a7b4b0ea6d2f0a1b2c3d4e5"),
        one("volumev3", "cinderv3", "/volume/v3/3f1a9d0c6a7b4b0ea6d2f0a1b2c3d4e5"),
        one("block-storage", "cinder", "/volume/v3/3f1a9d0c6a7b4b0ea6d2f0a1b2c3d4e5"),
        one("network", "neutron", ":9696/networking"),
        one("placement", "placement", "/placement"),
    ]))
}

fn token(catalog: serde_json::Value) -> Token {
    let whole = json!({ "catalog": catalog, "project": { "id": "demo-project", "name": "demo" } });
    serde_json::from_value(whole).expect("a token")
}

fn told(catalog: &Catalog) -> Vec<String> {
    let urls = |found: &Found| found.urls.iter().map(EndpointUrl::url).collect::<Vec<_>>().join(" ");
    catalog.services.iter().map(|found| format!("{} {} {}", found.name, found.kind, urls(found))).collect()
}

#[test]
fn services_at_one_address_are_one_and_the_plainest_type_names_it() {
    let catalog = Catalog::of(&devstack(), None, &[]).expect("one region");
    assert_eq!(
        told(&catalog),
        [
            "Nova compute http://10.0.0.5:80/compute",
            "Glance image http://10.0.0.5:80/image",
            "Keystone identity http://10.0.0.5:80/identity",
            "Cinder block-storage http://10.0.0.5:80/volume",
            "Neutron network http://10.0.0.5:9696/networking",
            "Placement placement http://10.0.0.5:80/placement",
        ]
    );
    let left: Vec<String> = catalog.left_out.iter().map(|left| format!("{}: {}", left.what, left.why)).collect();
    assert_eq!(
        left,
        [
            "Nova_legacy (compute_legacy): it is at the same address as Nova (compute)",
            "Cinder (volumev2): it is at the same address as Cinder (volumev3)",
            "Cinder (volumev3): it is at the same address as Cinder (block-storage)",
        ]
    );
}

#[test]
fn versions_projects_and_placeholders_are_no_part_of_an_endpoint() {
    for (url, endpoint) in [
        ("http://10.77.0.1:9292", "http://10.77.0.1:9292"),
        ("http://10.77.0.1:9292/", "http://10.77.0.1:9292"),
        ("http://10.77.0.1:8774/v2.1", "http://10.77.0.1:8774"),
        ("http://10.77.0.1:8774/v2.1/", "http://10.77.0.1:8774"),
        ("http://10.77.0.1:8774/v2/%(tenant_id)s", "http://10.77.0.1:8774"),
        ("http://10.77.0.1:8776/v3/$(project_id)s", "http://10.77.0.1:8776"),
        ("http://h:8080/swift/%(project_id)s", "http://h:8080/swift"),
        ("http://h:8080/v1/AUTH_3f1a", "http://h:8080"),
        ("http://h:8004/v1/demo-project", "http://h:8004"),
        ("http://h/heat-api/v1/demo-project/x", "http://h:80/heat-api"),
        ("https://h/identity/v3", "https://h:443/identity"),
        ("http://[2001:db8::1]:5000/v3", "http://[2001:db8::1]:5000"),
        ("http://h/volume/3f1a9d0c6a7b4b0ea6d2f0a1b2c3d4e5", "http://h:80/volume"),
        ("http://h//image//v2", "http://h:80/image"),
        ("http://h/v2beta", "http://h:80/v2beta"),
    ] {
        assert_eq!(guarded(url, Some("demo-project")).map(|url| url.url()).as_deref(), Ok(endpoint), "{url}");
    }
    for odd in ["", "10.0.0.1:80", "ws://h:6083", "http://u:p@h/", "http://:80/"] {
        assert!(guarded(odd, None).is_err(), "{odd}");
    }
}

#[test]
fn interfaces_are_aliases_the_public_one_first() {
    let endpoint = |interface: &str, url: &str| json!({ "interface": interface, "region": "R", "url": url });
    let catalog = token(json!([
        { "type": "image", "name": "glance", "endpoints": [
            endpoint("admin", "http://10.0.0.1:9292"), endpoint("internal", "http://glance.local:9292"),
            endpoint("public", "http://10.0.0.1:9292/v2") ] },
        { "type": "key-manager", "name": "barbican", "endpoints": [endpoint("internal", "http://10.0.0.1:9311")] },
        { "type": "console", "endpoints": [endpoint("public", "ws://10.0.0.1:6083")] },
        { "type": "bad,type", "endpoints": [endpoint("public", "http://10.0.0.1:1")] },
        { "type": "empty", "name": "none" },
    ]));
    let all = Catalog::of(&catalog, None, &[]).expect("one region");
    assert_eq!(
        told(&all),
        ["Glance image http://10.0.0.1:9292 http://glance.local:9292", "Barbican key-manager http://10.0.0.1:9311"]
    );
    let left: Vec<&str> = all.left_out.iter().map(|left| left.what.as_str()).collect();
    assert_eq!(left, ["console", "bad,type", "none (empty)"]);
    let public = Catalog::of(&catalog, None, &["public".to_owned()]).expect("one region");
    assert_eq!(told(&public), ["Glance image http://10.0.0.1:9292"]);
    assert!(public.left_out.iter().any(|left| left.what == "barbican (key-manager)"));
}

#[test]
fn of_several_regions_one_has_to_be_named() {
    let endpoint = |region: &str, host: &str| json!({ "interface": "public", "region_id": region, "url": format!("http://{host}:9292") });
    let catalog = token(json!([
        { "type": "image", "name": "glance", "endpoints": [endpoint("One", "a"), endpoint("Two", "b")] },
        { "type": "compute", "name": "nova", "endpoints": [endpoint("Two", "c")] },
    ]));
    assert_eq!(told(&Catalog::of(&catalog, Some("Two"), &[]).expect("named")).len(), 2);
    let one = Catalog::of(&catalog, Some("One"), &[]).expect("named");
    assert_eq!(told(&one), ["Glance image http://a:9292"]);
    assert_eq!(one.left_out.first().map(|left| left.why.as_str()), Some("it has no endpoint in this region"));
    let error = |region| Catalog::of(&catalog, region, &[]).expect_err("unclear").to_string();
    assert!(error(None).contains("several regions: One, Two; say which with --region"), "{}", error(None));
    assert!(error(Some("Three")).contains("no region \"Three\"; it has: One, Two"));
}

#[test]
fn names_are_such_that_a_scope_can_say_them() {
    for (name, kind, expected) in [
        ("nova", "compute", "Nova"),
        ("cinderv3", "volumev3", "Cinder"),
        ("heat-cfn", "cloudformation", "Heat-cfn"),
        ("Image Service", "image", "Image Service"),
        ("s3", "s3", "S3"),
        ("", "image", "image"),
        ("a:b", "image", "image"),
        ("prime", "image", "Prime"),
        ("überall", "image", "Überall"),
    ] {
        let entry = Entry { kind: kind.to_owned(), name: name.to_owned(), endpoints: Vec::new() };
        assert_eq!(super::name(&entry), expected, "{name}");
    }
}
