//! `--generate`: completion scripts and the man page, made from the program's flags themselves.

use std::io::Result;

use clap::{Command, CommandFactory, ValueEnum};
use clap_complete::Shell;
use clap_mangen::Man;

use super::arguments::Arguments;

/// What is made of the flags.
#[derive(Clone, Copy, ValueEnum)]
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

/// Makes it.
pub fn generate(what: Generated) -> Result<String> {
    let mut command = Arguments::command();
    let shell = match what {
        Generated::Man => return man(command),
        Generated::CompleteBash => Shell::Bash,
        Generated::CompleteZsh => Shell::Zsh,
        Generated::CompleteFish => Shell::Fish,
        Generated::CompletePowershell => Shell::PowerShell,
        Generated::CompleteElvish => Shell::Elvish,
    };
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    Ok(String::from_utf8_lossy(&script).into_owned())
}

/// One page: the program, then each of its commands under a title of its own.
fn man(mut command: Command) -> Result<String> {
    command.build();
    let commands: Vec<Command> =
        command.get_subcommands().filter(|command| command.get_name() != "help").cloned().collect();
    let mut page = Vec::new();
    let man = Man::new(command.clone()).manual("clothseg");
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    let mut page = String::from_utf8_lossy(&page).into_owned();
    for command in commands {
        let title = format!("{} {}", Arguments::command().get_name(), command.get_name()).to_uppercase();
        let man = Man::new(command.disable_help_flag(true));
        let mut part = Vec::new();
        man.render_description_section(&mut part)?;
        man.render_synopsis_section(&mut part)?;
        man.render_options_section(&mut part)?;
        let part = String::from_utf8_lossy(&part).replace(".SH DESCRIPTION\n", "").replace(".SH ", ".SS ");
        // What comes before the first section of a page, such as the definitions of roff, is there already.
        page.push_str(&format!(".SH \"{title}\"\n{part}"));
    }
    let mut version = Vec::new();
    man_version(&mut version)?;
    page.push_str(&String::from_utf8_lossy(&version));
    Ok(page)
}

fn man_version(page: &mut Vec<u8>) -> Result<()> {
    Man::new(Arguments::command()).render_version_section(page)
}
