//! Where the programs of a proof run, and what they must not see (spec: Safety, isolated validation).

use std::path::{Path, PathBuf};

use super::shadow::Shadow;
use super::shadow::builds::Builder;
use crate::config::Config;
use crate::redact;
use crate::tools::sandbox::Room;

/// Bytes of a file of variables that are read.
const VARIABLES_BYTES_MAX: u64 = 256_000;

/// The room of one that builds in the shadow.
pub(super) fn room(config: &Config, shadow: &Shadow, builder: Builder) -> Room {
    let workspace = shadow.workspace();
    let own = shadow.furnish(builder).unwrap_or_else(|error| {
        tracing::warn!(%error, "programs of a proof have no home");
        shadow.own(builder)
    });
    if let Err(error) = shadow.clear_guests() {
        tracing::warn!(%error, "plugins have no folders of their own");
    }
    let mut readable = shadow.neighbours().to_vec();
    readable.extend(
        config
            .proof
            .readable
            .iter()
            .map(|path| workspace.join(path)),
    );
    readable.extend([workspace.to_owned(), shadow.repositories()]);
    Room {
        tree: shadow.tree().to_owned(),
        scratch: shadow.scratch(),
        own,
        guests: shadow.guests(),
        writable: shadow.writable(builder),
        readable,
        secrets: shadow.secrets().to_vec(),
        confined: !config.proof.unconfined,
        local_sockets: config.proof.local_sockets,
        variables: shadow.environment(builder),
    }
}

/// Secret values in the files of variables (`.env`) of a workspace: should one get out all the same, it is masked.
pub(super) fn secrets(shadow: &Shadow) -> Vec<String> {
    let is_of_variables = |path: &&Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(".env") || name.ends_with(".env")
    };
    let is_small = |path: &&Path| {
        let metadata = path.metadata();
        metadata.is_ok_and(|metadata| metadata.is_file() && metadata.len() <= VARIABLES_BYTES_MAX)
    };
    let files = shadow.secrets().iter().map(PathBuf::as_path);
    let files = files.filter(is_of_variables).filter(is_small);
    let texts = files.filter_map(|path| std::fs::read_to_string(path).ok());
    texts
        .flat_map(|text| redact::secret_variables(&text))
        .collect()
}
