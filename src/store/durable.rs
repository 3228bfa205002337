//! Writes small files of the state folder so that a kill or a power cut leaves the old or the new content, never half
//! (spec: Audit Storage).

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use crate::config::file;

/// Makes a folder of ours and its parents; only the user may look into it.
pub fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(folder)
}

/// Creates or replaces a file of ours: written beside its place, flushed to the disk, moved into place.
pub fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    write_one_of_many(path, content)?;
    sync_parent(path)
}

/// [`write`] of one of many files in a folder, which whoever writes them flushes at the end with [`sync_parent`].
pub fn write_one_of_many(path: &Path, content: &[u8]) -> io::Result<()> {
    let scratch = write_beside(path, content)?;
    std::fs::rename(&scratch, path).inspect_err(|_| {
        // The rename's own error is the one to tell.
        let _ = std::fs::remove_file(&scratch);
    })
}

/// Creates a file of ours unless it exists; whoever came first decides the content. Says whether it was us.
pub fn write_once(path: &Path, content: &[u8]) -> io::Result<bool> {
    let scratch = write_beside(path, content)?;
    let linked = std::fs::hard_link(&scratch, path);
    let _ = std::fs::remove_file(&scratch);
    match linked {
        Ok(()) => sync_parent(path).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// Flushes the folder that holds `path`, so that a rename or removal in it survives a power cut.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    if let Some(parent) = path.parent() {
        File::open(parent)?.sync_all()?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

fn write_beside(path: &Path, content: &[u8]) -> io::Result<std::path::PathBuf> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{:08x}.new", crate::store::salt()));
    let scratch = path.with_file_name(name);
    let mut file = file::private()
        .write(true)
        .create_new(true)
        .open(&scratch)?;
    fill(&mut file, content).inspect_err(|_| {
        // The write's own error is the one to tell.
        let _ = std::fs::remove_file(&scratch);
    })?;
    Ok(scratch)
}

fn fill(file: &mut File, content: &[u8]) -> io::Result<()> {
    file.write_all(content)?;
    file.sync_all()
}
