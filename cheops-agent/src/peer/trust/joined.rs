//! The files of a host that has joined by command. The certificate comes last; the keys go first. A host has joined if
//! its certificate and its key are there, whatever a crash left.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::files;

/// Where the files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    pub directory: PathBuf,
    /// The authorities that are believed.
    pub ca: PathBuf,
    /// This host's certificate.
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// The authority's key, where this host signs.
    pub authority: PathBuf,
    /// What is shown to those that know only the fingerprint of an earlier authority.
    pub bridge: PathBuf,
    /// The certificate of an authority that is about to be made known, and its bridge.
    pub coming: PathBuf,
}

/// What is written; all PEM.
pub struct Content<'a> {
    pub ca: &'a str,
    pub certificate: &'a str,
    pub key: &'a str,
    pub authority: Option<&'a str>,
}

impl Joined {
    /// The files in this directory, whether they are there or not.
    pub fn at(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            ca: directory.join("ca.pem"),
            certificate: directory.join("host.pem"),
            key: directory.join("host.key"),
            authority: directory.join("authority.key"),
            bridge: directory.join(super::load::BRIDGE),
            coming: directory.join("coming.pem"),
        }
    }

    /// Whether the host has joined.
    pub fn is_whole(&self) -> bool {
        self.certificate.exists() && self.key.exists()
    }

    /// Writes everything, the certificate where it doesn't count yet; what was there before doesn't count any more.
    ///
    /// # Errors
    /// When the directory can't be written in; then the host has not joined.
    pub fn stage(&self, content: &Content<'_>) -> io::Result<()> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        remove(&self.certificate)?;
        match content.authority {
            Some(key) => files::replace(&self.authority, key.as_bytes(), 0o600)?,
            None => remove(&self.authority)?,
        }
        files::replace(&self.ca, content.ca.as_bytes(), 0o644)?;
        files::replace(&self.key, content.key.as_bytes(), 0o600)?;
        files::replace(&self.staged(), content.certificate.as_bytes(), 0o644)
    }

    /// Where a certificate is that doesn't count yet.
    pub fn staged(&self) -> PathBuf {
        self.certificate.with_extension("pem.new")
    }

    /// Has the staged certificate count: the host has joined when this returns.
    ///
    /// # Errors
    /// As [`Joined::stage`].
    pub fn take_up(&self) -> io::Result<()> {
        std::fs::rename(self.staged(), &self.certificate)?;
        files::sync(&self.directory)
    }

    /// Writes the key alone.
    ///
    /// # Errors
    /// As [`Joined::stage`].
    pub fn keep_key(&self, key: &str) -> io::Result<()> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        files::replace(&self.key, key.as_bytes(), 0o600)
    }

    /// Puts another certificate and its key in the place of those that are there.
    ///
    /// # Errors
    /// As [`Joined::stage`]; whatever was written, [`Joined::settle`] makes a pair of it.
    pub fn replace(&self, certificate: &str, key: &str) -> io::Result<()> {
        files::replace(&self.next(), key.as_bytes(), 0o600)?;
        files::replace(&self.certificate, certificate.as_bytes(), 0o644)?;
        std::fs::rename(self.next(), &self.key)
    }

    /// Finishes a replacement that a crash broke off. `fits`: whether the key in that file is the certificate's.
    ///
    /// # Errors
    /// When the directory can't be written in.
    pub fn settle(&self, fits: impl FnOnce(&Path) -> bool) -> io::Result<()> {
        let next = self.next();
        match next.exists() {
            true if fits(&next) => std::fs::rename(next, &self.key),
            true => remove(&next),
            false => Ok(()),
        }
    }

    /// Where a key is that its certificate is still to follow.
    fn next(&self) -> PathBuf {
        self.key.with_extension("key.next")
    }

    /// Takes what was prepared for another authority away.
    ///
    /// # Errors
    /// As [`Joined::write`].
    pub fn forget_coming(&self) -> io::Result<()> {
        remove(&self.coming)
    }

    /// Takes the files away: keys first, so that a crash leaves none that somebody could go on with. When this host's is
    /// gone, it has not joined any more.
    ///
    /// # Errors
    /// When the directory can't be written in.
    pub fn remove(&self) -> io::Result<()> {
        let (next, staged) = (self.next(), self.staged());
        let all = [&self.authority, &next, &self.key, &staged, &self.certificate, &self.coming, &self.bridge, &self.ca];
        all.into_iter().try_for_each(|path| remove(path))?;
        files::sync(&self.directory)
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
