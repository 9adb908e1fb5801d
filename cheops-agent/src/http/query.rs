//! The query of a target, a parameter at a time. What isn't touched keeps its bytes.

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

fn pairs(target: &str) -> impl Iterator<Item = &str> {
    target.split_once('?').map(|(_, query)| query).unwrap_or_default().split('&').filter(|pair| !pair.is_empty())
}

fn is(pair: &str, name: &str) -> bool {
    percent_decode_str(pair.split('=').next().unwrap_or_default()).decode_utf8_lossy() == name
}

/// The decoded values of a query parameter, in their order.
pub fn values(target: &str, name: &str) -> Vec<String> {
    let value = |pair: &str| {
        let raw = pair.split_once('=').map(|(_, value)| value).unwrap_or_default().replace('+', " ");
        percent_decode_str(&raw).decode_utf8_lossy().into_owned()
    };
    pairs(target).filter(|pair| is(pair, name)).map(value).collect()
}

/// The target with this parameter only once, or without it. All others stay as they are.
pub fn with(target: &str, name: &str, value: Option<&str>) -> String {
    let path = target.split('?').next().unwrap_or_default();
    let mut query: Vec<String> = pairs(target).filter(|pair| !is(pair, name)).map(str::to_owned).collect();
    query.extend(value.map(|value| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC))));
    if query.is_empty() { path.to_owned() } else { format!("{path}?{}", query.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_and_set_and_the_others_stay() {
        assert_eq!(values("/a?x=1&%78=a%20b+c&y", "x"), ["1", "a b c"]);
        assert_eq!(values("/a", "x"), [""; 0]);
        assert_eq!(with("/a?x=1&y=%2F&x=2", "x", Some("a/b")), "/a?y=%2F&x=a%2Fb");
        assert_eq!(with("/a?x=1", "x", None), "/a");
    }
}
