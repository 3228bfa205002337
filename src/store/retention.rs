//! How long the journal goes back (spec: Audit Storage, retention policies).
//!
//! The oldest records go, and a mark that only the key's owner can write says up to where. The record after it names the
//! hash of the last one that went, so that the chain begins at the mark as it once began at nothing: who cuts the head
//! without the key leaves a gap. The removal is a record itself.

use redb::{ReadableDatabase, ReadableTable, WriteTransaction};

use super::chain::{Purpose, Record};
use super::journal::{self, Draft};
use super::tables::{JOURNAL, META, META_BASE, META_LOOKED};
use super::verify::{self, Mark};
use super::{Error, Files};
use crate::config::Config;
use crate::event::{Outcome, RunEvent, RunId};
use crate::redact::Redactor;

/// Milliseconds of a day.
const DAY: u64 = 24 * 60 * 60 * 1_000;

/// Records that always stay, whatever the limits say.
const RECORDS_KEPT_MIN: u64 = 100;

/// What is kept of a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Days that a record is kept; 0: for ever.
    pub days_max: u64,
    /// Bytes of records that are kept; 0: any number.
    pub bytes_max: u64,
}

impl Retention {
    /// What the settings want.
    pub fn of(config: &Config) -> Self {
        Self {
            days_max: config.audit.days_max,
            bytes_max: config.audit.megabytes_max.saturating_mul(1_000_000),
        }
    }
}

/// What was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Removed {
    /// Number of the last record that is gone.
    pub last: u64,
    /// Records that went this time.
    pub entries: u64,
}

/// Removes what is older or more than is to be kept, in one transaction; `None` when there is nothing to remove.
///
/// What would go is checked first: an entry that was altered stays, and stays visible.
pub(super) fn prune(
    files: &Files,
    retention: Retention,
    now: u64,
) -> Result<Option<Removed>, Error> {
    let transaction = files.database.begin_write()?;
    let removed = remove(files, &transaction, retention, now)?;
    transaction
        .open_table(META)?
        .insert(META_LOOKED, now.to_be_bytes().as_slice())?;
    let position = match removed {
        None => None,
        Some(removed) => {
            let told = told(removed, retention);
            Some(journal::append_in(files, &transaction, told)?)
        }
    };
    transaction.commit()?;
    if let Some(position) = position {
        journal::write_anchor(files, position)?;
    }
    Ok(removed)
}

/// Whether the last look for old records was within a day.
pub(super) fn was_looked_for(files: &Files, now: u64) -> Result<bool, Error> {
    let transaction = files.database.begin_read()?;
    let looked = transaction.open_table(META)?.get(META_LOOKED)?;
    let looked: Option<[u8; 8]> = looked.and_then(|bytes| bytes.value().try_into().ok());
    let looked = looked.map(u64::from_be_bytes);
    Ok(looked.is_some_and(|looked| looked <= now && now - looked < DAY))
}

fn remove(
    files: &Files,
    transaction: &WriteTransaction,
    retention: Retention,
    now: u64,
) -> Result<Option<Removed>, Error> {
    let mut records = transaction.open_table(JOURNAL)?;
    let Some(last) = last_to_go(&records, retention, now)? else {
        return Ok(None);
    };
    let mut meta = transaction.open_table(META)?;
    let base = Mark::read(files, &meta, META_BASE, Purpose::Base)?;
    let base = verify::check_up_to(files, &records, &base, last)?.map_err(|fault| {
        let (entry, what) = (fault.entry, fault.what);
        Error::Damaged(format!(
            "entry {entry} of the journal {what}; nothing is removed, so that it stays visible"
        ))
    })?;
    let mut entries = 0;
    records.retain_in(..=last, |_, _| {
        entries += 1;
        false
    })?;
    let base = base.encode(&files.seal, Purpose::Base);
    meta.insert(META_BASE, base.as_slice())?;
    Ok(Some(Removed { last, entries }))
}

/// The newest record that is too old or one too many; all before it go with it.
fn last_to_go(
    records: &impl ReadableTable<u64, &'static [u8]>,
    retention: Retention,
    now: u64,
) -> Result<Option<u64>, Error> {
    let age_max = retention.days_max.saturating_mul(DAY);
    let oldest = now.saturating_sub(age_max);
    let (mut bytes, mut kept) = (0_u64, 0_u64);
    for row in records.iter()?.rev() {
        let (key, record) = row?;
        bytes += record.value().len() as u64;
        let is_too_much = retention.bytes_max > 0 && bytes > retention.bytes_max;
        let is_old = |record: Record| record.milliseconds < oldest;
        let is_too_old =
            retention.days_max > 0 && Record::decode(record.value()).is_some_and(is_old);
        if kept >= RECORDS_KEPT_MIN && (is_too_much || is_too_old) {
            return Ok(Some(key.value()));
        }
        kept += 1;
    }
    Ok(None)
}

fn told(removed: Removed, retention: Retention) -> Vec<Draft> {
    let limits = [
        (retention.days_max > 0).then(|| format!("{} days", retention.days_max)),
        (retention.bytes_max > 0).then(|| format!("{} MB", retention.bytes_max / 1_000_000)),
    ];
    let limits: Vec<String> = limits.into_iter().flatten().collect();
    let reason = format!("the journal is kept for {}", limits.join(" and "));
    let events = [
        RunEvent::Started {
            kind: "audit".to_owned(),
            title: "remove old entries of the journal".to_owned(),
            workspace: std::path::PathBuf::new(),
        },
        RunEvent::Pruned {
            last: removed.last,
            reason: reason.clone(),
        },
        RunEvent::Finished(Outcome::Nothing { reason }),
    ];
    let run = RunId::new(super::now() / 1_000, 0);
    let redactor = Redactor::default();
    events
        .iter()
        .map(|event| journal::draft(&run, event, &redactor))
        .collect()
}
