//! How two values differ, line by line: in full, or as counts that show nothing of them.

/// Lines that go (`-`), come (`+`) and stay (` `).
pub(crate) fn lines(old: &str, new: &str) -> String {
    let steps = steps(old, new);
    let mut shown = Vec::with_capacity(steps.len());
    for step in steps {
        shown.push(match step {
            Step::Goes(line) => format!("-{line}"),
            Step::Comes(line) => format!("+{line}"),
            Step::Stays(line) => format!(" {line}"),
        });
    }
    if old.ends_with('\n') != new.ends_with('\n') && !(old.is_empty() || new.is_empty()) {
        let which = if old.ends_with('\n') { "a line break less" } else { "a line break more" };
        shown.push(format!("\\ {which} at the end"));
    }
    shown.join("\n")
}

/// So many lines go and come, of so many characters.
pub(crate) fn summary(old: &str, new: &str) -> String {
    let characters = |text: &str| text.chars().count();
    let sizes = format!("{} and {} characters", characters(old), characters(new));
    let steps = steps(old, new);
    let goes = steps.iter().filter(|step| matches!(step, Step::Goes(_))).count();
    let comes = steps.iter().filter(|step| matches!(step, Step::Comes(_))).count();
    if steps.len() <= 2 { sizes } else { format!("{sizes}, {goes} lines less and {comes} more") }
}

enum Step<'a> {
    Comes(&'a str),
    Goes(&'a str),
    Stays(&'a str),
}

/// What the two share stays, as far as their lengths allow to find out; before and behind it stands the rest.
fn steps<'a>(old: &'a str, new: &'a str) -> Vec<Step<'a>> {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let head = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let (shared, old) = old.split_at(head);
    let new = new.get(head..).unwrap_or_default();
    let tail = old.iter().rev().zip(new.iter().rev()).take_while(|(old, new)| old == new).count();
    let (old, behind) = old.split_at(old.len() - tail);
    let new = new.get(..new.len() - tail).unwrap_or_default();
    let mut steps: Vec<Step<'a>> = shared.iter().copied().map(Step::Stays).collect();
    if old.len().saturating_mul(new.len()) > MOST_CELLS {
        steps.extend(old.iter().copied().map(Step::Goes));
        steps.extend(new.iter().copied().map(Step::Comes));
    } else {
        between(old, new, &mut steps);
    }
    steps.extend(behind.iter().copied().map(Step::Stays));
    steps
}

/// By the longest common subsequence.
fn between<'a>(old: &[&'a str], new: &[&'a str], steps: &mut Vec<Step<'a>>) {
    let width = new.len() + 1;
    let mut lengths = vec![0_u32; (old.len() + 1) * width];
    let at = |lengths: &[u32], row: usize, column: usize| lengths.get(row * width + column).copied().unwrap_or(0);
    for (row, old) in old.iter().enumerate().rev() {
        for (column, new) in new.iter().enumerate().rev() {
            let length = match old == new {
                true => at(&lengths, row + 1, column + 1) + 1,
                false => at(&lengths, row + 1, column).max(at(&lengths, row, column + 1)),
            };
            if let Some(cell) = lengths.get_mut(row * width + column) {
                *cell = length;
            }
        }
    }
    let (mut row, mut column) = (0, 0);
    loop {
        match (old.get(row), new.get(column)) {
            (Some(line), Some(other)) if line == other => {
                steps.push(Step::Stays(line));
                (row, column) = (row + 1, column + 1);
            }
            (Some(line), Some(_)) if at(&lengths, row + 1, column) >= at(&lengths, row, column + 1) => {
                steps.push(Step::Goes(line));
                row += 1;
            }
            (_, Some(line)) => {
                steps.push(Step::Comes(line));
                column += 1;
            }
            (Some(line), None) => {
                steps.push(Step::Goes(line));
                row += 1;
            }
            (None, None) => return,
        }
    }
}

/// Cells of the table of common lengths: 16 MiB.
const MOST_CELLS: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_stay_go_and_come_are_told_apart() {
        assert_eq!(lines("a", "b"), "-a\n+b");
        assert_eq!(lines("a\nb\nc\n", "a\nx\nc\n"), " a\n-b\n+x\n c");
        assert_eq!(lines("", "a\nb"), "+a\n+b");
        assert_eq!(lines("a\nb\nc\nd", "b\nc\ne\nd"), "-a\n b\n c\n+e\n d");
        assert_eq!(lines("a\n", "a"), " a\n\\ a line break less at the end");
    }

    #[test]
    fn summary_shows_nothing_of_the_values() {
        assert_eq!(summary("hunter2", "hunter22"), "7 and 8 characters");
        assert_eq!(summary("a\nb\nc", "a\nx\ny\nc"), "5 and 7 characters, 1 lines less and 2 more");
    }

    #[test]
    fn long_values_are_compared_in_bounded_time_and_space() {
        let many = |line: &str| format!("{line}\n").repeat(100_000);
        assert!(lines(&many("a"), &many("b")).starts_with("-a"));
    }
}
