//! Request targets and path prefixes, on raw bytes (AMENDMENTS of the design: 23). Pure.
//!
//! Services on one address are told apart by a path prefix, which matches byte for byte at a segment boundary. A target
//! that another reader might resolve to outside the prefix matches nothing.

use std::ops::Range;

/// Where the path stands in a target of origin-form or absolute-form (RFC 9112, 3.2.1, 3.2.2), without its query.
/// Nothing for `host:port`, `*`, and an absolute-form without a path.
pub fn path_range(target: &str) -> Option<Range<usize>> {
    let start = if target.starts_with('/') {
        0
    } else {
        let authority = target.find("://")? + 3;
        authority + target.get(authority..)?.find(['/', '?'])?
    };
    let rest = target.get(start..)?;
    let end = start + rest.find('?').unwrap_or(rest.len());
    rest.starts_with('/').then_some(start..end)
}

/// The path of a target; see [`path_range`].
pub fn path(target: &str) -> Option<&str> {
    target.get(path_range(target)?)
}

/// Whether `path` lies under `prefix`: empty, which every path does, or `/…` without a slash at its end.
pub fn is_under(path: &str, prefix: &str) -> bool {
    if prefix.is_empty() {
        return true;
    }
    let Some(rest) = path.strip_prefix(prefix) else { return false };
    (rest.is_empty() || rest.starts_with('/')) && !rest.starts_with("//") && !climbs(rest)
}

/// Whether a segment is `..`, or becomes one when it is decoded.
fn climbs(path: &str) -> bool {
    let is_up = |segment: &str| {
        let lower = segment.to_ascii_lowercase();
        matches!(lower.replace("%2e", ".").as_str(), "..")
            || lower.contains("%2f") && lower.replace("%2e", ".").contains("..")
    };
    path.split(['/', '\\']).any(|segment| (segment.contains("..") || segment.contains('%')) && is_up(segment))
}

/// The target with `from`, a prefix that its path lies under, replaced by `to`. Nothing when it doesn't.
pub fn swap_prefix(target: &str, from: &str, to: &str) -> Option<String> {
    let range = path_range(target)?;
    let path = target.get(range.clone())?;
    if !is_under(path, from) {
        return None;
    }
    let rest = path.get(from.len()..)?;
    let path = if to.is_empty() && !rest.starts_with('/') { format!("/{rest}") } else { format!("{to}{rest}") };
    Some([target.get(..range.start)?, &path, target.get(range.end..)?].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_in_every_form() {
        for (target, expected) in [
            ("/", Some("/")),
            ("/a/b?c=/d", Some("/a/b")),
            ("//a", Some("//a")),
            ("http://h/a?b", Some("/a")),
            ("http://h:1", None),
            ("http://h?q", None),
            ("http://h?q=/x", None),
            ("*", None),
            ("host:443", None),
            ("", None),
        ] {
            assert_eq!(path(target), expected, "{target}");
        }
    }

    #[test]
    fn a_prefix_matches_raw_bytes_at_a_segment_boundary() {
        for path in ["/image", "/image/", "/image/v2/..a", "/image/a//b", "/image/%20", "/image/a..b"] {
            assert!(is_under(path, "/image"), "{path}");
        }
        for path in [
            "/images",
            "/Image/x",
            "/im%61ge/x",
            "//image/x",
            "/image//x",
            "/./image",
            "/image/..",
            "/image/../compute",
            "/image/a/../../compute",
            "/image/%2e%2E/x",
            "/image/.%2e/x",
            "/image/..%2fx",
            "/image/a%2F..%2F..%2Fx",
            "/image/..\\x",
            "/image%2fx",
            "/",
        ] {
            assert!(!is_under(path, "/image"), "{path}");
        }
        assert!(is_under("/../anything", ""), "without a prefix nothing is kept apart");
    }

    #[test]
    fn prefixes_are_swapped_and_the_rest_is_kept() {
        for (target, from, to, expected) in [
            ("/image/v2?x=/image", "/image", "", Some("/v2?x=/image")),
            ("/image?x", "/image", "", Some("/?x")),
            ("/image", "/image", "/glance/api", Some("/glance/api")),
            ("/v2/images", "", "/image", Some("/image/v2/images")),
            ("http://h:1/image/v2", "/image", "/g", Some("http://h:1/g/v2")),
            ("/images", "/image", "/g", None),
            ("*", "", "/g", None),
        ] {
            assert_eq!(swap_prefix(target, from, to).as_deref(), expected, "{target}");
        }
    }
}
