//! ZIP archives of files that are compressed already or small: contents are stored as they are (APPNOTE 6.3, sections 4.3.7, 4.3.12,
//! 4.3.16).

use crate::problem::Problem;

/// Version needed: 1.0.
const VERSION: u16 = 10;
/// Names are UTF-8.
const UTF8: u16 = 1 << 11;
/// 1 January 1980, the earliest there is: when a result was made is nobody's business.
const DATE: u16 = (1 << 5) | 1;

/// An archive of these files, names and contents.
///
/// # Errors
/// 500 where they are more than an archive without extensions can hold: 4 GiB or 65535 files.
pub fn archive(files: &[(String, Vec<u8>)]) -> Result<Vec<u8>, Problem> {
    let too_large = |_| Problem::internal("the archive", "the files are too large for it");
    let sum: usize = files.iter().map(|(name, content)| content.len() + 2 * name.len() + 76).sum();
    let mut out = Vec::with_capacity(sum + 22);
    let mut directory = Vec::new();
    for (name, content) in files {
        let offset = u32::try_from(out.len()).map_err(too_large)?;
        let size = u32::try_from(content.len()).map_err(too_large)?;
        let mut shared = Vec::new();
        for field in [VERSION, UTF8, 0, 0, DATE] {
            shared.extend(field.to_le_bytes());
        }
        for field in [crc32fast::hash(content), size, size] {
            shared.extend(field.to_le_bytes());
        }
        shared.extend(u16::try_from(name.len()).map_err(too_large)?.to_le_bytes());
        shared.extend([0; 2]);
        out.extend(b"PK\x03\x04");
        out.extend(&shared);
        out.extend(name.as_bytes());
        out.extend(content);
        directory.extend(b"PK\x01\x02");
        directory.extend(VERSION.to_le_bytes());
        directory.extend(&shared);
        // Comment, disk and attributes: none.
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let count = u16::try_from(files.len()).map_err(too_large)?.to_le_bytes();
    let start = u32::try_from(out.len()).map_err(too_large)?.to_le_bytes();
    let length = u32::try_from(directory.len()).map_err(too_large)?.to_le_bytes();
    out.extend(directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend([count, count].concat());
    out.extend([length, start].concat());
    out.extend([0; 2]);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_archive_is_an_end_and_nothing_else() {
        let mut expected = b"PK\x05\x06".to_vec();
        expected.resize(22, 0);
        assert_eq!(archive(&[]).unwrap(), expected);
    }

    #[test]
    fn contents_stand_behind_their_names() {
        let out = archive(&[("a.txt".into(), b"123456789".to_vec()), ("b".into(), Vec::new())]).unwrap();
        assert_eq!(&out[30..44], b"a.txt123456789");
        // The check value of CRC-32.
        assert_eq!(out[14..18], 0xCBF4_3926_u32.to_le_bytes());
        let second = out[18..].windows(4).position(|bytes| bytes == b"PK\x03\x04").unwrap() + 18;
        let directory = out.windows(4).rposition(|bytes| bytes == b"PK\x01\x02").unwrap();
        assert_eq!(out[directory + 42..directory + 46], (second as u32).to_le_bytes());
        assert_eq!(out.len(), out.capacity(), "the room is reckoned exactly");
    }
}
