//! Folders whose changes the system cannot tell of: those on other machines.

use std::path::Path;

/// File systems whose files other machines write: the kernel hears nothing of it.
const REMOTE: [&str; 16] = [
    "9p",
    "afs",
    "ceph",
    "cifs",
    "fakeowner",
    "fuse.glusterfs",
    "fuse.grpcfuse",
    "fuse.rclone",
    "fuse.s3fs",
    "fuse.sshfs",
    "nfs",
    "nfs4",
    "smb3",
    "smbfs",
    "vboxsf",
    "virtiofs",
];

/// The file system of a folder, where its changes may be made elsewhere. `folder` is its real path.
pub(super) fn remote_file_system(folder: &Path) -> Option<String> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    let kind = file_system(&table, folder)?;
    REMOTE.contains(&kind.as_str()).then_some(kind)
}

/// The file system that holds a folder, by a table of mounts as Linux writes it: the longest mount point above the folder, and the
/// last of several at one place.
fn file_system(table: &str, folder: &Path) -> Option<String> {
    let mount = |line: &str| {
        let (place, kind) = line.split_once(" - ")?;
        let point = unescaped(place.split(' ').nth(4)?);
        let depth = folder.starts_with(&point).then(|| Path::new(&point).components().count())?;
        Some((depth, kind.split(' ').next()?.to_owned()))
    };
    table.lines().filter_map(mount).max_by_key(|(depth, _)| *depth).map(|(_, kind)| kind)
}

/// Spaces and the like stand as octal numbers in the table.
fn unescaped(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (code, character)| text.replace(code, character))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:40 / /mnt/share rw,relatime shared:9 - nfs4 server:/export rw
31 22 0:41 / /mnt/two\\040words rw - cifs //server/photos rw
32 30 0:42 / /mnt/share/local rw - tmpfs tmpfs rw
33 22 0:43 / /mnt/late rw - ext4 /dev/sdb1 rw
34 33 0:44 / /mnt/late rw - 9p host rw
";

    #[test]
    fn the_longest_mount_point_counts() {
        let kind = |folder: &str| file_system(TABLE, Path::new(folder)).unwrap();
        assert_eq!(kind("/home/photos"), "ext4");
        assert_eq!(kind("/mnt/share/photos"), "nfs4");
        assert_eq!(kind("/mnt/shared"), "ext4");
        assert_eq!(kind("/mnt/two words/in"), "cifs");
        assert_eq!(kind("/mnt/share/local/in"), "tmpfs");
        assert_eq!(kind("/mnt/late"), "9p");
        assert_eq!(file_system("", Path::new("/")), None);
        assert_eq!(file_system("no table", Path::new("/")), None);
    }
}
