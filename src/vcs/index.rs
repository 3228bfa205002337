//! Changes the index, entry by entry (spec: Git Tool).
//!
//! Under the lock that git itself takes, from reading to writing: nothing that the user stages meanwhile is lost.

use std::collections::BTreeMap;

use gix::bstr::BStr;
use gix::index::entry::{Flags, Mode, Stage, Stat};
use gix::lock::acquire::Fail;
use gix::objs::tree::EntryKind;

use super::commit::Stored;
use super::repository::{Error, failed};

/// Stages what `change` makes of the index, path by path, and writes it.
pub(super) fn change(
    repository: &gix::Repository,
    change: impl FnOnce(&gix::index::File) -> Result<BTreeMap<Vec<u8>, Stored>, Error>,
) -> Result<(), Error> {
    let path = repository.index_path();
    let lock = gix::lock::File::acquire_to_update_resource(&path, Fail::Immediately, None, 0);
    let mut lock = std::io::BufWriter::new(lock.map_err(failed)?);
    let mut index = if path.exists() {
        repository.open_index().map_err(failed)?
    } else {
        let empty = gix::index::State::new(repository.object_hash());
        gix::index::File::from_state(empty, path)
    };
    if index.link().is_some() || index.is_sparse() {
        let said = "the index is split or sparse; `git add` the files by hand";
        return Err(Error::Unfit(said.to_owned()));
    }
    let goals = change(&index)?;
    set(&mut index, goals);
    // It would still say what the folders were before.
    index.remove_tree();
    let options = gix::index::write::Options::default();
    index.write_to(&mut lock, options).map_err(failed)?;
    let lock = lock.into_inner().map_err(failed)?;
    lock.commit().map_err(failed)?;
    Ok(())
}

/// What is staged at a path.
pub(super) fn entry(index: &gix::index::File, path: &[u8]) -> Stored {
    let entry = index.entry_by_path(BStr::new(path))?;
    let kind = entry.mode.to_tree_entry_mode()?.kind();
    Some((kind, entry.id))
}

/// Stages something else at these paths, or nothing. What is there already stays as it is, with what git remembers of it.
fn set(index: &mut gix::index::File, mut goals: BTreeMap<Vec<u8>, Stored>) {
    goals.retain(|path, goal| goal.is_none() || *goal != entry(index, path));
    index.remove_entries(|_, path, _| goals.contains_key::<[u8]>(path));
    for (path, goal) in &goals {
        let Some((kind, id)) = *goal else { continue };
        let mode = match kind {
            EntryKind::BlobExecutable => Mode::FILE_EXECUTABLE,
            EntryKind::Link => Mode::SYMLINK,
            EntryKind::Blob | EntryKind::Tree | EntryKind::Commit => Mode::FILE,
        };
        let flags = Flags::from_stage(Stage::Unconflicted);
        index.dangerously_push_entry(Stat::default(), id, flags, mode, BStr::new(path));
    }
    index.sort_entries();
}
