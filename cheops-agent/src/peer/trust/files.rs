//! Files that are there whole or not at all.

use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Writes a file in the place of the one that is there. It survives a crash of the host as the one or as the other.
///
/// # Errors
/// When the directory can't be written in.
pub fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let directory = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut file =
        tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(mode)).tempfile_in(directory)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    sync(directory)
}

/// Has a directory's names survive a crash of the host.
///
/// # Errors
/// When it can't be opened.
pub fn sync(directory: &Path) -> io::Result<()> {
    std::fs::File::open(directory)?.sync_all()
}
