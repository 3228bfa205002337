//! Makes a conversation fit a model again: old results are left out, then old turns (spec: Context Manager).
//!
//! What the user wants and what the model did last stays. Turns go many at a time: each time the beginning changes, a
//! provider reads all of it anew.

use crate::llm::message::{Message, Request};

/// Results of tools at the end of the conversation that are never left out to make room.
const RESULTS_KEPT: usize = 2;

/// Turns of the model at the end that are never left out.
const TURNS_KEPT: usize = 2;

/// What stands in the place of what was left out.
#[derive(Debug, Clone)]
pub(super) struct Remarks {
    /// For a result.
    pub(super) result: String,
    /// For turns.
    pub(super) turns: String,
}

/// Leaves out of a conversation that does not fit what has to go, oldest first, until it fits or nothing more can go.
pub(super) fn shorten(request: &mut Request, remarks: &Remarks, fits: impl Fn(&Request) -> bool) {
    let results = request.messages.iter().enumerate();
    let results = results.filter(|(_, message)| matches!(message, Message::Tool { .. }));
    let results: Vec<usize> = results.map(|(index, _)| index).collect();
    let old = results.len().saturating_sub(RESULTS_KEPT);
    for index in results.into_iter().take(old) {
        if let Some(Message::Tool { text, .. }) = request.messages.get_mut(index)
            && *text != remarks.result
        {
            remarks.result.clone_into(text);
            if fits(request) {
                return;
            }
        }
    }
    while !fits(request) && drop_turns(&mut request.messages, &remarks.turns) {}
}

/// Drops the older half of the turns that may go, and says so where they began; whether there were any.
fn drop_turns(messages: &mut Vec<Message>, remark: &str) -> bool {
    let turns = messages.iter().enumerate();
    let turns = turns.filter(|(_, message)| matches!(message, Message::Assistant { .. }));
    let turns: Vec<usize> = turns.map(|(index, _)| index).collect();
    let free = turns.len().saturating_sub(TURNS_KEPT);
    let (Some(&first), Some(&until)) = (turns.first(), turns.get(free.div_ceil(2))) else {
        return false;
    };
    if first == until {
        return false;
    }
    messages.drain(first..until);
    let before = first
        .checked_sub(1)
        .and_then(|index| messages.get_mut(index));
    if let Some(Message::User { text }) = before
        && !text.ends_with(remark)
    {
        text.push_str("\n\n");
        text.push_str(remark);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::message::{Thoughts, ToolCall};

    fn conversation(turns: usize) -> Request {
        let text = "do it".to_owned();
        let mut messages = vec![Message::User { text }];
        for number in 0..turns {
            let (id, name) = (number.to_string(), "look".to_owned());
            messages.push(Message::Assistant {
                text: String::new(),
                calls: vec![ToolCall {
                    id: id.clone(),
                    name: name.clone(),
                    arguments: "{}".to_owned(),
                }],
                thoughts: Thoughts::default(),
            });
            messages.push(Message::Tool {
                call: id,
                name,
                text: "x".repeat(100),
            });
        }
        Request {
            messages,
            tools: Vec::new(),
        }
    }

    fn remarks() -> Remarks {
        Remarks {
            result: "gone".to_owned(),
            turns: "turns are gone".to_owned(),
        }
    }

    fn results(request: &Request) -> Vec<&str> {
        let results = request.messages.iter().filter_map(|message| match message {
            Message::Tool { text, .. } => Some(text.as_str()),
            _ => None,
        });
        results.collect()
    }

    #[test]
    fn old_results_go_first_and_only_as_many_as_have_to() {
        let mut request = conversation(5);
        shorten(&mut request, &remarks(), |request| {
            results(request).concat().len() <= 330
        });
        let long = "x".repeat(100);
        let expected = ["gone", "gone", &long, &long, &long];
        assert_eq!(results(&request), expected);
        assert_eq!(request.messages.len(), 11);
    }

    #[test]
    fn then_turns_go_whole_and_the_task_and_the_last_ones_stay() {
        for most in [3, 9, 20] {
            let mut request = conversation(40);
            for _ in 0..3 {
                let fits = |request: &Request| request.messages.len() <= most;
                shorten(&mut request, &remarks(), fits);
            }
            let messages = &request.messages;
            assert!(messages.len() <= most.max(5), "{}", messages.len());
            let Some(Message::User { text }) = messages.first() else {
                panic!("the task stays");
            };
            assert_eq!(text, "do it\n\nturns are gone");
            // Each result has its call before it.
            for pair in messages[1..].chunks(2) {
                let [Message::Assistant { calls, .. }, Message::Tool { call, .. }] = pair else {
                    panic!("{pair:?}");
                };
                assert_eq!(calls[0].id, *call);
            }
            let Some(Message::Tool { call, .. }) = messages.last() else {
                panic!("the last result stays");
            };
            assert_eq!(call, "39");
        }
    }
}
