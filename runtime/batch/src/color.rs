//! Whether messages may have colours.

use std::ffi::OsStr;
use std::io::IsTerminal;

/// Whether messages to this stream may have colour codes: on a terminal that knows them, unless `NO_COLOR` is set; elsewhere only where
/// `CLICOLOR_FORCE` is set to something else than 0.
pub fn uses_color(stream: &impl IsTerminal) -> bool {
    decide(stream.is_terminal(), |name| std::env::var_os(name))
}

fn decide<T: AsRef<OsStr>>(is_terminal: bool, variable: impl Fn(&str) -> Option<T>) -> bool {
    let is_set = |name: &str, but: &str| {
        variable(name).is_some_and(|value| !value.as_ref().is_empty() && value.as_ref() != OsStr::new(but))
    };
    let is = |name: &str, what: &str| variable(name).is_some_and(|value| value.as_ref() == OsStr::new(what));
    if is_set("NO_COLOR", "") {
        return false;
    }
    is_set("CLICOLOR_FORCE", "0") || (is_terminal && !is("CLICOLOR", "0") && !is("TERM", "dumb"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_unless_somebody_says_otherwise() {
        let with = |is_terminal, set: &[(&str, &'static str)]| {
            decide(is_terminal, |name| set.iter().find(|(other, _)| *other == name).map(|(_, value)| *value))
        };
        assert_eq!([with(true, &[]), with(false, &[])], [true, false]);
        for off in [("NO_COLOR", "1"), ("TERM", "dumb"), ("CLICOLOR", "0")] {
            assert!(!with(true, &[off]), "{off:?}");
        }
        assert!(with(true, &[("NO_COLOR", "")]) && with(true, &[("TERM", "xterm")]));
        assert!(with(false, &[("CLICOLOR_FORCE", "1")]) && !with(false, &[("CLICOLOR_FORCE", "0")]));
        assert!(!with(true, &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
    }
}
