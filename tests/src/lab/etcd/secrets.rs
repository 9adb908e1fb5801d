//! Certificates and passwords of a cluster and its clients.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};

use crate::lab::Host;

/// Of etcd's own root.
pub(super) const PASSWORD: &str = "lab";

/// In the cluster's directory: `ca.pem`, and for each site `<site>.pem`, `<site>.key`, `<site>.password`.
pub(super) struct Secrets {
    passwords: BTreeMap<String, String>,
}

impl Secrets {
    /// Writes them for each host's site, and for `root`.
    pub(super) fn write(directory: &Path, hosts: &[Host]) -> anyhow::Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "etcd of the lab");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate()?;
        std::fs::write(directory.join("ca.pem"), params.self_signed(&key)?.pem())?;
        let issuer = Issuer::new(params, key);
        let mut passwords = BTreeMap::new();
        certificate(directory, "root", None, &issuer)?;
        for host in hosts {
            certificate(directory, host.site(), Some(host), &issuer)?;
            let password = format!("password-of-{}", host.site());
            secret(&directory.join(format!("{}.password", host.site())), &format!("{password}\n"))?;
            passwords.insert(host.site().to_owned(), password);
        }
        Ok(Self { passwords })
    }

    pub(super) fn password(&self, site: &str) -> &str {
        self.passwords.get(site).map_or("", String::as_str)
    }
}

/// One that serves as a server's and as a client's.
fn certificate(directory: &Path, name: &str, host: Option<&Host>, issuer: &Issuer<'_, KeyPair>) -> anyhow::Result<()> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.subject_alt_names.extend(host.map(|host| SanType::IpAddress(host.ipv4().into())));
    let key = KeyPair::generate()?;
    std::fs::write(directory.join(format!("{name}.pem")), params.signed_by(&key, issuer)?.pem())?;
    secret(&directory.join(format!("{name}.key")), &key.serialize_pem())
}

fn secret(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text)?;
    Ok(std::fs::set_permissions(path, Permissions::from_mode(0o600))?)
}
