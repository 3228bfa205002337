//! What servers of tools run of the project itself (spec: Safety Architecture, static analysis; Plugin System).
//!
//! A server whose command line leads into the workspace runs what lies there at every start, with the variables that
//! its settings give it. So what it is started from is text that runs by itself, like a build script.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::paths;
use crate::config::host::Host;
use crate::config::mcp::McpServer;

/// Programs that run what they are given first: a folder there is one of code, not of data.
const RUNNERS: [&str; 21] = [
    "python", "pypy", "uv", "uvx", "pipx", "poetry", "hatch", "node", "npx", "npm", "pnpm", "yarn",
    "bun", "bunx", "deno", "tsx", "ruby", "go", "cargo", "sh", "bash",
];

/// Words of theirs that stand before what they are given.
const ORDERS: [&str; 7] = ["run", "exec", "tool", "dlx", "x", "start", "env"];

/// Options behind which a folder of code stands, wherever they are.
const OF_CODE: [&str; 7] = [
    "--directory",
    "--project",
    "--from",
    "--prefix",
    "--cwd",
    "--dir",
    "-C",
];

/// Endings of files that programs run, or take what they run from.
const CODE: [&str; 20] = [
    "py", "pyi", "pth", "js", "mjs", "cjs", "ts", "mts", "cts", "jsx", "tsx", "rb", "sh", "go",
    "rs", "toml", "json", "lock", "cfg", "yaml",
];

/// What servers run of a workspace.
#[derive(Debug, Clone, Default)]
pub(super) struct Started {
    scopes: Vec<(String, Scope)>,
}

/// Files of a workspace, relative to it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Scope {
    /// One file.
    File(PathBuf),
    /// Everything in a folder.
    Folder(PathBuf),
    /// Everything with one of these endings.
    Endings(Vec<String>),
}

impl Started {
    /// Reads the command lines of servers.
    pub(super) fn of(host: &Host, servers: &BTreeMap<String, McpServer>, workspace: &Path) -> Self {
        let mut scopes = Vec::new();
        for (name, server) in servers.iter().filter(|(_, server)| server.enabled) {
            let mut add = |word: &str, is_code: bool| {
                for path in inside(workspace, word) {
                    let found = scopes_of(workspace, &path, is_code);
                    scopes.extend(found.into_iter().map(|scope| (name.clone(), scope)));
                }
            };
            add(&server.command, true);
            // A folder of the workspace may be one of those where programs are looked for.
            for program in host.programs(&server.command) {
                add(&program.to_string_lossy(), true);
            }
            for (argument, is_code) in arguments(server) {
                words(argument).for_each(|word| add(word, is_code));
            }
            for (variable, value) in &server.env {
                // Where languages look for modules.
                let is_code = variable.contains("PATH") || variable.contains("LIB");
                words(value.0.expose()).for_each(|word| add(word, is_code));
            }
        }
        scopes.dedup();
        Self { scopes }
    }

    /// Why a file of the workspace runs, by its path relative to it.
    pub(super) fn why(&self, path: &Path) -> Option<String> {
        let covers = |scope: &Scope| match scope {
            Scope::File(file) => path == file,
            Scope::Folder(folder) => path.starts_with(folder),
            Scope::Endings(endings) => path
                .extension()
                .is_some_and(|end| endings.iter().any(|known| end.eq_ignore_ascii_case(known))),
        };
        let (name, _) = self.scopes.iter().find(|(_, scope)| covers(scope))?;
        Some(format!(
            "the server of tools `{name}` runs it when it starts"
        ))
    }
}

/// The arguments of a server, and of each whether a folder in it is one of code.
fn arguments(server: &McpServer) -> Vec<(&str, bool)> {
    let program = Path::new(&server.command).file_name().unwrap_or_default();
    let program = program.to_string_lossy();
    let program = program.trim_end_matches(|it: char| it.is_ascii_digit() || it == '.');
    let mut is_before = RUNNERS.contains(&program);
    let mut last = "";
    let each = server.args.iter().map(|argument| {
        let is_named = OF_CODE.contains(&last) || OF_CODE.iter().any(|it| argument.starts_with(it));
        let is_code = is_before || is_named;
        is_before &= argument.starts_with('-') || ORDERS.contains(&argument.as_str());
        last = argument;
        (argument.as_str(), is_code)
    });
    each.collect()
}

/// The words of an argument that may be paths: options have them behind `=`, lists behind `:`, scripts anywhere.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let parts = text.split(|it: char| it.is_whitespace() || "=:,;'\"()&|<>".contains(it));
    std::iter::once(text)
        .chain(parts)
        .filter(|word| !word.is_empty())
}

/// The places of a workspace that a word means, relative to it: as it is written, and where it really leads.
fn inside(workspace: &Path, word: &str) -> Vec<PathBuf> {
    let word = word.strip_prefix("file://").unwrap_or(word);
    let path = Path::new(word);
    let is_path = path.is_absolute() || word.contains('/') || word.contains('.');
    // Modules are named with dots.
    let module = (!word.contains('/')).then(|| workspace.join(word.replace('.', "/")));
    let module = module.map(|path| path.with_extension("py"));
    let module = module.filter(|path| path.is_file());
    let direct = workspace.join(path);
    let is_there = path.is_absolute() || word.contains('/') || direct.exists();
    let direct = (is_path && is_there).then_some(direct);
    let mut found = Vec::new();
    for path in direct.into_iter().chain(module) {
        for path in [paths::plain(&path), paths::resolve(&path)] {
            if let Ok(inside) = path.strip_prefix(workspace)
                && !found.contains(&inside.to_owned())
            {
                found.push(inside.to_owned());
            }
        }
    }
    found
}

/// What is run where a server is started from a place of the workspace.
fn scopes_of(workspace: &Path, path: &Path, is_code: bool) -> Vec<Scope> {
    let is_folder = workspace.join(path).is_dir();
    let is_all = path.as_os_str().is_empty();
    let endings = |all: &[&str]| Scope::Endings(all.iter().map(|end| (*end).to_owned()).collect());
    let end = path.extension().and_then(|end| end.to_str());
    let is_data = end.is_some_and(|end| !CODE.contains(&end.to_lowercase().as_str()));
    match (is_folder, is_code) {
        (true, false) => Vec::new(),
        (false, false) if is_data => Vec::new(),
        (true, true) if is_all => vec![endings(&CODE)],
        (true, true) => vec![Scope::Folder(path.to_owned())],
        (false, _) => {
            // A script has what it imports beside it, and a program in `PREFIX/bin` below its prefix.
            let beside = path.parent().unwrap_or(Path::new(""));
            let prefix = beside.parent().filter(|_| beside.ends_with("bin"));
            let beside = prefix.unwrap_or(beside);
            let around = if beside.as_os_str().is_empty() {
                end.map(|end| endings(&[end]))
            } else {
                Some(Scope::Folder(beside.to_owned()))
            };
            let file = Scope::File(path.to_owned());
            std::iter::once(file).chain(around).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A project in a folder with other names for it, and a machine that finds a program in the project.
    fn place() -> (tempfile::TempDir, PathBuf, Host) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let base = folder.path().canonicalize().expect("it exists");
        let root = base.join("work");
        for file in [
            "tools/server.py",
            "tools/lib/inner.py",
            "server.mjs",
            "pkg/mcp/serve.py",
            "web/package.json",
            ".venv/bin/python",
            "data/notes.db",
        ] {
            let path = root.join(file);
            std::fs::create_dir_all(path.parent().expect("it has one")).expect("made");
            std::fs::write(path, "").expect("written");
        }
        std::os::unix::fs::symlink(&root, base.join("link")).expect("made");
        std::os::unix::fs::symlink(root.join("tools"), root.join("short")).expect("made");
        let program = root.join(".venv/bin/python-of-mine");
        std::fs::write(&program, "").expect("written");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&program, mode).expect("changed");
        let path = root.join(".venv/bin").display().to_string();
        let environment = BTreeMap::from([("PATH".to_owned(), path)]);
        let host = Host::from_environment("/nowhere/meliora".into(), environment);
        (folder, base, host)
    }

    #[test]
    fn what_a_server_is_started_from_is_code_that_runs_by_itself() {
        let (_folder, base, host) = place();
        let root = base.join("work");
        let at = |path: &str| base.join(path).display().to_string();
        let runs = |command: &str, args: &[&str], path: &str| {
            let server = McpServer {
                command: command.to_owned(),
                args: args.iter().map(|arg| (*arg).to_owned()).collect(),
                ..McpServer::default()
            };
            let servers = BTreeMap::from([("mine".to_owned(), server)]);
            let started = Started::of(&host, &servers, &root);
            started.why(Path::new(path)).is_some()
        };
        let work = at("work");
        for (command, args, path) in [
            ("python3", [at("work/tools/server.py")], "tools/server.py"),
            (
                "python3.12",
                [at("work/tools/server.py")],
                "tools/lib/inner.py",
            ),
            ("python3", [at("work/tools/new.py")], "tools/new.py"),
            ("python3", [at("link/tools/server.py")], "tools/server.py"),
            (
                "python3",
                [at("work/short/server.py")],
                "tools/lib/inner.py",
            ),
            ("python3", [at("work/short/server.py")], "short/server.py"),
            (
                "python3",
                [at("work/x/../tools/server.py")],
                "tools/server.py",
            ),
            (
                "python3",
                ["./tools/server.py".to_owned()],
                "tools/server.py",
            ),
            ("python3", ["tools/server.py".to_owned()], "tools/server.py"),
            ("python3", ["pkg.mcp.serve".to_owned()], "pkg/mcp/serve.py"),
            ("python3", [at("work/tools")], "tools/lib/inner.py"),
            (
                "sh",
                [format!("cd {work} && node server.mjs")],
                "server.mjs",
            ),
            ("node", [at("work/server.mjs")], "src/deep/other.mjs"),
            ("uv", [format!("--directory={work}")], "pkg/mcp/serve.py"),
            ("npx", [at("work/web")], "web/src/index.ts"),
            (
                "/opt/server",
                [at("work/web/settings.json")],
                "web/settings.json",
            ),
            (
                &at("work/.venv/bin/python"),
                ["-V".to_owned()],
                ".venv/lib/site.py",
            ),
            (
                "node",
                [format!("--import=file://{work}/server.mjs")],
                "server.mjs",
            ),
            ("python-of-mine", ["-V".to_owned()], ".venv/lib/site.py"),
        ] {
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            assert!(runs(command, &args, path), "{command} {args:?} {path}");
        }
        let web = at("work/web");
        for (command, args, path) in [
            ("mcp-server-filesystem", vec![work.as_str()], "src/main.rs"),
            ("npx", vec!["-y", "@of/files", &work], "src/main.py"),
            (
                "uvx",
                vec!["mcp-server-git", "--repository", &work],
                "src/main.py",
            ),
            ("mcp-server-git", vec![&web], "web/src/index.ts"),
            ("sqlite", vec![&at("work/data/notes.db")], "data/more.py"),
            ("python3", vec![&at("other/server.py")], "tools/server.py"),
            ("python3", vec![&at("work/tools/server.py")], "src/main.py"),
            ("uv", vec!["--directory", &work, "run", "x"], "README.md"),
            ("node", vec!["-y"], "server.mjs"),
        ] {
            assert!(!runs(command, &args, path), "{command} {args:?} {path}");
        }
        let code = vec!["run", "--with", "x", "--directory", &work, "serve"];
        assert!(runs("uv", &code, "pkg/mcp/serve.py"));
    }
}
