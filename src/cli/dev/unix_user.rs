//! Postgres refuses to run as root; this finds a user that it may run as.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// A user of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnixUser {
    pub uid: u32,
    pub gid: u32,
}

/// The user id this process runs as; 0 is root.
pub fn current() -> u32 {
    // SAFETY: takes nothing, changes nothing and cannot fail.
    unsafe { libc::geteuid() }
}

/// Who shall run Postgres on `data`: `None` is the current user.
///
/// As root it is the owner of data that exists, else `postgres`, else `nobody`.
///
/// # Errors
/// When this is root and the machine has none of them.
pub fn for_postgres(data: &Path) -> io::Result<Option<UnixUser>> {
    if current() != 0 {
        return Ok(None);
    }
    if let Ok(metadata) = std::fs::metadata(data)
        && metadata.uid() != 0
    {
        return Ok(Some(UnixUser { uid: metadata.uid(), gid: metadata.gid() }));
    }
    let passwd = std::fs::read_to_string("/etc/passwd")?;
    ["postgres", "nobody"].iter().find_map(|name| find(&passwd, name)).map(Some).ok_or_else(|| {
        io::Error::other(
            "Postgres refuses to run as root, and there is no user `postgres` or `nobody`",
        )
    })
}

fn find(passwd: &str, name: &str) -> Option<UnixUser> {
    passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        match fields[..] {
            [user, _, uid, gid, ..] if user == name => {
                Some(UnixUser { uid: uid.parse().ok()?, gid: gid.parse().ok()? })
            }
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_exact_name() {
        let passwd =
            "root:x:0:0:root:/root:/bin/sh\npostgresx:x:7:7::/:\npostgres:x:105:109:,,,:/:/b\n";
        assert_eq!(find(passwd, "postgres"), Some(UnixUser { uid: 105, gid: 109 }));
        assert_eq!(find(passwd, "nobody"), None);
    }
}
