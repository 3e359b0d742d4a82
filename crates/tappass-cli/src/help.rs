//! The help, grouped by who uses a command, and the reference page: both fall out of the arguments.

use std::fmt::Write as _;

use clap::Command;

use crate::args::GROUPS;

/// The command tree with its commands under the headings of [`GROUPS`].
#[must_use]
pub fn grouped(mut command: Command) -> Command {
    let (heading, literal) = (*command.get_styles().get_header(), *command.get_styles().get_literal());
    let mut text = String::from("{about}\n\n{usage-heading} {usage}\n\n");
    for (group, names) in GROUPS {
        let _ = writeln!(text, "{heading}{group}:{heading:#}");
        for name in names {
            let about = command.find_subcommand(name).and_then(Command::get_about);
            let about = about.map(ToString::to_string).unwrap_or_default();
            let _ = writeln!(text, "  {literal}{name:<13}{literal:#}{about}");
        }
        text.push('\n');
    }
    let _ = write!(text, "{{all-args}}{{after-help}}");
    // They stand under their headings; clap would list them once more.
    let names: Vec<_> = command.get_subcommands().map(|c| c.get_name().to_owned()).collect();
    for name in names {
        command = command.mut_subcommand(name, |c| c.hide(true));
    }
    command.help_template(text).override_usage("tappass [OPTIONS] <COMMAND>").after_help(
        "Exit codes: 0 done, 1 failed, 2 wrong usage or input, 3 findings or differences, 4 not signed in or\n\
         not allowed, 5 server unreachable, 6 the audit log is not intact.",
    )
}

/// The reference page, as Markdown.
#[must_use]
pub fn reference(command: Command) -> String {
    let mut command = grouped(command).term_width(100);
    command.build();
    let mut page = String::from(
        "# The command line\n\n<!-- Generated from the program's own arguments; a test says when it is stale. -->\n\n\
         `tappass` is the server and its tools. A flag wins over the environment, the environment over\n\
         `~/.tappass/config.toml`, the file over the default. Data goes to stdout and messages to stderr; `--json`\n\
         prints data for programs.\n",
    );
    section(&mut page, &mut command, 2);
    page
}

fn section(page: &mut String, command: &mut Command, depth: usize) {
    let name = command.get_bin_name().unwrap_or("tappass").to_owned();
    let help = command.render_help().to_string();
    let help = help.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    let _ = write!(page, "\n{} `{name}`\n\n```text\n{}\n```\n", "#".repeat(depth), help.trim_end());
    for sub in command.get_subcommands_mut() {
        section(page, sub, (depth + 1).min(4));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory as _;

    use super::*;
    use crate::args::Cli;

    #[test]
    fn the_arguments_fit_together() {
        grouped(Cli::command()).debug_assert();
    }

    #[test]
    fn every_command_has_one_heading() {
        let command = Cli::command();
        let there: BTreeSet<_> = command.get_subcommands().map(Command::get_name).collect();
        let listed: Vec<_> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        assert_eq!(listed.len(), there.len());
        assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), there);
    }

    #[test]
    fn the_page_has_every_command() {
        let page = reference(Cli::command());
        for heading in [
            "## `tappass`",
            "### `tappass agents`",
            "#### `tappass agents add`",
            "#### `tappass gov enforce`",
        ] {
            assert!(page.lines().any(|l| l == heading), "{heading}\n{page}");
        }
        assert!(!page.contains('\u{1b}'));
    }
}
