//! What the editor tells every server, each in its own form (spec: LSP Manager, routing).

use std::time::Instant;

use bytes::Bytes;

use super::roots;
use crate::server::session::Session;

impl Session {
    /// A notification for every server: settings are each server's own, changed files go to those who watch them.
    pub(in crate::server) fn tell_everyone(&mut self, method: &str, body: &Bytes) {
        self.standing.note(method, body, &self.greeting);
        if method == "workspace/didChangeConfiguration" {
            self.try_all_again();
        }
        for server in 0..self.servers.len() {
            let body = match method {
                "workspace/didChangeConfiguration" => Some(self.settings_for(server, body)),
                "workspace/didChangeWatchedFiles" => self.changes_for(server, body),
                roots::CHANGED => self.folders_for(server, body),
                _ => Some(body.clone()),
            };
            if let Some(body) = body {
                self.send(server, body);
            }
        }
        if method == roots::CHANGED {
            self.folders_changed();
        }
        self.compare_settings(Instant::now());
    }
}
