//! `clothseg-run` and the files that people really have: kinds, endings, names, lists, results of earlier runs.

#![allow(clippy::unwrap_used)]
#![cfg(feature = "embedded")]

mod support;

use support::TestEnv;

const LABELS: [&str; 2] = ["-f", "labels"];

fn run(env: &TestEnv, arguments: &[&str]) -> support::Run {
    env.run(&[arguments, &LABELS].concat())
}

fn photo(env: &TestEnv, name: &str) -> Vec<u8> {
    std::fs::read(env.photo(name)).unwrap()
}

#[test]
fn a_photo_is_what_its_bytes_say() {
    let env = TestEnv::new();
    let jpeg = photo(&env, "a.jpg");
    let png = photo(&env, "b.png");
    for name in ["a3f9c2", "photo.jpg@1200w", "c.JFIF", "d.pjp", "e.txt", "f.heic", "g.dat", "h._AC_SX679_"] {
        env.write(&format!("in/{name}"), &jpeg);
    }
    env.write("in/wrong.jpg", &png);
    env.write("in/foo.jpg/inner.png", &png);
    env.write("in/notes.txt", b"a note");
    env.write("in/a.xmp", b"<x:xmpmeta>");
    env.write("in/empty", b"");
    run(&env, &["in", "-o", "out"]).expect(0, &["10 photos done", "skipped 3 files that are not photos"]);
    let files = env.files("out");
    for name in ["a3f9c2", "photo.jpg@1200w", "c", "d", "e.txt", "f", "h._AC_SX679_", "wrong", "foo.jpg/inner"] {
        assert!(files.contains(&format!("{name}.labels.png")), "{name}: {files:?}");
    }
}

#[test]
fn what_is_not_read_is_named_by_kind_and_counts_as_a_failure() {
    let env = TestEnv::new();
    env.photo("in/a.png");
    for (name, bytes) in [
        ("IMG_1.HEIC", &b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"[..]),
        ("raw.dng", b"II*\0\0\0\0\0\0\0"),
        ("layers.psd", b"8BPS\0\x01"),
        ("clip.mov", b"\0\0\0\x14ftypqt  \0\0\0\0qt  "),
        ("scans.zip", b"PK\x03\x04"),
        ("odd.jxl", b"no JPEG XL"),
    ] {
        env.write(&format!("in/{name}"), bytes);
    }
    run(&env, &["in", "-o", "out"]).expect(
        1,
        &[
            // Damaged, or named as what libheif is needed for.
            "in/IMG_1.HEIC: not a readable photo: ",
            "HEIC",
            "in/raw.dng: not a readable photo: it is a raw photo (DNG)",
            "in/layers.psd: not a readable photo: it is a Photoshop file",
            "in/clip.mov: not a readable photo: it is a video",
            "in/scans.zip: not a readable photo: it is an archive",
            "in/odd.jxl: not a readable photo: it is a JPEG XL photo",
            "1 photo done, 6 failed",
        ],
    );
    std::fs::remove_file(env.path("in/a.png")).unwrap();
    run(&env, &["in", "-o", "none"]).expect(1, &["0 photos done, 6 failed"]);
    run(&env, &["in/raw.dng", "-o", "one"]).expect(1, &["raw photo (DNG)"]);
    env.write("in/zero.jpg", b"");
    run(&env, &["in/zero.jpg", "-o", "one"]).expect(1, &["the file is empty"]);
}

#[test]
fn flags_that_change_nothing_are_named() {
    let env = TestEnv::new();
    env.photo("a.png");
    let said = "--background has no effect without --format cutout or --format crop";
    run(&env, &["a.png", "-o", "out", "--background", "white"]).expect(0, &[said]);
    let cut = run(&env, &["a.png", "-o", "cut", "--background", "white", "--format", "cutout"]);
    cut.expect(0, &["1 photo done"]);
    assert!(!cut.stderr.contains("no effect"), "{cut:?}");
    let flags = [
        "--invert",
        "--feather=3",
        "--mask-depth=1",
        "--coco=rle",
        "--tolerance=2",
        "--outline=smooth",
        "--min-area=3",
    ];
    let none = run(&env, &[&["a.png", "-o", "out", "--device=3"], &flags[..]].concat());
    none.expect(
        0,
        &[
            "--device has no effect: provider 'embedded' does not run on a GPU",
            "--feather has no effect without --format masks",
        ],
    );
    assert_eq!(none.stderr.matches("has no effect").count(), 8, "{none:?}");
    let all = env.run(&[&["a.png", "-o", "all", "-f", "masks,json,coco"], &flags[..]].concat());
    assert!(!all.expect(0, &[]).stderr.contains("no effect"), "{all:?}");
    let log = env.run_with_variable("CLOTHSEG_LOG", "clothseg=lots", &["a.png", "-o", "log"]);
    log.expect(0, &["CLOTHSEG_LOG 'clothseg=lots' is not a log filter"]);
    run(&env, &["a.png", "-o", "out", "-j", "0"]).expect(2, &["'0' is not a whole number from 1 on"]);
    run(&env, &["--files-from", "out", "-o", "other"]).expect(2, &["out is a folder; name it as an input"]);
}

#[test]
fn what_systems_leave_among_photos_is_passed_over() {
    let env = TestEnv::new();
    let png = photo(&env, "in/a.png");
    for name in
        ["._a.png", ".DS_Store", "Thumbs.db", "desktop.ini", "@eaDir/a.png", "__MACOSX/._a.png", "#recycle/b.png"]
    {
        env.write(&format!("in/{name}"), &png);
    }
    let done = run(&env, &["in", "-o", "out"]);
    done.expect(0, &["1 photo done"]);
    assert!(!done.stderr.contains("not a photo"), "{done:?}");
    assert_eq!(env.files("out"), ["a.labels.png"]);
}

#[test]
#[cfg(unix)]
fn pipes_and_names_that_are_no_text_do_no_harm() {
    use std::os::unix::ffi::OsStrExt;
    let env = TestEnv::new();
    let png = photo(&env, "in/a.png");
    std::fs::write(env.path("in").join(std::ffi::OsStr::from_bytes(b"\xff\xfe")), &png).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(env.path("in/socket")).unwrap();
    std::process::Command::new("mkfifo").arg(env.path("in/pipe.jpg")).status().unwrap();
    std::os::unix::fs::symlink(env.path("in/a.png"), env.path("in/link")).unwrap();
    run(&env, &["in/pipe.jpg", "-o", "pipe"]).expect(1, &["in/pipe.jpg: it is a pipe; name - "]);
    run(&env, &["in", "-o", "out"]).expect(0, &["2 photos done"]);
    run(&env, &["in", "-o", "out", "--resume"]).expect(0, &["2 done before"]);
}

#[test]
#[cfg(unix)]
fn control_characters_of_names_are_escaped_in_messages() {
    let env = TestEnv::new();
    env.write("c\rz.jpg", b"x");
    let failed = run(&env, &["c\rz.jpg", "nope\u{1b}[2J", "two\nlines.jpg", "-o", "out"]);
    failed.expect(1, &["error: c\\rz.jpg: ", "error: nope\\u{1b}[2J: ", "error: two\\nlines.jpg: "]);
    assert!(!failed.stderr.contains(['\r', '\u{1b}']) && !failed.stderr.contains("two\n"), "{failed:?}");
}

#[test]
fn a_photo_that_is_cut_off_fails_or_is_done_in_part_and_flagged() {
    let env = TestEnv::new();
    let jpeg = photo(&env, "whole.jpg");
    env.write("in/no-end.jpg", &jpeg[..jpeg.len() - 2]);
    env.write("in/cut.jpg", &jpeg[..jpeg.len() * 3 / 4]);
    let json = |more: &[&str]| env.run(&[&["in", "-o", "out", "-f", "labels,json"], more].concat());
    json(&[])
        .expect(1, &["in/cut.jpg: not a readable photo: it is cut off", "--allow-truncated", "1 photo done, 1 failed"]);
    json(&["--allow-truncated", "--review-dir", "look"]).expect(0, &["2 photos done", "to review"]);
    let document = |name: &str| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(env.path(&format!("out/{name}.json"))).unwrap()).unwrap()
    };
    assert_eq!(document("cut")["truncated"], true);
    assert!(document("no-end").get("truncated").is_none());
    let flags = |stem: &str| {
        let lines = env.manifest("out/manifest.jsonl");
        let line = lines.iter().rev().find(|line| line["stem"] == stem).unwrap();
        line["review"].as_array().unwrap().contains(&"truncated".into())
    };
    assert!(flags("cut") && !flags("no-end"));
    assert!(env.path("look/cut.photo.jpg").exists() && env.path("look/cut.review.png").exists());
    json(&["--allow-truncated", "--review-dir", "look", "--resume"]).expect(0, &["2 done before"]);
    json(&["--resume"]).expect(1, &["in/cut.jpg: not a readable photo", "1 failed, 1 done before"]);
}

#[test]
fn results_of_another_run_are_no_photos() {
    let env = TestEnv::new();
    env.photo("in/a.png");
    env.photo("in/b/c.png");
    let formats = ["-f", "masks,labels,overlay,json"];
    env.run(&[&["in", "-o", "in/masks", "--review-dir", "in/look", "--min-confidence", "1"][..], &formats].concat())
        .expect(0, &["2 photos done"]);
    env.photo("in/masks/own.png");
    run(&env, &["in", "-o", "second"]).expect(0, &["3 photos done", "results of earlier runs"]);
    assert_eq!(env.files("second"), ["a.labels.png", "b/c.labels.png", "masks/own.labels.png"]);
    // Into the folder of the photos, named one by one.
    env.photo("flat/a.png");
    env.run(&[&["flat/a.png", "-o", "."][..], &formats].concat()).expect(0, &[]);
    run(&env, &["flat", "-o", "third"]).expect(0, &["1 photo done"]);
    assert_eq!(env.files("third"), ["a.labels.png"]);
    // Named one by one, as a shell does for *.png; a result that is named by itself is meant.
    let labels = "flat/a.labels.png";
    run(&env, &["flat/a.png", labels, "-o", "fourth"])
        .expect(0, &["1 photo done", "are left out, such as flat/a.labels.png"]);
    assert_eq!(env.files("fourth"), ["flat/a.labels.png"]);
    run(&env, &[labels, "-o", "fifth"]).expect(0, &["1 photo done"]);
}

#[test]
fn long_names_are_shortened_and_names_without_room_are_refused_before() {
    let env = TestEnv::new();
    env.photo(&format!("in/{}1.png", "n".repeat(250)));
    env.photo(&format!("in/{}2.png", "n".repeat(250)));
    env.photo(&format!("in/{}.png", "袍".repeat(80)));
    run(&env, &["in", "-o", "out"]).expect(0, &["3 photos done"]);
    assert_eq!(env.files("out").len(), 3);
    run(&env, &["in", "-o", "out", "--resume"]).expect(0, &["3 done before"]);
    assert!(env.manifest("out/manifest.jsonl").iter().all(|line| line["input"]["path"].as_str().unwrap().len() > 240));
    let deep = "deep/".repeat(820);
    let failed = run(&env, &["in", "-o", &deep]);
    assert!(matches!(failed.code, Some(1 | 2)), "{failed:?}");
}

#[test]
fn a_stem_that_becomes_ambiguous_leaves_nothing_behind() {
    let env = TestEnv::new();
    let formats = ["in", "-o", "out", "-f", "masks,labels,json,cutout"];
    env.photo("in/a.jpg");
    env.photo("in/other.png");
    env.run(&formats).expect(0, &["2 photos done"]);
    let alone = env.files("out");
    env.photo("in/a.png");
    for more in [&["--resume"][..], &[]] {
        env.run(&[&formats[..], more].concat()).expect(0, &["photos done"]);
        let files = env.files("out");
        assert!(
            files.iter().all(|name| ["a.jpg.", "a.png.", "other."].iter().any(|stem| name.starts_with(stem))),
            "{files:?}"
        );
        assert_eq!(files.len(), alone.len() / 2 * 3);
    }
    std::fs::remove_file(env.path("in/a.png")).unwrap();
    env.run(&[&formats[..], &["--resume"]].concat())
        .expect(0, &["1 photo done, 1 done before", "not part of this run: a.png"]);
    let files = env.files("out");
    assert!(
        files.contains(&"a.labels.png".into()) && !files.iter().any(|name| name.starts_with("a.jpg.")),
        "{files:?}"
    );
}

#[test]
fn a_resume_names_what_changed_and_what_is_missing() {
    let env = TestEnv::new();
    env.photos("in", 4);
    run(&env, &["in", "-o", "out", "--resume"]).expect(0, &["4 photos done"]);
    std::fs::copy(env.path("in/b/01.png"), env.path("in/00.png")).unwrap();
    std::fs::remove_file(env.path("in/02.png")).unwrap();
    run(&env, &["in", "-o", "out", "--resume"]).expect(
        0,
        &[
            "1 photo has changed since it was done: 00.png; done again",
            "1 photo in the manifest is not part of this run: 02.png; the results are kept",
            "1 photo done, 2 done before",
        ],
    );
    let silent = run(&env, &["in", "-o", "out"]);
    assert!(!silent.expect(0, &[]).stderr.contains("not part of this run"), "{silent:?}");
}

#[test]
fn patterns_are_expanded_and_addresses_refused() {
    let env = TestEnv::new();
    env.photos("in", 4);
    env.write("in/notes.txt", b"x");
    run(&env, &["in/*.png", "-o", "out"]).expect(0, &["2 photos done"]);
    assert_eq!(env.files("out"), ["in/00.labels.png", "in/02.labels.png"]);
    run(&env, &["in/*", "-o", "all"]).expect(0, &["4 photos done", "skipped 1 file that is not a photo"]);
    run(&env, &["in/**", "-o", "deep"]).expect(0, &["4 photos done"]);
    run(&env, &["in/{00,02}.png", "-o", "none"]).expect(1, &["there is no such file, and braces are no pattern here"]);
    run(&env, &["in/*.tif", "-o", "none"]).expect(1, &["in/*.tif: there is no such file", "no file name matches"]);
    run(&env, &["https://example.org/a.jpg", "in/00.png", "-o", "url"])
        .expect(1, &["https://example.org/a.jpg: it is an address", "download it first", "1 photo done, 1 failed"]);
}

#[test]
fn lists_are_read_as_every_editor_saves_them() {
    let env = TestEnv::new();
    env.photo("in/a b.png");
    env.photo("in/ä.png");
    let list = "in/a b.png\r\n\"in/ä.png\"\r\n";
    let wide = |bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
        std::iter::once(0xfeff).chain(list.encode_utf16()).flat_map(bytes).collect()
    };
    let marked = [b"\xef\xbb\xbf", list.as_bytes()].concat();
    let old = list.replace("\r\n", "\r").into_bytes();
    let lists = [wide(u16::to_le_bytes), wide(u16::to_be_bytes), marked, old];
    for (number, bytes) in lists.iter().enumerate() {
        env.write("list.txt", bytes);
        let out = format!("out{number}");
        run(&env, &["--files-from", "list.txt", "-o", &out]).expect(0, &["2 photos done"]);
        assert_eq!(env.files(&out), ["in/a b.labels.png", "in/ä.labels.png"]);
    }
    for (bytes, cause) in [
        (
            b"in/a b.png\0in/\xc3\xa4.png\0".to_vec(),
            "list.txt is no list of paths, one a line: NUL bytes end its paths",
        ),
        (std::fs::read(env.path("in/a b.png")).unwrap(), "it is a photo; name it as an input"),
        (wide(u16::to_le_bytes)[2..].to_vec(), "UTF-16 without a byte order mark"),
    ] {
        env.write("list.txt", &bytes);
        let refused = run(&env, &["--files-from", "list.txt", "-o", "out"]);
        assert_eq!(refused.expect(2, &[cause]).stderr.lines().count(), 1, "{refused:?}");
    }
    env.write("list.txt", b"\xff\xfea");
    run(&env, &["--files-from", "list.txt", "-o", "out"]).expect(2, &["the list of photos is UTF-16 that ends"]);
}

#[test]
fn lists_in_flags_have_blanks_quotation_marks_and_names_with_commas() {
    let env = TestEnv::new();
    env.photo("a.png");
    let mut spec = support::color_spec();
    spec.taxonomy.classes[1].name = "shirt, blouse".into();
    spec.taxonomy.groups.clear();
    env.write("colours.onnx", &spec.embed_in_onnx(&support::model_without_spec()).unwrap());
    let masks = |classes: &str| {
        let out = env.path("out");
        let _ = std::fs::remove_dir_all(&out);
        env.run(&["a.png", "-o", "out", "--classes", classes, "-f", " masks , labels,"]).expect(0, &[]);
        env.files("out").len() - 1
    };
    for classes in ["shirt, blouse", "'shirt, blouse'", " pants ", "pants,,"] {
        assert_eq!(masks(classes), 1, "{classes}");
    }
    for classes in ["shirt, blouse , pants", "pants,shirt, blouse", "pants,\"shirt, blouse\""] {
        assert_eq!(masks(classes), 2, "{classes}");
    }
    env.run(&["a.png", "--classes", ","]).expect(2, &["--classes ',' names nothing"]);
    env.run(&["a.png", "--classes", "'pants,shirt"]).expect(2, &["not closed"]);
    env.run(&["a.png", "--classes", "shirt, blouze"]).expect(2, &["unknown class"]);
    env.run(&["a.png", "--format", "masks,'json"]).expect(2, &["not closed"]);
}

#[test]
fn messages_in_a_pipe_have_no_colours_and_warnings_name_their_photo() {
    let env = TestEnv::new();
    let drawn = support::drawn_photo(96, 128);
    let mut png = Vec::new();
    let mut encoder = image::codecs::png::PngEncoder::new(&mut png);
    image::ImageEncoder::set_icc_profile(&mut encoder, b"no profile".to_vec()).unwrap();
    drawn.write_with_encoder(encoder).unwrap();
    env.write("in/odd.png", &png);
    env.photo("in/well.png");
    let done = run(&env, &["in", "-o", "out"]);
    done.expect(0, &["2 photos done"]);
    assert!(!done.stderr.contains('\u{1b}') && !done.stdout.contains('\u{1b}'), "{done:?}");
    let warning = done.stderr.lines().find(|line| line.contains("colour profile")).unwrap();
    assert!(warning.contains("in/odd.png"), "{warning}");
    let quiet = run(&env, &["in", "-o", "quiet", "--quiet"]);
    assert_eq!(quiet.expect(0, &[]).stderr, "", "warnings are no errors");
}

#[test]
fn nothing_of_another_photo_or_of_other_options_is_removed() {
    let env = TestEnv::new();
    env.photo("spring/a.jpg");
    env.run(&["spring", "-o", "out", "-f", "labels,json"]).expect(0, &["1 photo done"]);
    // Another photo of the same name.
    env.photos("summer", 2);
    std::fs::rename(env.path("summer/00.png"), env.path("summer/a.png")).unwrap();
    std::fs::copy(env.path("summer/a.png"), env.path("summer/a.jpg")).unwrap();
    env.run(&["summer", "-o", "out", "-f", "labels"]).expect(0, &["photos done"]);
    let files = env.files("out");
    for name in ["a.labels.png", "a.json", "a.jpg.labels.png", "a.png.labels.png"] {
        assert!(files.contains(&name.into()), "{name}: {files:?}");
    }
    // A part of a folder, in another format: what the whole gave stays.
    env.photo("whole/b.jpg");
    env.photo("whole/b.png");
    env.run(&["whole", "-o", "all", "-f", "labels"]).expect(0, &["2 photos done"]);
    std::fs::remove_file(env.path("whole/b.png")).unwrap();
    env.run(&["whole", "-o", "all", "-f", "svg", "--resume"]).expect(0, &["1 photo done"]);
    assert_eq!(env.files("all"), ["b.jpg.labels.png", "b.png.labels.png", "b.svg"]);
}

#[test]
fn a_name_of_a_list_that_has_gone_is_no_pattern_and_formats_may_be_given_twice() {
    let env = TestEnv::new();
    env.photo("IMG1.jpg");
    env.write("list.txt", b"IMG[1].jpg\n");
    env.run(&["--files-from", "list.txt", "-o", "out"]).expect(1, &["IMG[1].jpg"]);
    assert!(env.files("out").is_empty(), "{:?}", env.files("out"));
    env.run(&["IMG1.jpg", "-o", "out", "--format", "labels", "--format", "json"]).expect(0, &[]);
    assert_eq!(env.files("out"), ["IMG1.json", "IMG1.labels.png"]);
}
