//! `messaging schemas`: the JSON Schemas of everything on subjects and sockets, as files.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

use crate::wire::schemas::files;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder, made if it is not there. Files of other names in it are left alone.
    #[arg(long, default_value = "nats/schemas", value_name = "DIR")]
    out: PathBuf,
}

/// Writes the files.
pub fn command(args: &Args) -> anyhow::Result<ExitCode> {
    let files = files::all();
    for file in &files {
        let path = args.out.join(&file.path);
        let folder = path.parent().unwrap_or(&args.out);
        std::fs::create_dir_all(folder)
            .with_context(|| format!("{} cannot be made", folder.display()))?;
        let text = serde_json::to_string_pretty(&file.schema)?;
        std::fs::write(&path, text + "\n")
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    println!("{} schemas in {}", files.len(), args.out.display());
    Ok(ExitCode::SUCCESS)
}
