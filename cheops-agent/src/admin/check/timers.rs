//! Asks members of the metadata cluster for their timers. etcd's API doesn't tell them; its variables have the command
//! line that it was started with, where flags may stand. Those of its environment or its file stay unknown.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use serde_json::Value;

use crate::metadata::cluster::{Cluster, Timers};

/// For each step of a question: this is asked while somebody waits.
const PATIENCE: Duration = Duration::from_secs(1);
/// Of an answer that goes on and on, the rest is left unread.
const LONGEST: u64 = 1 << 20;
/// Members that are asked: a cluster has no more.
const MOST: usize = 9;

/// The cluster with what its members tell of their timers. Only members that talk without TLS are asked.
pub fn told(cluster: &Cluster) -> Cluster {
    let mut cluster = cluster.clone();
    for member in cluster.members.iter_mut().take(MOST).filter(|member| member.timers.is_none()) {
        let plain = member.urls.iter().filter_map(|url| url.strip_prefix("http://"));
        member.timers = plain.filter_map(|authority| by_variables(&variables(authority)?)).next();
    }
    cluster
}

fn variables(authority: &str) -> Option<String> {
    let authority = authority.split('/').next()?;
    let address = authority.to_socket_addrs().ok()?.next()?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    // HTTP/1.0: the answer ends with the connection, and has no chunks.
    stream.write_all(format!("GET /debug/vars HTTP/1.0\r\nHost: {authority}\r\n\r\n").as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.take(LONGEST).read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8(answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.split(' ').nth(1).filter(|status| *status == "200").map(|_| body.to_owned())
}

/// The timers on a command line, both or none; a flag that isn't there has etcd's own value.
fn by_variables(document: &str) -> Option<Timers> {
    let document: Value = serde_json::from_str(document).ok()?;
    let line: Vec<&str> = document.get("cmdline")?.as_array()?.iter().filter_map(Value::as_str).collect();
    let flag = |name: &str| {
        let mut words = line.iter().map(|word| word.trim_start_matches('-'));
        let value = loop {
            let word = words.next()?;
            if word == name {
                break words.next()?;
            }
            if let Some(value) = word.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')) {
                break value;
            }
        };
        value.parse().ok().map(Duration::from_millis)
    };
    let (heartbeat, election) = (flag("heartbeat-interval"), flag("election-timeout"));
    let own = Timers::default();
    (heartbeat.is_some() || election.is_some())
        .then(|| Timers { heartbeat: heartbeat.unwrap_or(own.heartbeat), election: election.unwrap_or(own.election) })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::metadata::cluster::Member;

    fn ms(heartbeat: u64, election: u64) -> Option<Timers> {
        Some(Timers { heartbeat: Duration::from_millis(heartbeat), election: Duration::from_millis(election) })
    }

    #[test]
    fn flags_are_found_as_they_are_written() {
        for (line, expected) in [
            (r#"["etcd","--heartbeat-interval","50","--election-timeout=700"]"#, ms(50, 700)),
            (r#"["etcd","-election-timeout","2000"]"#, ms(100, 2000)),
            (r#"["etcd","--heartbeat-interval=20"]"#, ms(20, 1000)),
            (r#"["etcd","--name","m1"]"#, None),
            (r#"["etcd","--heartbeat-interval"]"#, None),
            (r#"["etcd","--heartbeat-interval","soon"]"#, None),
            (r#""etcd""#, None),
        ] {
            assert_eq!(by_variables(&format!("{{\"cmdline\": {line}, \"memstats\": {{}}}}")), expected, "{line}");
        }
        assert_eq!(by_variables("not JSON"), None);
    }

    #[test]
    fn a_member_is_asked_and_a_silent_one_is_not_waited_for() {
        let member = TcpListener::bind("127.0.0.1:0").expect("a port");
        let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = |listener: &TcpListener| format!("http://{}", listener.local_addr().expect("bound"));
        let of = |name: &str, urls: Vec<String>| Member { name: name.into(), urls, ..Member::default() };
        let members = vec![
            of("m0", vec![format!("{}/", url(&member))]),
            of("m1", vec![url(&silent)]),
            of("m2", vec!["https://127.0.0.1:1".into(), "nonsense".into()]),
        ];
        let answers = std::thread::spawn(move || {
            let (mut stream, _) = member.accept().expect("asked");
            let mut asked = [0; 1024];
            let length = stream.read(&mut asked).expect("a question");
            assert!(asked[..length].starts_with(b"GET /debug/vars HTTP/1.0\r\n"));
            let answer = "HTTP/1.0 200 OK\r\nA: b\r\n\r\n{\"cmdline\":[\"etcd\",\"--heartbeat-interval=20\"]}";
            stream.write_all(answer.as_bytes()).expect("taken");
        });
        let cluster = told(&Cluster { members, leader: None });
        answers.join().expect("no panic");
        let timers: Vec<_> = cluster.members.iter().map(|member| member.timers).collect();
        assert_eq!(timers, [ms(20, 1000), None, None]);
    }
}
