//! Path prefixes of endpoints: matched raw, swapped when forwarding.

use super::*;

#[test]
fn prefixes_match_raw_at_segment_boundaries_and_only_in_one_reading() {
    let fixture = Fixture::new();
    let at = |target: &str| {
        target::addressed(&fixture.snapshot, orig("10.0.0.1:90"), target).map(|found| found.service.name.to_string())
    };
    for target in [
        "/image",
        "/image/",
        "/image/a/b",
        "/image?x=/volume",
        "http://h/image/1",
        "/image/a/../b",
        "/image/./a",
        "/image//a",
        "/image/%2e%2e/image/b",
        "/image/a%2fb",
        "/image/%zz",
        "/image/..a",
    ] {
        assert_eq!(at(target).as_deref(), Ok("Glance"), "{target}");
    }
    for target in [
        "/image/../volume",
        "/image/%2e%2e/volume",
        "/image/%2E./volume/x",
        "/image%2f..%2fvolume",
        "//image/a",
        "/./image/a",
        "/%69mage/a",
        "/image/..%2fvolume",
        "/image/a/..//../volume",
        "/image/..",
        "/image/%252e%252e/volume",
        "/volume/../image",
        "/x/../image",
        "/image/..;x/volume",
        "/image\\..\\volume",
        "/image/..\\volume",
    ] {
        assert_eq!(at(target), Err(target::TargetError::Ambiguous), "{target}");
    }
    for target in ["/", "/images", "/imag", "/Image", "/other/image", "http://h", "*"] {
        assert_eq!(at(target), Err(target::TargetError::NoPrefix), "{target}");
    }
    for target in ["", "h:90", "image", "x y://a/image"] {
        assert_eq!(at(target), Err(target::TargetError::NoPath), "{target}");
    }
    // a service without prefix beside one with: the longest prefix wins
    let both = |target: &str| {
        target::addressed(&fixture.snapshot, orig("10.0.1.1:90"), target).map(|found| found.service.name.to_string())
    };
    assert_eq!(both("/v/img/1").as_deref(), Ok("Glance"));
    assert_eq!(both("/v/images").as_deref(), Ok("Cinder"));
    assert_eq!(both("*").as_deref(), Ok("Cinder"));
    assert_eq!(both("/x/../v/img/1"), Err(target::TargetError::Ambiguous));
    // where no prefix tells services apart, every path is the one service's
    let nova = target::addressed(&fixture.snapshot, orig(BERLIN), "/a/../%2e%2e//b").expect("Nova");
    assert_eq!(nova.service.name.as_str(), "Nova");
}

#[test]
fn a_peers_path_stays_behind_the_prefix_in_every_reading() {
    for (path, prefix, fits) in [
        ("/image/a", "/image", true),
        ("/image", "/image", true),
        ("/image//a/../b", "/image", true),
        ("/image/../volume", "/image", false),
        ("/image/%2e%2e/volume", "/image", false),
        ("/image/..", "/image", false),
        ("/images", "/image", false),
        ("/a/../../b", "", true),
    ] {
        assert_eq!(target::fits(path, prefix), fits, "{path} {prefix}");
    }
}

#[test]
fn the_profile_sees_the_path_behind_the_prefix() {
    let fixture = Fixture::new();
    let plan = plan(by_header(&fixture, "10.0.0.1:90", "GET", "/image/v2/images/7?x=1", "{Glance: Paris}"));
    assert_eq!((plan.kind.as_deref(), plan.id.as_deref(), plan.op), (Some("images"), Some("7"), OpKind::Read));
    assert_eq!((plan.prefix.as_str(), plan.authority.as_str()), ("/image", "10.0.0.1:90"));
    assert_eq!(plan.route.destinations()[0].prefix, "/v/img");
}
