//! Answers that are handed on while they come (spec: Communication, back-pressure).
//!
//! Only an answer that goes to one asker as it came can flow: whatever is merged, tagged, counted anew, kept or looked
//! at is waited for. Its request stays in the table until the end, so that it is answered with an error when its server
//! breaks off.

use super::requests::{Asked, FromEditor, Id, Then};
use crate::downstream::large::Large;
use crate::downstream::recorder::recording::Way;
use crate::downstream::wire::{self, Envelope, Kind};
use crate::server::life::Stage;
use crate::server::messages::{self, Failure, Loudness};
use crate::server::session::Session;

impl Session {
    /// A large message of a server has begun.
    pub(in crate::server) fn large_message(&mut self, server: usize, large: Large) {
        let envelope = Envelope::peek(&large.head);
        if large.is_too_large() {
            self.note_start(server, &large);
            return self.too_large(server, envelope.as_ref(), &large);
        }
        let Some(envelope) = envelope.filter(|_| self.may_flow_from(server)) else {
            return large.whole();
        };
        match envelope.kind {
            Kind::Response => self.answer_flows(server, &envelope, large),
            Kind::Request | Kind::Notification => large.whole(),
        }
    }

    /// A message that flowed has ended.
    pub(in crate::server) fn flowed(&mut self, server: usize, whole: bool) {
        let Some(request) = self.requests.take_flowing(server) else {
            return;
        };
        if whole {
            self.time(server, &request);
        } else {
            let text = format!("{} broke off in its answer", self.name_of(server));
            self.fail(request, &text);
        }
    }

    fn may_flow_from(&self, server: usize) -> bool {
        matches!(self.stage, Stage::Running)
            && self.turn_to(server).is_none()
            && self.guests.is_idle()
    }

    fn answer_flows(&mut self, server: usize, envelope: &Envelope, large: Large) {
        let id = Id::read(envelope.id(&large.head));
        let Some(request) = self.requests.get_mut(&id) else {
            if self.diagnostics.awaits(server, &id) {
                return large.whole();
            }
            // Nobody waits for it: it is left out.
            return self.note_start(server, &large);
        };
        if !goes_as_it_comes(request, server) {
            return large.whole();
        }
        // Nobody may join an answer that has begun.
        request.question = None;
        let raw_id = request.raw_id.clone();
        self.note_start(server, &large);
        let head = match envelope.id.clone() {
            Some(range) => wire::with_id(&large.head, range, &raw_id),
            None => large.head.clone(),
        };
        let (flow, passage) = large.flow(head);
        if let Some(request) = self.requests.get_mut(&id) {
            request.flows = Some(passage);
        }
        if self.editor.push_flow(flow).is_err() {
            self.leave(crate::server::Ending::Abrupt);
        }
    }

    /// Records what is known of a message that never lies in memory.
    fn note_start(&mut self, server: usize, large: &Large) {
        if let Some(behind) = self.servers.get_mut(server) {
            let recorder = &mut behind.recorder;
            recorder.note_start(Way::FromServer, &large.head, large.length);
        }
    }

    fn too_large(&mut self, server: usize, envelope: Option<&Envelope>, large: &Large) {
        let text = format!(
            "{} sent a message of {} bytes; only {} are accepted",
            self.name_of(server),
            large.length,
            wire::BODY_BYTES_MAX
        );
        self.tell(messages::log(Loudness::Warning, &text));
        let Some(envelope) = envelope else { return };
        let id = Id::read(envelope.id(&large.head));
        match envelope.kind {
            Kind::Response => match self
                .requests
                .given_up(server, &id, std::time::Instant::now())
            {
                super::requests::Heard::Answer(request) => self.fail(request, &text),
                super::requests::Heard::Part(step) => self.take_step(id, step),
                super::requests::Heard::Nothing => {
                    if let Id::Text(ours) = &id {
                        // What we asked ourselves is asked again when the text changes.
                        self.diagnostics.answered(server, ours);
                    }
                }
            },
            Kind::Request => {
                let body = messages::failure(envelope.id(&large.head), Failure::Failed, &text);
                self.send(server, body);
            }
            Kind::Notification => {}
        }
    }
}

/// Whether a server's answer to a request is handed on as it comes, to whoever asked alone.
fn goes_as_it_comes(request: &FromEditor, server: usize) -> bool {
    matches!(request.asked, Asked::One(asked) if asked == server)
        && matches!(request.then, Then::Forward)
        && request.method.is_none()
        && request.followers.is_empty()
        && !request.is_stale
        && request.flows.is_none()
}
