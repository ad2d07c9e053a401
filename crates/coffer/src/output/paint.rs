//! Colours, where a person looks: on a terminal that knows them, and not where `NO_COLOR` says no.

use std::io::IsTerminal;

/// What a word is to tell at a glance.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Tone {
    /// Something failed.
    Bad,
    /// All is well.
    Good,
    /// What to do.
    Hint,
    /// Something will fail, or may.
    Warning,
}

/// Whether to use them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Paint {
    Colours,
    Plain,
}

impl Paint {
    /// What this stream is to get.
    pub(crate) fn on(stream: &impl IsTerminal) -> Self {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        Self::choose(
            stream.is_terminal(),
            variable("NO_COLOR").is_some(),
            variable("TERM").is_some_and(|term| term == "dumb"),
        )
    }

    fn choose(is_terminal: bool, is_declined: bool, is_dumb: bool) -> Self {
        if is_terminal && !is_declined && !is_dumb { Self::Colours } else { Self::Plain }
    }

    /// The text, painted.
    pub(crate) fn text(self, tone: Tone, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Colours => {
                let code = match tone {
                    Tone::Bad => "1;31",
                    Tone::Good => "32",
                    Tone::Hint => "36",
                    Tone::Warning => "33",
                };
                format!("\x1b[{code}m{text}\x1b[0m")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_that_did_not_decline() {
        assert_eq!(Paint::choose(true, false, false), Paint::Colours);
        for other in [(false, false, false), (true, true, false), (true, false, true)] {
            assert_eq!(Paint::choose(other.0, other.1, other.2), Paint::Plain, "{other:?}");
        }
        assert_eq!(Paint::Plain.text(Tone::Bad, "x"), "x");
        assert_eq!(Paint::Colours.text(Tone::Bad, "x"), "\x1b[1;31mx\x1b[0m");
    }
}
