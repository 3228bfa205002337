//! The store's file: its tables, its format number and how it is opened (spec: Storage Layer).
//!
//! Several processes may have the file open at once: an editor window and the command line write to one journal, each
//! transaction by itself. A file that is damaged is put aside, never deleted.

use std::path::{Path, PathBuf};

use redb::{
    Builder, ConcurrencyMode, Database, DatabaseError, ReadableTable, StorageError,
    TableDefinition, WriteTransaction,
};

use super::Error;

/// Format of the tables. A file of a newer format is left alone.
pub(super) const FORMAT: u64 = 1;

/// Bytes of the file that redb may keep in memory.
const CACHE_BYTES_MAX: usize = 8 << 20;

/// Facts about the file: [`META_FORMAT`], [`META_JOURNAL`], [`META_HEAD`], [`META_BASE`].
pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// The journal: records by sequence number.
pub(super) const JOURNAL: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("journal");

/// Key of the format number in [`META`].
pub(super) const META_FORMAT: &str = "format";
/// Key of the journal's name, 16 random bytes, in [`META`].
pub(super) const META_JOURNAL: &str = "journal";
/// Key of the journal's head in [`META`].
pub(super) const META_HEAD: &str = "head";
/// Key of the last record that was removed with all before it, in [`META`].
pub(super) const META_BASE: &str = "base";
/// Key of the moment of the last look for records that are not to be kept, in [`META`].
pub(super) const META_LOOKED: &str = "looked";

/// An open file.
#[derive(Debug)]
pub(super) struct Opened {
    pub database: Database,
    /// Name of the journal in it.
    pub journal: [u8; 16],
    /// Where an earlier, damaged file went.
    pub set_aside: Option<PathBuf>,
    /// Whether the journal was begun by this opening.
    pub fresh: bool,
}

/// Opens the file and brings its tables to the present format. A damaged file is renamed and a fresh one begun, which
/// goes on with the journal of that name if there is one.
pub(super) fn open(path: &Path, journal: Option<[u8; 16]>) -> Result<Opened, Error> {
    match open_sound(path, journal) {
        Err(Error::Damaged(_)) => {
            let aside = put_aside(path)?;
            let opened = open_sound(path, journal)?;
            Ok(Opened {
                set_aside: Some(aside),
                ..opened
            })
        }
        other => other,
    }
}

fn open_sound(path: &Path, journal: Option<[u8; 16]>) -> Result<Opened, Error> {
    let mut builder = Builder::new();
    builder
        .set_cache_size(CACHE_BYTES_MAX)
        .set_concurrency_mode(ConcurrencyMode::MultiWriter)
        .set_check_integrity_on_open(true);
    let database = builder.create(path).map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            Error::Unavailable("another program has the store open".to_owned())
        }
        DatabaseError::Storage(error) => storage(path, error),
        other => Error::Damaged(other.to_string()),
    })?;
    let (journal, fresh) = prepare(&database, journal)?;
    Ok(Opened {
        database,
        journal,
        set_aside: None,
        fresh,
    })
}

/// An input or output error of the machine is no damage of the file, except that the file is cut short.
fn storage(path: &Path, error: StorageError) -> Error {
    match error {
        StorageError::Io(source)
            if !matches!(
                source.kind(),
                std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof
            ) =>
        {
            Error::Io {
                path: path.to_owned(),
                source,
            }
        }
        other => Error::Damaged(other.to_string()),
    }
}

/// Makes the tables of a fresh file, or brings those of an older format up to date.
fn prepare(database: &Database, name: Option<[u8; 16]>) -> Result<([u8; 16], bool), Error> {
    let transaction = database.begin_write()?;
    let (journal, fresh) = {
        let mut meta = transaction.open_table(META)?;
        transaction.open_table(JOURNAL)?;
        let format = meta
            .get(META_FORMAT)?
            .map(|value| number(value.value()))
            .transpose()?;
        match format {
            Some(FORMAT) => {}
            Some(found) if found > FORMAT => return Err(Error::Newer { found }),
            Some(found) => migrate(&transaction, found)?,
            None => {
                meta.insert(META_FORMAT, FORMAT.to_be_bytes().as_slice())?;
            }
        }
        let known: Option<[u8; 16]> = meta
            .get(META_JOURNAL)?
            .and_then(|value| value.value().try_into().ok());
        let journal = known.or(name).map_or_else(super::random, Ok)?;
        if known.is_none() {
            meta.insert(META_JOURNAL, journal.as_slice())?;
        }
        (journal, known.is_none())
    };
    if fresh {
        transaction.commit()?;
    } else {
        transaction.abort()?;
    }
    Ok((journal, fresh))
}

/// Brings the tables from an older format to the next ones. There is no older format than the present one.
fn migrate(_transaction: &WriteTransaction, found: u64) -> Result<(), Error> {
    Err(Error::Damaged(format!("format {found} never existed")))
}

fn number(bytes: &[u8]) -> Result<u64, Error> {
    bytes
        .try_into()
        .map(u64::from_be_bytes)
        .map_err(|_| Error::Damaged("the format number cannot be read".to_owned()))
}

fn put_aside(path: &Path) -> Result<PathBuf, Error> {
    let aside = path.with_extension(format!(
        "damaged-{}-{:08x}",
        super::now() / 1_000,
        super::salt()
    ));
    std::fs::rename(path, &aside).map_err(|source| Error::Io {
        path: path.to_owned(),
        source,
    })?;
    Ok(aside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_a_newer_format_is_left_alone() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("store.redb");
        let opened = open(&path, None).expect("opened");
        assert!(opened.fresh);
        let transaction = opened.database.begin_write().expect("a transaction");
        transaction
            .open_table(META)
            .expect("the table")
            .insert(META_FORMAT, (FORMAT + 1).to_be_bytes().as_slice())
            .expect("inserted");
        transaction.commit().expect("committed");
        drop(opened);
        for _ in 0..2 {
            let error = open(&path, None).expect_err("a newer format");
            assert!(matches!(error, Error::Newer { found } if found == FORMAT + 1));
        }
        let names = std::fs::read_dir(folder.path()).expect("readable").count();
        assert_eq!(names, 1, "nothing was put aside");
    }
}
