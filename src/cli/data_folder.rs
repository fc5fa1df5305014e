//! What `messaging dev` keeps in its data folder and other commands read from it.

use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// The data folder when none is named, in the current folder.
pub const DEFAULT: &str = ".data";

/// The file of the secret that tokens are signed with.
pub const JWT_SECRET: &str = "jwt-secret";

/// A secret that the folder keeps under `name`.
///
/// # Errors
/// When there is none, or it cannot be read.
pub fn read_secret(data: &Path, name: &str) -> io::Result<String> {
    let text = std::fs::read_to_string(data.join(name))?;
    Ok(text.trim_end().to_owned())
}

/// The same, made on first use.
pub fn secret(data: &Path, name: &str) -> io::Result<String> {
    match read_secret(data, name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let secret = random_hex();
            write_private(&data.join(name), &secret)?;
            Ok(secret)
        }
        other => other,
    }
}

/// 256 bits from the system's generator, in hex.
fn random_hex() -> String {
    format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>())
}

/// Writes a file that only its owner may read, all or nothing.
pub fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let temporary = path.with_extension("new");
    // A left-over of a killed process may have other permissions.
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)
}
