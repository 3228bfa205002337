//! Messages that wait until their server works (spec: LSP Manager, server lifecycle).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::downstream::connection::QUEUE_BYTES_MAX;
use crate::downstream::queue::QueueError;
use crate::downstream::wire::{Envelope, Kind};
use crate::server::questions::routes::{Life, Route, Text, route};

/// Time that a request waits for a server that is being started again.
pub const RETURN_PATIENCE: Duration = Duration::from_secs(10);

/// Messages in the order in which they came, bounded by bytes as those of a server that works.
#[derive(Debug, Default)]
pub struct Waiting {
    messages: VecDeque<Message>,
    bytes: usize,
}

#[derive(Debug)]
struct Message {
    body: Bytes,
    since: Instant,
    /// The bytes of its id, when it is a request.
    request: Option<Bytes>,
}

impl Message {
    fn new(body: Bytes) -> Self {
        Self {
            request: request_id(&body),
            since: Instant::now(),
            body,
        }
    }
}

impl Waiting {
    /// Adds a message behind all others.
    pub fn push(&mut self, body: Bytes) -> Result<(), QueueError> {
        let bytes = self.bytes.saturating_add(body.len());
        if bytes > QUEUE_BYTES_MAX && !self.messages.is_empty() {
            return Err(QueueError::Full);
        }
        self.bytes = bytes;
        self.messages.push_back(Message::new(body));
        Ok(())
    }

    /// Adds a message before all others.
    pub fn push_first(&mut self, body: Bytes) {
        self.bytes += body.len();
        self.messages.push_front(Message::new(body));
    }

    /// Takes out what somebody recognises. `false`: there was nothing of it.
    pub fn remove(&mut self, is_it: impl Fn(&Bytes) -> bool) -> bool {
        let before = self.messages.len();
        self.messages.retain(|message| !is_it(&message.body));
        self.count();
        self.messages.len() < before
    }

    /// Bytes of all messages.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a request with these id bytes is here.
    pub fn has_request(&self, raw_id: &[u8]) -> bool {
        let mut requests = self.requests();
        requests.any(|(id, _)| id.as_ref() == raw_id)
    }

    /// When the next request has waited for too long.
    pub fn deadline(&self) -> Option<Instant> {
        let oldest = self.requests().map(|(_, since)| since).min()?;
        Some(oldest + RETURN_PATIENCE)
    }

    /// Takes out the requests that have waited for too long, and gives their ids.
    pub fn take_overdue(&mut self, now: Instant) -> Vec<Bytes> {
        let mut overdue = Vec::new();
        self.messages.retain_mut(|message| {
            let is_old = now.duration_since(message.since) >= RETURN_PATIENCE;
            match message.request.take_if(|_| is_old) {
                Some(id) => {
                    overdue.push(id);
                    false
                }
                None => true,
            }
        });
        self.count();
        overdue
    }

    /// Takes out everything, in order.
    pub fn take(&mut self) -> Vec<Bytes> {
        let messages = std::mem::take(self).messages;
        messages.into_iter().map(|message| message.body).collect()
    }

    fn requests(&self) -> impl Iterator<Item = (&Bytes, Instant)> {
        self.messages
            .iter()
            .filter_map(|message| Some((message.request.as_ref()?, message.since)))
    }

    fn count(&mut self) {
        self.bytes = self.messages.iter().map(|message| message.body.len()).sum();
    }
}

/// Whether a server that comes back is told of this in another way: by the texts and notebooks as they are then, and its
/// greeting.
pub fn is_told_on_return(body: &[u8]) -> bool {
    Envelope::peek(body).is_some_and(|envelope| {
        matches!(
            route(envelope.method(body)),
            Route::Text(Text::Open | Text::Change | Text::Close)
                | Route::Notebook
                | Route::Life(Life::Initialized)
        )
    })
}

fn request_id(body: &Bytes) -> Option<Bytes> {
    let envelope = Envelope::peek(body)?;
    let range = envelope.id.filter(|_| envelope.kind == Kind::Request)?;
    Some(body.slice(range))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_leave_when_their_time_is_up_and_the_rest_stays_in_order() {
        let mut waiting = Waiting::default();
        for body in [
            r#"{"method":"a"}"#,
            r#"{"method":"b","id":1}"#,
            r#"{"method":"c"}"#,
        ] {
            waiting.push(Bytes::from(body)).expect("there is room");
        }
        waiting.push_first(Bytes::from_static(br#"{"method":"first"}"#));
        let now = Instant::now();
        assert!(waiting.has_request(b"1"));
        assert!(waiting.take_overdue(now).is_empty());
        assert!(waiting.deadline().is_some_and(|deadline| deadline > now));
        assert_eq!(waiting.take_overdue(now + RETURN_PATIENCE), ["1"]);
        assert_eq!(waiting.deadline(), None);
        assert_eq!(
            waiting.take(),
            [
                r#"{"method":"first"}"#,
                r#"{"method":"a"}"#,
                r#"{"method":"c"}"#
            ]
        );
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut waiting = Waiting::default();
        let half = Bytes::from(vec![b' '; QUEUE_BYTES_MAX / 2 + 1]);
        assert_eq!(waiting.push(half.clone()), Ok(()));
        assert_eq!(waiting.push(half.clone()), Err(QueueError::Full));
        assert!(waiting.remove(|_| true));
        assert_eq!(waiting.push(half), Ok(()));
    }
}
