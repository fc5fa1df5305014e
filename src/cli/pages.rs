//! `messaging completions` and `messaging man`: what shells and readers of manuals are given, made from the commands
//! themselves.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Command;
use clap_complete::Shell;

use super::UNWRITTEN;

#[derive(Debug, clap::Args)]
pub struct Completions {
    /// For which shell.
    shell: Shell,
}

#[derive(Debug, clap::Args)]
pub struct Man {
    /// The folder to write the pages into; it is made.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Prints the completions.
pub fn completions(args: &Completions, command: &mut Command) -> anyhow::Result<ExitCode> {
    let name = command.get_name().to_owned();
    let mut text = Vec::new();
    clap_complete::generate(args.shell, command, name, &mut text);
    io::Write::write_all(&mut io::stdout().lock(), &text).context(UNWRITTEN)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes `messaging.1`, `messaging-admin.1`, `messaging-admin-user.1`, …
pub fn man(args: &Man, command: Command) -> anyhow::Result<ExitCode> {
    let out = &args.out;
    std::fs::create_dir_all(out)
        .and_then(|()| clap_mangen::generate_to(command, out))
        .with_context(|| format!("The pages cannot be written into {}", out.display()))?;
    println!("The pages are in {}.", out.display());
    Ok(ExitCode::SUCCESS)
}
