//! A head of about 800 bytes, as browsers and API clients send.

use std::net::SocketAddr;

/// With the first lines about 800 bytes.
pub fn headers() -> [(&'static str, String); 6] {
    [
        ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0".to_owned()),
        ("Accept", "application/json, text/html;q=0.9, */*;q=0.8".to_owned()),
        ("Accept-Language", "en-GB,en;q=0.7,de;q=0.3".to_owned()),
        ("X-Auth-Token", "g".repeat(255)),
        ("Cookie", format!("session={}; theme=light", "0123456789abcdef".repeat(12))),
        ("X-Client-Name", "an ordinary client that knows nothing of sites".to_owned()),
    ]
}

/// A whole head; `length` is that of the body.
pub fn request(method: &str, path: &str, host: SocketAddr, length: Option<u64>) -> String {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n");
    for (name, value) in headers() {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if let Some(length) = length {
        head.push_str(&format!("Content-Length: {length}\r\n"));
    }
    head + "\r\n"
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_head_has_about_800_bytes() {
        let head = super::request("GET", "/v1/servers", ([10, 77, 1, 1], 8080).into(), None);
        assert!((700..900).contains(&head.len()), "{}", head.len());
    }
}
