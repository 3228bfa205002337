//! The records of the journal and what ties each to the one before it (spec: Tamper-evident log chain).
//!
//! A record is bytes in one canonical form: version, sequence number, time, run, event, hash of the record before,
//! and a keyed code over all of it. Who changes, drops, moves or repeats a record breaks the chain; who rebuilds the
//! chain lacks the key.

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest as _, Sha256};

use crate::event::RunId;

/// Version of the record form.
const VERSION: u8 = 1;

/// A SHA-256 value.
pub(super) type Digest = [u8; 32];

/// The hash that the first record names as the one before it.
const NOTHING: Digest = [0; 32];

/// What a code is for, so that the code of one thing never passes for that of another.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    Record,
    Head,
    Anchor,
    /// Up to where old records were removed.
    Base,
    /// A mark that the user keeps elsewhere.
    Checkpoint,
}

/// The key of a journal together with the journal's name: a record of another journal does not fit.
#[derive(Clone)]
pub(super) struct Seal {
    key: Digest,
    journal: [u8; 16],
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let journal = HEXLOWER.encode(&self.journal);
        formatter
            .debug_struct("Seal")
            .field("journal", &journal)
            .finish_non_exhaustive()
    }
}

impl Seal {
    pub(super) fn new(key: Digest, journal: [u8; 16]) -> Self {
        Self { key, journal }
    }

    /// Name of the journal.
    pub(super) fn journal(&self) -> [u8; 16] {
        self.journal
    }

    /// The bytes with their code behind them.
    fn close(&self, purpose: Purpose, mut bytes: Vec<u8>) -> Vec<u8> {
        let code = self.mac(purpose, &bytes).finalize().into_bytes();
        bytes.extend_from_slice(&code);
        bytes
    }

    /// The bytes before the code, when the code fits.
    fn check<'bytes>(&self, purpose: Purpose, bytes: &'bytes [u8]) -> Option<&'bytes [u8]> {
        let (body, code) = bytes.split_last_chunk::<32>()?;
        self.mac(purpose, body).verify_slice(code).ok()?;
        Some(body)
    }

    fn mac(&self, purpose: Purpose, bytes: &[u8]) -> Hmac<Sha256> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        mac.update(&self.journal);
        mac.update(&[purpose as u8]);
        mac.update(bytes);
        mac
    }
}

/// One record of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// Number of the record, from 1, without gaps.
    pub sequence: u64,
    /// Milliseconds since the Unix epoch.
    pub milliseconds: u64,
    /// The run it belongs to.
    pub run: RunId,
    /// The event as JSON, redacted.
    pub event: String,
    /// Hash of the record before.
    pub previous: Digest,
}

impl Record {
    /// The record's canonical bytes with their code.
    pub(super) fn encode(&self, seal: &Seal) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(128 + self.event.len());
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.sequence.to_be_bytes());
        bytes.extend_from_slice(&self.milliseconds.to_be_bytes());
        for text in [&self.run.0, &self.event] {
            bytes.extend_from_slice(&(text.len() as u64).to_be_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        bytes.extend_from_slice(&self.previous);
        seal.close(Purpose::Record, bytes)
    }

    /// Reads a record without asking who wrote it; `None` when the bytes are no record of this version.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (body, _) = bytes.split_last_chunk::<32>()?;
        let (version, rest) = body.split_first()?;
        let (sequence, rest) = take_number(rest)?;
        let (milliseconds, rest) = take_number(rest)?;
        let (run, rest) = take_text(rest)?;
        let (event, rest) = take_text(rest)?;
        let previous: Digest = rest.try_into().ok()?;
        (*version == VERSION).then_some(Self {
            sequence,
            milliseconds,
            run: RunId(run),
            event,
            previous,
        })
    }

    /// Whether the bytes carry the code that only the key's owner can make.
    pub(super) fn is_genuine(seal: &Seal, bytes: &[u8]) -> bool {
        seal.check(Purpose::Record, bytes).is_some()
    }
}

/// How far the journal goes: the last record's number and hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    /// Number of the last record; 0 for an empty journal.
    pub sequence: u64,
    /// Its hash.
    pub hash: Digest,
}

impl Position {
    /// Before the first record.
    pub(super) const START: Self = Self {
        sequence: 0,
        hash: NOTHING,
    };

    pub(super) fn encode(self, seal: &Seal, purpose: Purpose) -> Vec<u8> {
        let mut bytes = self.sequence.to_be_bytes().to_vec();
        bytes.extend_from_slice(&self.hash);
        seal.close(purpose, bytes)
    }

    pub(super) fn decode(seal: &Seal, purpose: Purpose, bytes: &[u8]) -> Option<Self> {
        let (sequence, rest) = take_number(seal.check(purpose, bytes)?)?;
        let hash = rest.try_into().ok()?;
        Some(Self { sequence, hash })
    }
}

/// The hash by which the next record names this one.
pub(super) fn hash(bytes: &[u8]) -> Digest {
    Sha256::digest(bytes).into()
}

fn take_number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*number), rest))
}

fn take_text(bytes: &[u8]) -> Option<(String, &[u8])> {
    let (length, rest) = take_number(bytes)?;
    let (text, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    Some((String::from_utf8(text.to_vec()).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            sequence: 7,
            milliseconds: 1_700_000_000_000,
            run: RunId::new(1_700_000_000, 3),
            event: r#"{"event":"started"}"#.to_owned(),
            previous: [9; 32],
        }
    }

    #[test]
    fn every_flipped_bit_of_a_record_shows() {
        let seal = Seal::new([1; 32], [2; 16]);
        let bytes = record().encode(&seal);
        assert_eq!(Record::decode(&bytes), Some(record()));
        assert!(Record::is_genuine(&seal, &bytes));
        for index in 0..bytes.len() * 8 {
            let mut altered = bytes.clone();
            altered[index / 8] ^= 1 << (index % 8);
            assert!(!Record::is_genuine(&seal, &altered), "bit {index}");
        }
        for length in 0..bytes.len() {
            assert!(!Record::is_genuine(&seal, &bytes[..length]));
        }
    }

    #[test]
    fn a_record_of_another_key_journal_or_purpose_does_not_fit() {
        let seal = Seal::new([1; 32], [2; 16]);
        let bytes = record().encode(&seal);
        assert!(!Record::is_genuine(&Seal::new([3; 32], [2; 16]), &bytes));
        assert!(!Record::is_genuine(&Seal::new([1; 32], [3; 16]), &bytes));
        let position = Position {
            sequence: 4,
            hash: [5; 32],
        };
        let head = position.encode(&seal, Purpose::Head);
        assert_eq!(
            Position::decode(&seal, Purpose::Head, &head),
            Some(position)
        );
        assert_eq!(Position::decode(&seal, Purpose::Anchor, &head), None);
    }
}
