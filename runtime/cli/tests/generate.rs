//! Completion scripts and the man page.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;

use support::TestEnv;

const SHELLS: [&str; 5] = ["bash", "zsh", "fish", "powershell", "elvish"];

fn generated(env: &TestEnv, kind: &str) -> String {
    let run = env.run_plain(&["--generate", kind]);
    run.expect(0, &[]);
    run.stdout
}

/// The long flags that a text names, without their dashes.
fn flags(help: &str) -> BTreeSet<String> {
    let words = help.split(|character: char| !(character.is_ascii_alphanumeric() || character == '-'));
    let names = words.filter_map(|word| word.strip_prefix("--")).filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

/// Those that the program has, as its help lists them: at the beginnings of lines.
fn known_flags(env: &TestEnv) -> BTreeSet<String> {
    let help = env.run_plain(&["--help"]).stdout;
    let is_flag = |line: &&str| line.starts_with("  -") || line.starts_with("      --");
    let known = help.lines().filter(is_flag).filter_map(|line| flags(line).pop_first()).collect::<BTreeSet<_>>();
    assert!(known.len() > 40 && known.contains("resume") && known.contains("generate"), "{known:?}");
    known
}

#[test]
fn every_flag_is_in_every_script_and_in_the_man_page() {
    let env = TestEnv::new();
    let known = known_flags(&env);
    for kind in SHELLS.map(|shell| format!("complete-{shell}")).into_iter().chain(["man".into()]) {
        // roff writes dashes with a backslash, and fish without them.
        let text = generated(&env, &kind).replace("\\-", "-").replace("\\fB", " ").replace("-l ", "--");
        let named = flags(&text);
        let missing: Vec<_> = known.difference(&named).collect();
        assert!(missing.is_empty(), "{kind}: {missing:?}");
    }
}

#[test]
fn the_man_page_has_the_usual_sections() {
    let page = generated(&TestEnv::new(), "man");
    for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES", "RESULTS", "EXIT STATUS", "VERSION"] {
        assert!(
            page.contains(&format!(".SH {section}\n")) || page.contains(&format!(".SH \"{section}\"\n")),
            "{section}"
        );
    }
    assert!(page.contains("\n.TH clothseg\\-run 1 ") || page.contains("\n.TH clothseg-run 1 "), "{page}");
    assert!(page.contains("\nclothseg\\-run photo.jpg \\-\\-classes shirt,pants\n"), "{page}");
}

#[test]
#[cfg(unix)]
fn bash_loads_its_script_and_completes_with_it() {
    let env = TestEnv::new();
    env.write("clothseg-run.bash", generated(&env, "complete-bash").as_bytes());
    let bash = |script: &str| {
        let output =
            std::process::Command::new("bash").current_dir(env.path("")).args(["-c", script]).output().unwrap();
        assert!(output.status.success(), "{script}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    bash("bash -n clothseg-run.bash");
    assert!(bash("source ./clothseg-run.bash; complete -p clothseg-run").contains("-F _clothseg__run "));
    let completed = bash(
        "source ./clothseg-run.bash; COMP_WORDS=(clothseg-run --watch-s); COMP_CWORD=1
         _clothseg__run clothseg-run --watch-s clothseg-run; echo \"${COMPREPLY[@]}\"",
    );
    assert_eq!(completed.trim(), "--watch-settle");
}

#[test]
fn a_kind_that_is_unknown_is_refused_with_those_there_are() {
    let env = TestEnv::new();
    env.run_plain(&["--generate", "complete-tcsh"]).expect(2, &["complete-bash", "complete-elvish"]);
    env.run_plain(&["--generate", "man", "photo.jpg"]).expect(2, &["cannot be used with"]);
}
