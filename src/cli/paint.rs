//! Colours, tables and durations for people.

use std::io::IsTerminal as _;

/// Whether to colour. Words alone say everything too.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint(bool);

impl Paint {
    /// Only on a terminal, and not where `NO_COLOR` is set (<https://no-color.org>).
    pub(super) fn for_stdout() -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self(std::io::stdout().is_terminal() && !unwanted)
    }

    #[cfg(test)]
    pub(super) fn plain() -> Self {
        Self(false)
    }

    pub(super) fn good(self, text: &str) -> String {
        self.in_colour("32", text)
    }

    pub(super) fn bad(self, text: &str) -> String {
        self.in_colour("31", text)
    }

    pub(super) fn attention(self, text: &str) -> String {
        self.in_colour("33", text)
    }

    pub(super) fn strong(self, text: &str) -> String {
        self.in_colour("1", text)
    }

    pub(super) fn faint(self, text: &str) -> String {
        self.in_colour("2", text)
    }

    fn in_colour(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// A duration with the unit that fits it, from microseconds.
pub(super) fn duration(microseconds: i64) -> String {
    // Three digits are enough to see by eye, and f64 holds any duration that a takeover can take.
    #[allow(clippy::cast_precision_loss)]
    let milliseconds = microseconds as f64 / 1000.0;
    match milliseconds {
        value if value < 10.0 => format!("{value:.1} ms"),
        value if value < 1000.0 => format!("{value:.0} ms"),
        value if value < 60_000.0 => format!("{:.1} s", value / 1000.0),
        value => format!("{:.0} min {:.0} s", (value / 60_000.0).floor(), (value % 60_000.0) / 1000.0),
    }
}

/// `text`, filled with spaces to that many characters.
pub(super) fn fill(text: &str, width: usize) -> String {
    let missing = width.saturating_sub(text.chars().count());
    format!("{text}{}", " ".repeat(missing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_the_unit_that_fits() {
        for (microseconds, expected) in [
            (0, "0.0 ms"),
            (3_140, "3.1 ms"),
            (42_400, "42 ms"),
            (1_500_000, "1.5 s"),
            (61_000_000, "1 min 1 s"),
        ] {
            assert_eq!(duration(microseconds), expected);
        }
    }

    #[test]
    fn nothing_is_coloured_where_nobody_wants_it() {
        assert_eq!(Paint::plain().bad("x"), "x");
        assert_eq!(fill("ä", 3), "ä  ");
    }
}
