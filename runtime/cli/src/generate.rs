//! `--generate`: completion scripts and the man page, made from a program's flags themselves.

use std::fmt::Write as _;

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

/// What is made of the flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Generated {
    /// The man page.
    Man,
    /// Completions for Bash.
    CompleteBash,
    /// Completions for Zsh.
    CompleteZsh,
    /// Completions for fish.
    CompleteFish,
    /// Completions for PowerShell.
    CompletePowershell,
    /// Completions for Elvish.
    CompleteElvish,
}

/// Makes it for the program with these flags. `sections` are titles and lines that the man page has after its flags, in place of
/// what the help has there.
///
/// # Errors
/// A text that says why, where clap cannot make it.
pub fn generate(what: Generated, mut command: Command, sections: &[(&str, &str)]) -> Result<String, String> {
    let shell = match what {
        Generated::Man => return man(command, sections),
        Generated::CompleteBash => Shell::Bash,
        Generated::CompleteZsh => Shell::Zsh,
        Generated::CompleteFish => Shell::Fish,
        Generated::CompletePowershell => Shell::PowerShell,
        Generated::CompleteElvish => Shell::Elvish,
    };
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    text(script)
}

fn man(command: Command, sections: &[(&str, &str)]) -> Result<String, String> {
    let man = Man::new(command.after_help(None::<&str>)).manual("clothseg");
    let mut page = Vec::new();
    man.render(&mut page).map_err(|error| format!("the man page cannot be made: {error}"))?;
    let page = text(page)?;
    // The version is the last of what is made by itself.
    let (before, version) = page.rsplit_once(".SH VERSION").unwrap_or((&page, ""));
    let mut page = before.to_owned();
    for (title, lines) in sections {
        let _ = writeln!(page, ".SH {title:?}\n.nf\n{}\n.fi", as_it_is(lines));
    }
    let _ = write!(page, ".SH VERSION{version}");
    Ok(page)
}

/// Lines that mean nothing to roff.
fn as_it_is(lines: &str) -> String {
    let line = |line: &str| {
        let line = line.trim_start().replace('\\', "\\e").replace('-', "\\-");
        if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line }
    };
    lines.lines().map(line).collect::<Vec<_>>().join("\n")
}

fn text(bytes: Vec<u8>) -> Result<String, String> {
    String::from_utf8(bytes).map_err(|error| format!("what was generated is no text: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roff_finds_nothing_in_lines() {
        assert_eq!(as_it_is("  a --b\n.c\\d"), "a \\-\\-b\n\\&.c\\ed");
    }
}
