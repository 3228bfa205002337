//! Asks the person at the terminal for approval (spec: Safety & Security, `require_approval_for`).
//!
//! Only where standard input and standard error are a terminal: what is piped in is no person. What was typed before the
//! question was shown does not count. One thread asks and waits, so that whoever needs the answer can meanwhile hear that
//! the person would rather stop.

use std::io::{IsTerminal, Write};

use indicatif::{ProgressBar, ProgressDrawTarget};

use super::paint::{self, paint};
use crate::safety::approvals::{Answer, Approver, Asked, Question};
use crate::store::now;

/// Whether there is a person to ask.
pub fn is_possible() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// A way to the person at the terminal, if there is one. A thread of its own waits for the answers; it ends with the run,
/// or with the process where somebody never answers.
pub fn approver(mark: ProgressBar) -> Option<Approver> {
    if !is_possible() {
        return None;
    }
    let (approver, mut questions) = Approver::new();
    std::thread::spawn(move || {
        while let Some(Asked { question, answer }) = questions.blocking_recv() {
            let said = unseen(&mark, || ask(&question));
            if answer.send(said).is_err() {
                paint::remark("that came too late: nothing was done");
            }
        }
    });
    Some(approver)
}

/// Lets what comes begin on a line of its own: an interrupt leaves the cursor where it was.
pub fn leave(mark: &ProgressBar) {
    if is_possible() {
        mark.suspend(|| anstream::eprintln!());
    }
}

/// Does something while the moving mark is not shown. Unlike `suspend`, this locks nothing: whoever moves the mark does
/// not wait for a person.
fn unseen<T>(mark: &ProgressBar, doing: impl FnOnce() -> T) -> T {
    if mark.is_hidden() {
        return doing();
    }
    mark.set_draw_target(ProgressDrawTarget::hidden());
    // The mark stays where it was drawn last.
    anstream::eprint!("\r\u{1b}[2K");
    let done = doing();
    mark.set_draw_target(ProgressDrawTarget::stderr());
    done
}

/// Asks, and waits for the answer: anything but a clear yes is a no.
fn ask(question: &Question) -> Answer {
    show(question);
    // Before the line that asks for it, so that no answer is dropped, however fast it comes.
    forget_typed();
    let always = match &question.always {
        Some(prefix) => format!(", [a]lways `{}`", paint::plain(&prefix.to_string())),
        None => String::new(),
    };
    anstream::eprint!(
        "{} [y]es, this once{always}, [N]o: ",
        paint(paint::STRONG, "Approve?")
    );
    // Nothing can be done about a terminal that does not take the question; the answer is no then.
    let _ = anstream::stderr().flush();
    let mut line = String::new();
    let read = std::io::stdin().read_line(&mut line);
    if read.is_err() || now() >= question.expires {
        return Answer::No;
    }
    match line.trim().to_lowercase().as_str() {
        "y" | "yes" => Answer::Yes,
        "a" | "always" if question.always.is_some() => Answer::Always,
        _ => Answer::No,
    }
}

fn show(question: &Question) {
    let rule = paint(paint::FAINT, format!("({})", paint::plain(&question.rule)));
    anstream::eprintln!(
        "{} {} {rule}",
        paint(paint::CAUTION, "?"),
        paint::plain(&question.reason)
    );
    for line in question.what.iter().chain(&question.diff) {
        anstream::eprintln!("  {}", paint::plain(line));
    }
    for line in &question.irreversible {
        let warning = paint(paint::BAD, "cannot be taken back:");
        anstream::eprintln!("  {warning} {}", paint::plain(line));
    }
}

/// Drops what was typed before the question was there to be read.
#[cfg(unix)]
fn forget_typed() {
    use rustix::termios::{QueueSelector, tcflush};
    // A terminal that keeps it all the same shows it, too.
    let _ = tcflush(std::io::stdin(), QueueSelector::IFlush);
}

#[cfg(not(unix))]
fn forget_typed() {}
