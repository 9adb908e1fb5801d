use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::*;
use crate::config::Probes;

mod revoked;
mod seal;

fn berlin() -> PeerIdentity {
    PeerIdentity { federation: "edge".to_owned(), site: "Berlin".into(), host: "b1".into() }
}

fn authority() -> Authority {
    Authority::new("edge", Validity::days(1)).expect("an authority")
}

fn ago(seconds: u64) -> SystemTime {
    SystemTime::now() - Duration::from_secs(seconds)
}

struct Files {
    dir: tempfile::TempDir,
}

impl Files {
    fn new(ca: &str, issued: &Issued) -> Self {
        let files = Self { dir: tempfile::tempdir().expect("a directory") };
        files.write("ca.pem", ca, 0o644);
        files.write("cert.pem", &issued.certificate, 0o644);
        files.write("key.pem", &issued.key, 0o600);
        files
    }

    fn good() -> Self {
        let authority = authority();
        Self::new(authority.certificate(), &authority.issue(&berlin(), Validity::days(1)).expect("a certificate"))
    }

    fn write(&self, name: &str, content: &str, mode: u32) {
        let path = self.dir.path().join(name);
        std::fs::write(&path, content).expect("a file");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("a mode");
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn load(&self) -> Result<Trust, TrustError> {
        Trust::load(berlin(), &self.path("ca.pem"), &self.path("cert.pem"), &self.path("key.pem"), Arc::default())
    }

    /// The error, whose text must name the file and the reason.
    fn error(&self, file: &str, reason: &str) -> TrustError {
        let error = self.load().expect_err("an error");
        let text = error.to_string();
        assert!(text.contains(file) && text.contains(reason), "{text}");
        error
    }
}

#[test]
fn good_files_load() {
    let trust = Files::good().load().expect("good files");
    assert_eq!(trust.identity, berlin());
    assert!(trust.not_after > 0);
}

#[test]
fn an_authority_survives_its_files() {
    let first = authority();
    let again = Authority::from_pem(first.certificate(), &first.key()).expect("the same authority");
    let issued = again.issue(&berlin(), Validity::days(1)).expect("a certificate");
    Files::new(first.certificate(), &issued).load().expect("its certificate is of the first");
}

#[test]
fn an_expired_certificate_is_refused() {
    let authority = authority();
    let validity = Validity { not_before: ago(7200), not_after: ago(3600) };
    let files = Files::new(authority.certificate(), &authority.issue(&berlin(), validity).expect("a certificate"));
    assert!(matches!(files.error("cert.pem", "expired at"), TrustError::Expired { .. }));
}

#[test]
fn a_certificate_of_the_future_is_refused() {
    let authority = authority();
    let validity = Validity {
        not_before: SystemTime::now() + Duration::from_secs(3600),
        not_after: ago(0) + Duration::from_secs(7200),
    };
    let files = Files::new(authority.certificate(), &authority.issue(&berlin(), validity).expect("a certificate"));
    assert!(matches!(files.error("cert.pem", "clock"), TrustError::NotYetValid { .. }));
}

#[test]
fn a_certificate_of_another_authority_is_refused() {
    let files = Files::new(authority().certificate(), &authority().issue(&berlin(), Validity::days(1)).expect("one"));
    assert!(matches!(files.error("ca.pem", "is not signed by"), TrustError::WrongAuthority { .. }));
}

#[test]
fn a_certificate_of_another_host_is_refused() {
    let authority = authority();
    let other = PeerIdentity { host: "b2".into(), ..berlin() };
    let files =
        Files::new(authority.certificate(), &authority.issue(&other, Validity::days(1)).expect("a certificate"));
    assert!(matches!(files.error("cert.pem", "cheops://edge/Berlin/b2"), TrustError::NotOurs { .. }));
}

#[test]
fn the_authority_itself_is_no_host() {
    let (authority, files) = (authority(), Files::good());
    files.write("ca.pem", authority.certificate(), 0o644);
    files.write("cert.pem", authority.certificate(), 0o644);
    assert!(matches!(files.error("cert.pem", "no name cheops://"), TrustError::Identity { .. }));
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let files = Files::good();
    let key = std::fs::read_to_string(files.path("key.pem")).expect("the key");
    files.write("key.pem", &key, 0o644);
    assert!(matches!(files.error("key.pem", "chmod"), TrustError::KeyExposed { mode: 0o644, .. }));
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let files = Files::good();
    let other = authority().issue(&berlin(), Validity::days(1)).expect("a certificate");
    files.write("key.pem", &other.key, 0o600);
    assert!(matches!(files.error("key.pem", "is not the key of"), TrustError::KeyMismatch { .. }));
}

#[test]
fn files_that_are_absent_or_hold_something_else_are_named() {
    for (name, mode) in [("ca.pem", 0o644), ("cert.pem", 0o644), ("key.pem", 0o600)] {
        let files = Files::good();
        std::fs::remove_file(files.path(name)).expect("removed");
        assert!(matches!(files.error(name, "can't read"), TrustError::Read { .. }));
        for content in ["", "no PEM", "-----BEGIN CERTIFICATE-----\nZZZ\n"] {
            files.write(name, content, mode);
            assert!(matches!(files.error(name, "in PEM form"), TrustError::NoPem { .. }), "{name}: {content}");
        }
    }
}

#[test]
fn names_survive_the_uri() {
    for (site, host) in [("Berlin", "b1"), ("São Paulo", "host.example"), ("a/b", "%2f"), ("é,;?#", "x")] {
        let identity = PeerIdentity { federation: "f/1".to_owned(), site: site.into(), host: host.into() };
        assert!(identity.to_uri().is_ascii());
        assert_eq!(PeerIdentity::from_uri(&identity.to_uri()), Some(identity));
    }
    for bad in
        ["", "cheops://", "cheops://a/b", "cheops://a/b/", "cheops://a/b/c/d", "http://a/b/c", "cheops://a/%ff/c"]
    {
        assert_eq!(PeerIdentity::from_uri(bad), None, "{bad}");
    }
}

#[test]
fn plain_text_is_for_loopback_only() {
    use crate::config::PeerConfig;
    let check = |listen: &str, peers: &[&str]| {
        let peer = PeerConfig {
            listen: listen.parse().expect("an address"),
            security: crate::config::PeerSecurity::Insecure,
            certificate_life: Duration::from_secs(1),
            probes: Probes::default(),
        };
        super::load::insecure(peer.listen, peers.iter().copied())
    };
    assert!(check("127.0.0.1:7117", &["127.0.0.2:7117", "[::1]:7117"]).is_ok());
    for (listen, peers) in [
        ("10.0.0.1:7117", &["127.0.0.2:7117"][..]),
        ("0.0.0.0:7117", &[]),
        ("127.0.0.1:7117", &["10.0.0.2:7117"]),
        ("127.0.0.1:7117", &["localhost:7117"]),
    ] {
        assert!(matches!(check(listen, peers), Err(TrustError::InsecureAddress(_))), "{listen} {peers:?}");
    }
}

#[test]
fn paths_in_errors_are_whole() {
    let missing = Path::new("/nonexistent/cheops/ca.pem");
    let error = Trust::load(berlin(), missing, missing, missing, Arc::default()).expect_err("an error");
    assert!(error.to_string().contains("/nonexistent/cheops/ca.pem"));
}

#[test]
fn a_request_is_signed_for_whom_the_authority_says() {
    let (authority, wanted) = (authority(), Wanted::new().expect("a key"));
    let certificate = authority.sign(&berlin(), &wanted.request, Validity::days(1)).expect("a certificate");
    Files::new(authority.certificate(), &Issued { certificate, key: wanted.key }).load().expect("good files");
    let cut = wanted.request.replacen("MIH", "MIG", 1);
    assert!(authority.sign(&berlin(), &cut, Validity::days(1)).is_err());
}

#[test]
fn a_certificate_tells_when_it_was_issued_and_by_whom() {
    let now = || u64::try_from(SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after").as_millis());
    let before = now().expect("a time");
    let files = Files::good();
    let trust = files.load().expect("good files");
    assert!((before..=now().expect("a time")).contains(&trust.shown.issued), "{:?}", trust.shown);
    assert_eq!(trust.facts().authority, fingerprint(&trust.authorities[0]));
    assert_eq!((trust.shown.serial.len(), &trust.shown.serial[..2]), (32, "43"));
    assert_eq!(trust.facts().expires / 1000, u64::try_from(trust.not_after).expect("after 1970"));
}
