use super::*;

fn tiff(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut bytes = b"II*\0\x08\0\0\0".to_vec();
    bytes.extend((entries.len() as u16).to_le_bytes());
    for (tag, kind, value) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes.extend(1_u32.to_le_bytes());
        bytes.extend(value.to_le_bytes());
    }
    bytes
}

/// The head of a PCX with this encoding and these corners.
fn pcx(encoding: u8, corners: [u16; 4]) -> Vec<u8> {
    let mut bytes = vec![0x0a, 5, encoding, 8];
    bytes.extend(corners.iter().flat_map(|corner| corner.to_le_bytes()));
    bytes.resize(65, 0);
    bytes.extend([3, 96, 0]);
    bytes.resize(128, 0);
    bytes
}

fn boxes(brands: &[&[u8; 4]]) -> Vec<u8> {
    let size = (12 + 4 * brands.len()) as u32;
    let mut bytes = [&size.to_be_bytes()[..], b"ftyp", brands[0], b"\0\0\0\0"].concat();
    brands[1..].iter().for_each(|brand| bytes.extend(*brand));
    [&bytes[..], b"\0\0\0\x08mdat"].concat()
}

fn what(bytes: &[u8]) -> &'static str {
    match Kind::of(bytes) {
        Kind::Photo(format) => format.extension(),
        Kind::Unread(unread) => unread.what,
        Kind::Other => "other",
    }
}

#[test]
fn kinds_are_told_by_their_first_bytes() {
    let known: &[(&[u8], &str)] = &[
        (b"\xff\xd8\xff\xe0", "jpg"),
        (b"\x89PNG\r\n\x1a\n", "png"),
        (b"RIFF\0\0\0\0WEBP", "webp"),
        (b"GIF89a", "gif"),
        (b"BM\0\0\0\0\0\0\0\0\0\0\0\0\x28\0\0\0", "bmp"),
        (b"BM is short for bitmap", "other"),
        (&tiff(&[(256, 3, 7)]), "tiff"),
        (&tiff(&[(50_706, 1, 1)]), "a raw photo (DNG)"),
        (&tiff(&[(254, 4, 1), (271, 2, 0), (330, 4, 9)]), "a camera's raw file"),
        (&tiff(&[(254, 4, 0), (271, 2, 0), (330, 4, 9)]), "tiff"),
        (b"II*\0\x10\0\0\0CR\x02\0\0\0\0\0\0\0", "a Canon raw photo (CR2)"),
        (b"FUJIFILMCCD-RAW 0201", "a Fujifilm raw photo (RAF)"),
        (&boxes(&[b"crx ", b"isom"]), "a Canon raw photo (CR3)"),
        (&boxes(&[b"isom", b"avc1"]), "a video"),
        (&boxes(&[b"qt  "]), "a video"),
        (b"\0\0\0\x08wide\0\0\0\0mdat", "a video"),
        (b"The free software", "other"),
        (b"RIFF\0\0\0\0AVI LIST", "a video"),
        (b"RIFF\0\0\0\0WAVEfmt ", "other"),
        (b"8BPS\0\x01", "a Photoshop file (PSD)"),
        (b"%PDF-1.4", "a PDF document"),
        (b"PK\x03\x04\x14\0", "an archive"),
        (b"BZh91AY&SY", "an archive"),
        (b"\xef\xbb\xbf <?xml version='1.0'?>\n<svg>", "a drawing (SVG)"),
        (b"<?xml version='1.0'?><x:xmpmeta>", "other"),
        (b"P6\n3 2\n255\n", "a Netpbm picture (PNM)"),
        (b"P1 is a name", "other"),
        (b"icns\0\0\x01\0", "an icon of macOS (ICNS)"),
        (b"BPG\xfb\x20\0", "a BPG photo"),
        (&pcx(1, [0, 0, 95, 63]), "a PCX picture"),
        (&pcx(1, [9, 0, 8, 63]), "other"),
        (&pcx(7, [0, 0, 95, 63]), "other"),
        (b"{\"a\": 1}", "other"),
        (b"", "other"),
    ];
    for (bytes, expected) in known {
        assert_eq!(what(bytes), *expected, "{:?}", String::from_utf8_lossy(bytes));
    }
    let avif = if cfg!(feature = "avif") { "avif" } else { "an AVIF photo" };
    assert_eq!([what(&boxes(&[b"avif", b"mif1"])), what(&boxes(&[b"mif1", b"avif", b"heic"]))], [avif; 2]);
    let (heic, heif) = if cfg!(feature = "heic") { ("heic", "heic") } else { ("a HEIC photo (HEIF)", "a HEIF photo") };
    assert_eq!([what(&boxes(&[b"heic", b"mif1"])), what(&boxes(&[b"mif1", b"mif1", b"heic"]))], [heic; 2]);
    assert_eq!(what(&boxes(&[b"mif1"])), heif);
}

#[test]
fn no_beginning_of_anything_breaks_anything() {
    for bytes in
        [tiff(&[(254, 4, 1)]), boxes(&[b"heic", b"mif1"]), b"P6".to_vec(), b"RIFF\0\0\0\0WEBP".to_vec(), pcx(1, [0; 4])]
    {
        for length in 0..bytes.len() {
            Kind::of(&bytes[..length]);
            looks_like(&bytes[..length]);
        }
    }
}

#[test]
fn extensions_count_where_the_bytes_say_nothing() {
    let kind = |name: &str, head: &[u8]| Kind::of_file(Path::new(name), head);
    let jpeg = Kind::Photo(Format::Image(ImageFormat::Jpeg));
    assert_eq!(kind("a.heic", b"\xff\xd8\xff\xe0"), jpeg, "a wrong extension does not matter");
    assert_eq!(kind("a.txt", b"\xff\xd8\xff\xe0"), jpeg);
    assert_eq!(kind("a.HEIC", b"odd"), Kind::Unread(HEIC));
    assert_eq!(kind("a.nef", &tiff(&[(256, 3, 7)])), Kind::Unread(RAW));
    assert_eq!(kind("a.svgz", &tiff(&[(256, 3, 7)])), Kind::Photo(Format::Image(ImageFormat::Tiff)));
    assert_eq!(kind("a.docx", b"PK\x03\x04"), Kind::Other);
    assert_eq!(kind("a.cbz", b"PK\x03\x04"), Kind::Unread(ARCHIVE));
    assert_eq!([kind("a.xmp", b"<x:xmpmeta>"), kind("noise", b"")], [Kind::Other; 2]);
}

#[test]
fn what_is_no_photo_is_described() {
    for (bytes, expected) in [
        (&b"<!DOCTYPE HTML><title>404"[..], "a web page"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (b"data:image/jpeg;base64,/9j/", "base64"),
        (&[b'A'; 100], "base64"),
        (&[0; 100], "nothing but zeros"),
        (b"\n\xff\xd8\xff\xe0", "before the photo"),
        (b"\xef\xbb\xbf\x89PNG\r\n\x1a\n", "before the photo"),
        (b"this is a text file", "it is text"),
        ("Gr\u{fc}\u{df}e".as_bytes(), "it is text"),
        (b"\x01\x02\xfe\xff\x03", "no known kind"),
    ] {
        assert!(looks_like(bytes).contains(expected), "{expected}: {}", looks_like(bytes));
    }
}
