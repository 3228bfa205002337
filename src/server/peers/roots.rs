//! Which process of a server serves which folder (spec: LSP Integration, multi-root workspaces).
//!
//! A server that says that it can serve several folders gets all of them. Any other has a process for each folder, which
//! is started when a document of that folder is opened, and a document goes to the process of the innermost folder that
//! holds it. When folders come and go, documents move to the process that is theirs then, and a process whose folder is
//! gone ends.

use std::path::{Path, PathBuf};
use std::time::Instant;

use bytes::Bytes;
use serde_json::{Value, json};

use super::behind::{Behind, Home, Phase};
use crate::config::{RootStrategy, trust};
use crate::downstream::registry::Post;
use crate::downstream::roots::{innermost, root_for};
use crate::server::messages::{self, Loudness};
use crate::server::role::Role;
use crate::server::session::Session;
use crate::server::sharing::texts::Holder;
use crate::text::documents::Document;
use crate::text::json::{at, is_true, list, set, text};
use crate::text::location;

/// Processes of one server; another one takes the place of one that has no document.
const PROCESSES_MAX: usize = 16;

/// The method that tells of folders that come and go.
pub(in crate::server) const CHANGED: &str = "workspace/didChangeWorkspaceFolders";

impl Session {
    /// The folders of the workspace as they are; the root when the editor names none.
    pub(in crate::server) fn roots(&self) -> Vec<PathBuf> {
        let greeted = at(&self.greeting, "/workspaceFolders").as_array();
        let named = self.standing.folders().or(greeted.map(Vec::as_slice));
        let paths = named.unwrap_or_default().iter();
        let mut roots: Vec<PathBuf> = paths
            .filter_map(|folder| location::to_path(text(folder, "/uri")))
            .collect();
        if greeted.is_none() || roots.is_empty() {
            roots.insert(0, self.root.clone());
        }
        roots
    }

    /// Whether a process is the one of its post that serves a file; of text that is no file, the one of the first folder.
    pub(in crate::server) fn is_home(
        &self,
        server: usize,
        file: Option<&Path>,
        roots: &[PathBuf],
    ) -> bool {
        let behind = self.servers.get(server);
        behind
            .filter(|behind| !behind.is_retired)
            .is_some_and(|behind| {
                behind.serves_all()
                    || root_for(behind.model(), file, roots) == Some(behind.home.root.as_path())
            })
    }

    /// Where a process of a post that has this root is at home.
    pub(in crate::server) fn home_at(&self, post: &Post, root: &Path) -> Home {
        let roots = self.roots();
        let is_first = roots.first().is_some_and(|first| first == root);
        let cannot_share = |behind: &Behind| {
            behind.has_post(post) && !behind.answer.is_null() && !behind.serves_all()
        };
        let is_own = match post.first().root_strategy {
            RootStrategy::Single => false,
            RootStrategy::Workspace => self.servers.iter().any(cannot_share),
            RootStrategy::Folder => roots.len() > 1,
            RootStrategy::Nearest => !is_first || roots.len() > 1,
        };
        let folder = if is_first { &self.root } else { root };
        let directory = match &self.role {
            Role::Proxy(proxy) => proxy.directory.clone(),
            Role::Agent if folder.is_dir() => folder.to_owned(),
            Role::Agent => PathBuf::from("/"),
        };
        Home {
            root: root.to_owned(),
            is_own,
            directory,
        }
    }

    /// The folder of the workspace whose own programs may be used for a root: the one that holds it, if it is trusted.
    pub(in crate::server) fn trusted_at(&self, root: &Path) -> Option<PathBuf> {
        let roots = self.roots();
        let folder = innermost(root, &roots).unwrap_or(root);
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        trust::is_trusted(&self.host, &folder).then_some(folder)
    }

    /// The greeting of a process, from one for the whole workspace.
    pub(in crate::server) fn greeting_at(&self, home: &Home, greeting: Bytes) -> Bytes {
        let is_first = self
            .roots()
            .first()
            .is_some_and(|first| *first == home.root);
        if is_first && !home.is_own {
            return greeting;
        }
        let Ok(mut message) = serde_json::from_slice::<Value>(&greeting) else {
            return greeting;
        };
        let mut params = at(&message, "/params").clone();
        set(&mut params, "rootUri", json!(location::to_uri(&home.root)));
        set(&mut params, "rootPath", json!(home.root));
        if home.is_own {
            set(
                &mut params,
                "workspaceFolders",
                json!([self.folder_of(home)]),
            );
        }
        set(&mut message, "params", params);
        Bytes::from(message.to_string())
    }

    /// The folder of a process as the protocol names it: as the editor does, when it is one of the editor's.
    fn folder_of(&self, home: &Home) -> Value {
        let greeted = list(&self.greeting, "/workspaceFolders");
        let mut named = self.standing.folders().unwrap_or(greeted).iter();
        let is_it = |folder: &&Value| {
            location::to_path(text(folder, "/uri")).is_some_and(|path| path == home.root)
        };
        named.find(is_it).cloned().unwrap_or_else(|| {
            let name = home.root.file_name().unwrap_or_default();
            json!({ "uri": location::to_uri(&home.root), "name": name.to_string_lossy() })
        })
    }

    /// The answer to a server that asks for the folders, when it has one of its own.
    pub(in crate::server) fn own_folders(&self, server: usize) -> Option<Value> {
        let home = &self.servers.get(server)?.home;
        home.is_own.then(|| json!([self.folder_of(home)]))
    }

    /// Whether there may be another process of a post; makes room for it.
    pub(in crate::server) fn has_room(&mut self, post: &Post) -> bool {
        let is_one = |server: &usize| {
            self.servers.get(*server).is_some_and(|behind| {
                behind.has_post(post) && !matches!(behind.phase, Phase::Ended(_))
            })
        };
        let processes: Vec<usize> = (0..self.servers.len()).filter(is_one).collect();
        if processes.len() < PROCESSES_MAX {
            return true;
        }
        let idle = processes
            .into_iter()
            .filter(|server| !self.has_documents(*server));
        let longest = idle.min_by_key(|server| {
            let behind = self.servers.get(*server);
            behind.map(|behind| behind.idle_since)
        });
        let Some(longest) = longest else {
            let name = &post.first().name;
            let text = format!(
                "{PROCESSES_MAX} processes of {name} have open documents; another folder gets none until some are closed"
            );
            self.log(Loudness::Warning, &text);
            return false;
        };
        self.retire(longest, "another folder needs its place");
        true
    }

    fn has_documents(&self, server: usize) -> bool {
        self.documents_of(server).next().is_some()
    }

    /// Takes up again the process that was ended because nobody needed it, if there is room. `false`: there is none.
    pub(in crate::server) fn bring_back(&mut self, post: &Post, root: &Path) -> bool {
        let is_it = |behind: &Behind| {
            behind.is_retired && behind.has_post(post) && behind.home.root == root
        };
        let Some(server) = self.servers.iter().position(is_it) else {
            return false;
        };
        if self.has_room(post)
            && let Some(behind) = self.servers.get_mut(server)
        {
            behind.is_retired = false;
            behind.forgive();
            behind.rest(Instant::now());
        }
        true
    }

    /// Ends a process that nobody needs.
    fn retire(&mut self, server: usize, reason: &str) {
        self.end_for_now(server, reason, false);
        let Some(behind) = self.servers.get_mut(server) else {
            return;
        };
        behind.is_retired = true;
        let text = format!("{} was ended: {reason}", behind.title());
        self.log(Loudness::Info, &text);
    }

    /// What a server hears of folders that came and went. One that can have several but cannot be told of them is started
    /// again.
    pub(in crate::server) fn folders_for(&mut self, server: usize, body: &Bytes) -> Option<Bytes> {
        let behind = self.servers.get(server)?;
        if !self.is_agent() || behind.answer.is_null() {
            return Some(body.clone());
        }
        let answered = at(&behind.answer, "/capabilities/workspace/workspaceFolders");
        if !behind.serves_all() || !is_true(answered, "/supported") {
            return None;
        }
        let can_be_told = match at(answered, "/changeNotifications") {
            Value::Bool(is_told) => *is_told,
            Value::String(_) => true,
            _ => false,
        };
        if can_be_told || self.registrations.has(server, CHANGED, None) {
            return Some(body.clone());
        }
        self.restart_server(server);
        None
    }

    /// Folders came or went: documents move to where they belong, and processes that belong nowhere end.
    pub(in crate::server) fn folders_changed(&mut self) {
        if !self.is_agent() {
            return;
        }
        self.rehome();
        let roots = self.roots();
        for server in 0..self.servers.len() {
            let is_over = self.servers.get(server).is_some_and(|behind| {
                let root = &behind.home.root;
                let is_left = match behind.model().root_strategy {
                    RootStrategy::Nearest => {
                        innermost(root, &roots).is_none() && !self.has_documents(server)
                    }
                    _ => !roots.contains(root),
                };
                is_left && !behind.is_retired && !behind.serves_all()
            });
            if is_over {
                self.retire(server, "its folder is no part of the workspace any more");
            }
        }
    }

    /// Gives every open document to the processes that are its own as things are now.
    pub(in crate::server) fn rehome(&mut self) {
        if self.roots().len() > 1 {
            let bound = self.servers.iter_mut();
            for behind in bound.filter(|behind| !behind.serves_all()) {
                behind.home.is_own = true;
            }
        }
        let uris = self.documents.iter().map(|document| document.uri.clone());
        let uris: Vec<String> = uris.collect();
        for uri in uris {
            let before = self.attached.of(&uri).to_vec();
            let after = self.servers_for(&uri);
            if before == after {
                continue;
            }
            self.attached.attach(&uri, after.clone());
            for server in before.iter().filter(|server| !after.contains(server)) {
                if !self.holder_closed(*server, Holder::Editor, &uri) {
                    let params = json!({ "textDocument": { "uri": uri } });
                    let body = messages::notification("textDocument/didClose", &params);
                    self.send(*server, body);
                }
                let told = self.diagnostics.forget(*server, &uri);
                self.tell_findings(told);
            }
            for server in after.iter().filter(|server| !before.contains(server)) {
                let hears = self.servers.get(*server);
                let hears =
                    hears.is_some_and(|behind| behind.sync.open_close || behind.is_starting());
                if self.holder_opened(*server, Holder::Editor, &uri) {
                    continue;
                }
                if let Some(document) = self.documents.get(&uri).filter(|_| hears) {
                    let body = opened(document);
                    self.send(*server, body);
                }
            }
            self.note_opened(&uri);
        }
    }

    /// The folders below which a server's patterns for files are meant.
    pub(in crate::server) fn watched_folders(&self, server: usize) -> Vec<PathBuf> {
        match self.servers.get(server) {
            Some(behind) if behind.home.is_own => vec![behind.home.root.clone()],
            _ => {
                let mut folders = self.roots();
                if !folders.contains(&self.root) {
                    folders.push(self.root.clone());
                }
                folders
            }
        }
    }
}

/// The notification that opens a document as it is.
pub(in crate::server) fn opened(document: &Document) -> Bytes {
    let params = json!({ "textDocument": item(document) });
    messages::notification("textDocument/didOpen", &params)
}

/// A document as it is, with its text.
pub(in crate::server) fn item(document: &Document) -> Value {
    json!({
        "uri": document.uri,
        "languageId": document.language,
        "version": document.version,
        "text": document.text(),
    })
}
