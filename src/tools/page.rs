//! One page of many lines, and how to ask for the next (spec: tool output).

/// Lines of one page.
const LINES_MAX: usize = 200;

/// Bytes of one page, less than what [`execute`](super::execute) lets through, so that no line is lost in between.
pub(super) const PAGE_BYTES_MAX: usize = 20 * 1024;

/// The lines of a page that begins after `from` lines, and the handle to read on where there are more.
pub(super) fn page(lines: &[String], from: usize) -> (String, Option<String>) {
    let mut shown = String::new();
    let mut count = 0;
    for line in lines.iter().skip(from).take(LINES_MAX) {
        if count > 0 && shown.len() + line.len() > PAGE_BYTES_MAX {
            break;
        }
        shown.push_str(line);
        shown.push('\n');
        count += 1;
    }
    let next = from.saturating_add(count);
    let rest = lines.len().saturating_sub(next);
    let more = (rest > 0).then(|| format!("{rest} more lines: read on with from = {next}"));
    (shown, more)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_one_another_without_a_gap() {
        let lines: Vec<String> = (0..450).map(|number| format!("{number:0200}")).collect();
        let (mut from, mut all) = (0, String::new());
        loop {
            let (shown, more) = page(&lines, from);
            assert!(shown.len() <= PAGE_BYTES_MAX);
            all.push_str(&shown);
            let Some(more) = more else { break };
            let (_, next) = more.rsplit_once(' ').expect("a handle");
            from = next.parse().expect("a number");
        }
        assert_eq!(all.lines().count(), lines.len());
        assert_eq!(page(&lines, 1000), (String::new(), None));
    }
}
