//! What the machine gives us: folders, the environment, our own executable (spec: Deployment).
//!
//! Captured once at start, so that no other code looks at the process environment.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

/// Folders, environment and executable of this process.
#[derive(Clone)]
pub struct Host {
    /// Our own executable: it starts and confines the child processes.
    pub executable: PathBuf,
    /// The user's home folder.
    pub home: PathBuf,
    /// `$XDG_CONFIG_HOME` or `~/.config`.
    pub config_home: PathBuf,
    /// `$XDG_STATE_HOME/meliora`: journals, pre-images, trust. Nothing the agent starts may write here.
    pub state: PathBuf,
    /// `$XDG_CACHE_HOME/meliora`: shadow copies and their build folders.
    pub cache: PathBuf,
    /// The environment as it was at start.
    pub environment: BTreeMap<String, String>,
    /// `KEY=VALUE` of the command line: settings above all others.
    pub settings: Vec<String>,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Host")
            .field("executable", &self.executable)
            .field("state", &self.state)
            .field("cache", &self.cache)
            .finish_non_exhaustive()
    }
}

/// What of the home folder no code of a project may read.
const HIDDEN_OF_HOME: [&str; 33] = [
    ".local/state/meliora",
    ".config/agent",
    ".ssh",
    ".gnupg",
    ".aws",
    ".azure",
    ".kube",
    ".docker",
    ".oci",
    ".boto",
    ".s3cfg",
    ".terraform.d",
    ".vault-token",
    ".cargo/credentials",
    ".cargo/credentials.toml",
    ".npmrc",
    ".pypirc",
    ".gem/credentials",
    ".bundle/config",
    ".gradle/gradle.properties",
    ".hex/hex.config",
    ".m2/settings-security.xml",
    ".m2/settings.xml",
    ".nuget/NuGet",
    ".bash_history",
    ".netrc",
    ".pgpass",
    ".git-credentials",
    ".password-store",
    ".local/share/keyrings",
    ".mozilla",
    ".thunderbird",
    "snap/firefox",
];

/// The same of the folder of settings.
const HIDDEN_OF_CONFIG: [&str; 12] = [
    "gh",
    "hub",
    "doctl",
    "rclone",
    "containers/auth.json",
    "glab-cli",
    "gcloud",
    "google-chrome",
    "chromium",
    "BraveSoftware",
    "microsoft-edge",
    "vivaldi",
];

impl Host {
    /// Reads the environment of this process.
    pub fn capture() -> std::io::Result<Self> {
        let executable = std::env::current_exe()?;
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Ok(Self::from_environment(executable, environment))
    }

    /// Derives the folders from an environment.
    pub fn from_environment(executable: PathBuf, environment: BTreeMap<String, String>) -> Self {
        let folder = |variable: &str| {
            environment
                .get(variable)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let home = folder("HOME")
            .or_else(|| folder("USERPROFILE"))
            .unwrap_or_else(|| PathBuf::from("/"));
        let config_home = folder("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config"));
        let state = folder("XDG_STATE_HOME")
            .unwrap_or_else(|| home.join(".local/state"))
            .join("meliora");
        let cache = folder("XDG_CACHE_HOME")
            .unwrap_or_else(|| home.join(".cache"))
            .join("meliora");
        Self {
            executable,
            home,
            config_home,
            state,
            cache,
            environment,
            settings: Vec::new(),
        }
    }

    /// A variable of the environment, if it is set and not empty.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.environment
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// Folders of `PATH`, in order.
    pub fn search_path(&self) -> Vec<PathBuf> {
        self.variable("PATH")
            .map(|path| std::env::split_paths(path).collect())
            .unwrap_or_default()
    }

    /// Every executable file of that name on `PATH`, in order; an absolute path stands for itself.
    pub fn programs(&self, name: &str) -> Vec<PathBuf> {
        if Path::new(name).is_absolute() {
            return vec![PathBuf::from(name)];
        }
        let mut found: Vec<PathBuf> = self
            .search_path()
            .iter()
            .map(|folder| folder.join(name))
            .filter(|path| is_executable(path))
            .collect();
        found.dedup();
        found
    }

    /// Values of environment variables whose names say that they are secret.
    pub fn secrets(&self) -> Vec<String> {
        self.environment
            .iter()
            .filter(|(name, _)| crate::redact::names_a_secret(name))
            .map(|(_, value)| value.clone())
            .collect()
    }

    /// What no code of a project may read: our own settings, kept secrets and state, and where other programs keep
    /// the user's keys, passwords and browsers.
    pub fn hidden(&self) -> Vec<PathBuf> {
        let ours = [self.state.clone(), self.config_home.join("agent")];
        let of_config = HIDDEN_OF_CONFIG.map(|name| self.config_home.join(name));
        let of_home = HIDDEN_OF_HOME.map(|name| self.home.join(name));
        ours.into_iter().chain(of_config).chain(of_home).collect()
    }

    /// Folder of what judges and restores for one workspace, outside of it.
    pub fn state_of(&self, workspace: &Path) -> PathBuf {
        self.state.join(workspace_id(workspace))
    }

    /// Folder of the sockets on which the processes that serve one workspace can be asked.
    pub fn control_folder(&self, workspace: &Path) -> PathBuf {
        let id = workspace_id(workspace);
        match self.variable("XDG_RUNTIME_DIR") {
            Some(folder) => Path::new(folder).join("meliora").join(id),
            None => self.state.join(id).join("run"),
        }
    }

    /// Folder of the shadow copy and its build folders for one workspace.
    pub fn cache_of(&self, workspace: &Path) -> PathBuf {
        self.cache.join(workspace_id(workspace))
    }
}

/// A name for a workspace: its last folder name and a digest of its canonical path.
pub fn workspace_id(workspace: &Path) -> String {
    let digest = Sha256::digest(workspace.as_os_str().as_encoded_bytes());
    let digest = HEXLOWER.encode(digest.get(..6).unwrap_or(&digest));
    let name: String = workspace
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
        .chars()
        .filter(|character| {
            character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.')
        })
        .take(40)
        .collect();
    format!("{name}-{digest}")
}

/// Whether the path is a file that can be executed.
#[cfg(unix)]
pub fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// Whether the path is a file.
#[cfg(not(unix))]
pub fn is_executable(path: &Path) -> bool {
    path.is_file()
}
