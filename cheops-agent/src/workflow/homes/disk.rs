//! The table in the run directory: one line an entry, written as it is learned, so that a kill of the agent takes none
//! with it. The directory is in memory on most systems, and a line is one write of some 60 bytes.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::mark::{KEY_LENGTH, Key};
use super::{Entry, Home, Known, MOST, Tag};

/// Entries in the order in which they were learned.
type Entries = Vec<(Tag, Entry)>;

/// The files' names in the run directory.
pub(super) const TABLE: &str = "homes";
pub(super) const KEY: &str = "homes.key";
/// The first line; another version is begun anew.
const VERSION: &str = "cheops-homes 1\n";
/// More lines are written anew, without those that are outdated.
const LINES: usize = 2 * MOST;
/// Bytes that are read at most.
const BYTES: u64 = 64 << 20;

/// The file that is added to.
#[derive(Debug)]
pub(super) struct Disk {
    path: PathBuf,
    file: File,
    lines: usize,
}

/// The key, the file, and what it held, in its order.
///
/// # Errors
/// When the directory can't be used.
pub(super) fn open(directory: &Path) -> io::Result<(Key, Disk, Entries)> {
    let (key, fresh) = key(&directory.join(KEY))?;
    let path = directory.join(TABLE);
    // Under another key its tags mean nothing.
    let held = if fresh { None } else { read(&path)? };
    let disk = match &held {
        Some(held) => Disk { file: private().append(true).open(&path)?, path, lines: held.len() },
        None => Disk { file: begun(&path)?, path, lines: 0 },
    };
    Ok((key, disk, held.unwrap_or_default()))
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

/// The key, and whether it was made now.
fn key(path: &Path) -> io::Result<(Key, bool)> {
    let held = std::fs::read(path).ok().and_then(|bytes| <[u8; KEY_LENGTH]>::try_from(bytes).ok());
    if let Some(secret) = held {
        return Ok((Key::new(&secret), false));
    }
    let secret = Key::secret().map_err(|_| io::Error::other("there is no source of chance"))?;
    replace(path, &secret)?;
    Ok((Key::new(&secret), true))
}

/// The entries in their order; none if there is no table of this version.
fn read(path: &Path) -> io::Result<Option<Entries>> {
    let mut text = String::new();
    match File::open(path) {
        Ok(file) => file.take(BYTES).read_to_string(&mut text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let Some(lines) = text.strip_prefix(VERSION) else {
        tracing::warn!(table = %path.display(), "homes of credentials of another version are left");
        return Ok(None);
    };
    // What was not written whole would be continued by the next line.
    if !text.ends_with('\n') {
        private().append(true).open(path)?.write_all(b"\n")?;
    }
    Ok(Some(lines.lines().filter_map(parse).collect()))
}

fn begun(path: &Path) -> io::Result<File> {
    replace(path, VERSION.as_bytes())?;
    private().append(true).open(path)
}

/// Writes a file whole or not at all.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("new");
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    private().write(true).create_new(true).open(&fresh)?.write_all(bytes)?;
    std::fs::rename(&fresh, path)
}

impl Disk {
    /// Whether most lines may be outdated.
    pub(super) fn is_long(&self) -> bool {
        self.lines >= LINES
    }

    /// Adds a line.
    ///
    /// # Errors
    /// The file's own.
    pub(super) fn append(&mut self, tag: Tag, entry: &Entry) -> io::Result<()> {
        self.lines += 1;
        self.file.write_all(line(tag, entry).as_bytes())
    }

    /// Writes the table anew.
    ///
    /// # Errors
    /// The file's own.
    pub(super) fn rewrite<'a>(&mut self, entries: impl Iterator<Item = (&'a Tag, &'a Entry)>) -> io::Result<()> {
        let mut entries: Vec<_> = entries.collect();
        entries.sort_by_key(|(_, entry)| entry.since);
        let mut text = VERSION.to_owned();
        entries.iter().for_each(|(tag, entry)| text.push_str(&line(**tag, entry)));
        replace(&self.path, text.as_bytes())?;
        self.file = private().append(true).open(&self.path)?;
        self.lines = entries.len();
        Ok(())
    }
}

/// The tag, since when, how it is known, and the site.
fn line(tag: Tag, entry: &Entry) -> String {
    let known = word(entry.home.known);
    let site = utf8_percent_encode(entry.home.site.as_str(), NON_ALPHANUMERIC);
    format!("{} {} {known} {site}\n", tag.to_text(), entry.since)
}

fn parse(line: &str) -> Option<(Tag, Entry)> {
    let mut parts = line.split(' ');
    let (tag, since, known, site) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let known = [Known::Guessed, Known::Told, Known::Issued].into_iter().find(|one| word(*one) == known)?;
    let site = percent_decode_str(site).decode_utf8().ok().filter(|site| !site.is_empty())?;
    let home = Home { site: site.as_ref().into(), known };
    Some((Tag::from_text(tag)?, Entry { home, since: since.parse().ok()? }))
}

fn word(known: Known) -> &'static str {
    match known {
        Known::Guessed => "guessed",
        Known::Told => "told",
        Known::Issued => "issued",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn a_long_table_is_written_anew_without_what_is_outdated() {
        let directory = tempfile::tempdir().expect("a directory");
        let (key, mut disk, held) = open(directory.path()).expect("opened");
        assert!(held.is_empty());
        let tag = key.tag(&super::super::Mark::of(b"token"));
        let entry = |since| Entry { home: Home { site: "Paris".into(), known: Known::Told }, since };
        for since in 0..10 {
            disk.append(tag, &entry(since)).expect("written");
        }
        let now = HashMap::from([(tag, entry(10))]);
        disk.rewrite(now.iter()).expect("written");
        disk.append(tag, &entry(11)).expect("written");
        assert_eq!(disk.lines, 2);
        let (_, disk, held) = open(directory.path()).expect("opened");
        assert_eq!((held, disk.lines), (vec![(tag, entry(10)), (tag, entry(11))], 2));
    }
}
