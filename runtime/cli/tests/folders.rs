//! `clothseg-run` over many photos: manifest, resume, shards, lists, review.

#![allow(clippy::unwrap_used)]
#![cfg(feature = "embedded")]

mod support;

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use support::TestEnv;

/// The bytes of all results but the JSON, in which times differ.
fn results(env: &TestEnv, below: &str) -> Vec<(String, Vec<u8>)> {
    let files = env.files(below).into_iter().filter(|name| !name.ends_with(".json"));
    files.map(|name| (name.clone(), std::fs::read(env.path(&format!("{below}/{name}"))).unwrap())).collect()
}

fn text<'a>(line: &'a Value, key: &str) -> &'a str {
    line[key].as_str().unwrap()
}

fn stems(lines: &[Value]) -> BTreeSet<String> {
    lines.iter().map(|line| text(line, "stem").to_owned()).collect()
}

#[test]
fn the_manifest_tells_all_of_each_photo() {
    let env = TestEnv::new();
    env.photo("in/deep/a.png");
    env.write("in/bad.jpg", b"this is a text file");
    env.run(&["in", "-o", "out"]).expect(1, &["1 photo done, 1 failed"]);
    let lines = env.manifest("out/manifest.jsonl");
    assert_eq!(stems(&lines), BTreeSet::from(["bad".to_owned(), "deep/a".to_owned()]));
    let line = |stem: &str| lines.iter().find(|line| line["stem"] == stem).unwrap();

    let done = line("deep/a");
    let bytes = std::fs::read(env.path("in/deep/a.png")).unwrap();
    assert_eq!((text(done, "status"), text(&done["input"], "path")), ("done", "deep/a.png"));
    assert_eq!(done["input"]["bytes"], bytes.len());
    assert_eq!(text(&done["input"], "blake3"), blake3::hash(&bytes).to_hex().as_str());
    assert_eq!((done["width"].as_u64(), done["height"].as_u64()), (Some(96), Some(128)));
    assert_eq!(text(&done["model"], "name"), "colours");
    let model = std::fs::read(env.path("colours.onnx")).unwrap();
    assert_eq!(text(&done["model"], "blake3"), blake3::hash(&model).to_hex().as_str());
    assert_eq!((text(&done["engine"], "provider"), text(&done["engine"], "library")), ("embedded", "tract"));
    assert_eq!((text(&done["classes"][0], "name"), done["classes"][0]["area_px"].as_u64()), ("shirt", Some(48 * 32)));
    assert!(done["classes"][1]["confidence"].as_f64().unwrap() > 0.9);
    for stage in ["read", "decode", "preprocess", "inference", "postprocess", "write", "wait"] {
        assert!(done["timings_ms"][stage].as_f64().unwrap() >= 0.0, "{stage}");
    }
    let files: BTreeSet<String> =
        done["files"].as_array().unwrap().iter().map(|file| text(file, "path").to_owned()).collect();
    assert_eq!(files, env.files("out").into_iter().collect());
    for file in done["files"].as_array().unwrap() {
        let size = std::fs::metadata(env.path("out").join(text(file, "path"))).unwrap().len();
        assert_eq!(file["bytes"], size);
    }

    let failed = line("bad");
    assert_eq!((text(failed, "status"), &failed["width"]), ("failed", &Value::Null));
    assert!(text(failed, "error").contains("not a readable photo"));
}

#[test]
fn any_number_of_jobs_and_any_batch_make_the_same_files() {
    let env = TestEnv::new();
    env.photos("in", 9);
    env.run(&["in", "-o", "one", "--jobs", "1"]).expect(0, &["9 photos done", "photos a second on embedded"]);
    let one = results(&env, "one");
    assert_eq!(one.len(), 9 * 4);
    for more in [["--jobs", "4", "--batch", "1"], ["--jobs", "2", "--batch", "3"]] {
        env.run(&[&["in", "-o", "more"], &more[..]].concat()).expect(0, &["9 photos done"]);
        assert_eq!(results(&env, "more"), one, "{more:?}");
    }
    // Next to no memory: one photo after the other, but all of them.
    env.run(&["in", "-o", "small", "--jobs", "4", "--memory", "0"]).expect(0, &["9 photos done"]);
    assert_eq!(results(&env, "small"), one);
}

#[test]
fn resume_skips_what_is_whole_and_redoes_the_rest() {
    let env = TestEnv::new();
    env.photos("in", 6);
    let run = |more: &[&str]| env.run(&[&["in", "-o", "out", "--resume"], more].concat());
    run(&[]).expect(0, &["6 photos done"]);
    run(&[]).expect(0, &["0 photos done, 6 done before"]);
    assert_eq!(env.manifest("out/manifest.jsonl").len(), 6, "nothing is recorded twice");

    // Outputs that are gone or cut off.
    std::fs::remove_file(env.path("out/00.shirt.png")).unwrap();
    let labels = std::fs::read(env.path("out/02.labels.png")).unwrap();
    env.write("out/02.labels.png", &labels[..labels.len() - 1]);
    run(&[]).expect(0, &["2 photos done, 4 done before"]);
    assert!(env.path("out/00.shirt.png").exists());
    assert_eq!(std::fs::read(env.path("out/02.labels.png")).unwrap(), labels);

    // Other options.
    run(&["--classes", "shirt"]).expect(0, &["6 photos done;"]);
    assert!(!env.path("out/00.pants.png").exists());
    run(&["--tolerance", "3"]).expect(0, &["6 photos done;"]);
    run(&["--tolerance", "3", "--jobs", "1", "--quiet"]).expect(0, &[]);
    run(&["--tolerance", "3"]).expect(0, &["6 done before"]);

    // Another quality is another result.
    run(&["--quality", "best"]).expect(0, &["6 photos done;"]);
    run(&["--quality", "best"]).expect(0, &["6 done before"]);
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(env.path("out/00.json")).unwrap()).unwrap();
    assert_eq!(text(&json, "quality"), "best");
    run(&["--quality", "fine"]).expect(2, &["fast or best"]);
}

#[test]
fn resume_redoes_photos_and_models_that_changed() {
    let env = TestEnv::new();
    env.photos("in", 4);
    let run = || env.run(&["in", "-o", "out", "--resume"]);
    run().expect(0, &["4 photos done"]);

    // A photo that was replaced by another of its size and name; and one that was only touched.
    let other = std::fs::read(env.save("other.png", &support::drawn_photo(40, 50).into())).unwrap();
    env.write("in/00.png", &other);
    let later = SystemTime::now() + Duration::from_secs(10);
    let touch = |name: &str| std::fs::File::options().write(true).open(env.path(name)).unwrap().set_modified(later);
    touch("in/02.png").unwrap();
    run().expect(0, &["1 photo done, 3 done before"]);
    assert_eq!(image::image_dimensions(env.path("out/00.labels.png")).unwrap(), (40, 50));

    // A photo that failed is tried again.
    env.write("in/00.png", b"damaged");
    run().expect(1, &["0 photos done, 1 failed, 3 done before"]);
    run().expect(1, &["0 photos done, 1 failed, 3 done before"]);
    env.write("in/00.png", &other);
    run().expect(0, &["1 photo done, 3 done before"]);

    // A model of the same name that is another file.
    let mut spec = support::color_spec();
    spec.training.insert("epoch".into(), 2.into());
    env.write("colours.onnx", &spec.embed_in_onnx(&support::model_without_spec()).unwrap());
    run().expect(0, &["4 photos done;"]);
}

#[test]
fn without_resume_everything_is_done_again_and_the_last_line_counts() {
    let env = TestEnv::new();
    env.photos("in", 3);
    let run = |more: &[&str]| env.run(&[&["in", "-o", "out"], more].concat());
    run(&[]).expect(0, &["3 photos done"]);
    run(&[]).expect(0, &["3 photos done;"]);
    assert_eq!(env.manifest("out/manifest.jsonl").len(), 6, "the same results replace themselves without a word");
    run(&["--classes", "pants"]).expect(0, &["3 photos done;"]);
    let statuses: Vec<String> =
        env.manifest("out/manifest.jsonl").iter().skip(6).map(|line| text(line, "status").to_owned()).collect();
    assert_eq!(statuses.iter().filter(|status| *status == "replacing").count(), 3, "{statuses:?}");
    run(&["--resume"]).expect(0, &["3 photos done;"]);
    run(&["--resume"]).expect(0, &["3 done before"]);
}

#[test]
fn a_run_killed_while_it_replaced_results_leaves_nothing_that_counts_as_done() {
    let env = TestEnv::new();
    env.photo("in/a.png");
    let run = |more: &[&str]| env.run(&[&["in", "-o", "out"], more].concat());
    run(&[]).expect(0, &[]);
    let old: Vec<(String, Vec<u8>)> = env
        .files("out")
        .into_iter()
        .map(|name| (name.clone(), std::fs::read(env.path("out").join(name)).unwrap()))
        .collect();
    run(&["--classes", "shirt"]).expect(0, &[]);
    // As it was before the last line: new files may be in place, and all have the sizes of the old ones.
    let manifest = std::fs::read_to_string(env.path("out/manifest.jsonl")).unwrap();
    let lines: Vec<&str> = manifest.split_inclusive('\n').collect();
    assert_eq!(lines.len(), 3);
    env.write("out/manifest.jsonl", lines[..2].concat().as_bytes());
    for (name, bytes) in &old {
        env.write(&format!("out/{name}"), bytes);
    }
    run(&["--resume"]).expect(0, &["1 photo done;"]);
    run(&["--resume"]).expect(0, &["1 done before"]);
}

#[test]
fn a_torn_line_is_cut_off_and_its_photo_done_again() {
    let env = TestEnv::new();
    env.photos("in", 4);
    let run = || env.run(&["in", "-o", "out", "--resume"]);
    run().expect(0, &["4 photos done"]);
    let whole = std::fs::read(env.path("out/manifest.jsonl")).unwrap();
    for torn_off in [1, 40, 400] {
        env.write("out/manifest.jsonl", &whole[..whole.len() - torn_off]);
        run().expect(0, &["1 photo done, 3 done before"]);
        assert_eq!(env.manifest("out/manifest.jsonl").len(), 4);
    }
    env.write("out/.clothseg-abc", b"half a file");
    let old = SystemTime::now() - Duration::from_secs(5);
    std::fs::File::options().write(true).open(env.path("out/.clothseg-abc")).unwrap().set_modified(old).unwrap();
    run().expect(0, &["4 done before"]);
    assert!(!env.path("out/.clothseg-abc").exists());
}

#[test]
fn shards_are_disjoint_and_complete_and_resume_across() {
    let env = TestEnv::new();
    env.photos("in", 12);
    env.run(&["in", "-o", "whole"]).expect(0, &[]);
    let mut shared = Vec::new();
    for shard in ["1/3", "2/3", "3/3"] {
        env.run(&["in", "-o", "out", "--shard", shard]).expect(0, &[]);
        let name = format!("out/manifest-{}.jsonl", shard.replace('/', "-of-"));
        shared.extend(env.manifest(&name));
    }
    assert_eq!((shared.len(), stems(&shared).len()), (12, 12));
    assert_eq!(results(&env, "out"), results(&env, "whole"));
    // A run of another split, or of none, knows what the shards did.
    env.run(&["in", "-o", "out", "--resume"]).expect(0, &["0 photos done, 12 done before"]);
    env.run(&["in", "-o", "out", "--resume", "--shard", "1/1"]).expect(0, &["0 photos done, 12 done before"]);
    env.run(&["in", "-o", "out", "--shard", "4/3"]).expect(2, &["counted from 1"]);
    env.photos("one", 1);
    let alone = ["1/2", "2/2"].map(|shard| env.run(&["one", "-o", "o", "--shard", shard]).code);
    assert_eq!(alone, [Some(0), Some(0)], "a shard without photos is no mistake");
    env.run(&["one", "-o", "one/out"]).expect(0, &[]);
    let runs = ["1/2", "2/2"].map(|shard| env.run(&["one", "-o", "o", "--shard", shard]));
    assert_eq!([runs[0].code, runs[1].code], [Some(0), Some(0)], "with results of earlier runs neither: {runs:?}");
    assert!(runs.iter().any(|run| run.stderr.contains("no photos to do: shard")), "{runs:?}");
}

#[test]
fn shards_run_beside_each_other_in_one_folder() {
    let env = TestEnv::new();
    env.photos("in", 16);
    let start = |shard| env.start(&["in", "-o", "out", "--resume", "--shard", shard]);
    for run in ["1/2", "2/2", "1/2", "2/2"].chunks(2).map(|shards| [start(shards[0]), start(shards[1])]) {
        for shard in run {
            let output = shard.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }
    let lines = [env.manifest("out/manifest-1-of-2.jsonl"), env.manifest("out/manifest-2-of-2.jsonl")].concat();
    assert_eq!((lines.len(), stems(&lines).len()), (16, 16), "each photo is done once");
}

#[test]
fn lists_name_photos_by_line_or_by_nul() {
    let env = TestEnv::new();
    for name in ["in/a b.png", "in/c.png", "in/folder/d.png"] {
        env.photo(name);
    }
    let list = |flags: &[&str], list: &[u8]| {
        let arguments = ["--model", "colours.onnx", "--provider", "embedded", "-f", "labels"];
        let run = env.run_with_stdin(&[&arguments[..], flags].concat(), list);
        (run, env.files(flags.last().unwrap()))
    };
    let (run, files) = list(&["--files-from", "-", "-o", "lines"], b"in/a b.png\r\n\nin/folder\nin/absent.png\n");
    run.expect(1, &["2 photos done, 1 failed", "in/absent.png: cannot read"]);
    assert_eq!(files, ["d.labels.png", "in/a b.labels.png"], "a folder is mirrored from itself on, as always");

    env.write("list.txt", b"in/c.png\nin/a b.png");
    let (run, files) = list(&["--files-from", "list.txt", "in/folder/d.png", "-o", "file"], b"");
    run.expect(0, &["3 photos done"]);
    assert_eq!(files.len(), 3);

    #[cfg(unix)]
    {
        env.photo("in/two\nlines.png");
        let (run, files) = list(&["--files-from", "-", "--null", "-o", "nul"], b"in/two\nlines.png\0in/c.png\0");
        run.expect(0, &["2 photos done"]);
        assert_eq!(files, ["in/c.labels.png", "in/two\nlines.labels.png"]);
    }
    list(&["--files-from", "-", "-o", "empty"], b"")
        .0
        .expect(0, &["no photos to do: the list on standard input names none"]);
    list(&["--files-from", "absent.txt", "-o", "empty"], b"").0.expect(2, &["cannot read absent.txt"]);
    list(&["--files-from", "-", "-", "-o", "empty"], b"").0.expect(2, &["not both"]);
    env.run(&["in", "--null"]).expect(2, &["--files-from"]);
}

#[test]
fn fail_fast_begins_no_more_photos() {
    let env = TestEnv::new();
    env.photos("in", 8);
    env.write("in/00.png", b"damaged");
    let stopped = env.run(&["in", "-o", "out", "--fail-fast", "--jobs", "1"]);
    stopped.expect(1, &["0 photos done, 1 failed", "7 photos were not begun", "--resume goes on"]);
    env.run(&["in", "-o", "out", "--resume", "--jobs", "1"]).expect(1, &["7 photos done, 1 failed"]);
}

#[test]
fn photos_to_look_at_are_gathered_and_leave_when_they_are_well() {
    let env = TestEnv::new();
    env.photo("in/well.png");
    let plain: image::DynamicImage = image::RgbImage::from_pixel(64, 64, support::GREY).into();
    env.save("in/deep/empty.jpg", &plain);
    env.save("in/cut.png", &image::RgbImage::from_pixel(64, 64, support::RED).into());
    let run = |more: &[&str]| env.run(&[&["in", "-o", "out", "--review-dir", "look"], more].concat());
    env.run(&["in", "-o", "o"]).expect(0, &["3 photos done, 2 to review", "--review-dir DIR collects them"]);
    run(&[]).expect(0, &["3 photos done, 2 to review", "photos to review are in look"]);
    let gathered = ["cut.photo.png", "cut.review.png", "deep/empty.photo.jpg", "deep/empty.review.png"];
    assert_eq!(env.files("look"), gathered);
    let read = |name: &str| std::fs::read(env.path(name)).unwrap();
    assert_eq!(read("look/deep/empty.photo.jpg"), read("in/deep/empty.jpg"));
    let reasons = |stem: &str| {
        let lines = env.manifest("out/manifest.jsonl");
        lines.into_iter().rev().find(|line| line["stem"] == stem).unwrap()["review"].clone()
    };
    assert_eq!(reasons("well"), serde_json::json!([]));
    assert_eq!(reasons("cut"), serde_json::json!(["cut-by-frame"]));
    assert_eq!(reasons("deep/empty"), serde_json::json!(["nothing-found"]));

    // Stricter gates judge photos that are done already anew; what is missing is gathered again.
    run(&["--resume"]).expect(0, &["0 photos done, 3 done before, 2 to review"]);
    std::fs::remove_file(env.path("look/cut.photo.png")).unwrap();
    run(&["--resume"]).expect(0, &["1 photo done, 2 done before"]);
    run(&["--resume", "--min-confidence", "1"]).expect(0, &["2 photos done, 1 done before, 3 to review"]);
    assert_eq!(reasons("well"), serde_json::json!(["low-confidence"]));
    run(&["--resume"]).expect(0, &["2 photos done, 1 done before, 2 to review"]);
    assert_eq!(env.files("look"), gathered);

    env.save("in/deep/empty.jpg", &support::drawn_photo(96, 128).into());
    run(&["--resume"]).expect(0, &["1 photo done, 2 done before, 1 to review"]);
    assert_eq!(env.files("look"), &gathered[..2]);

    // The folder is for results, not for photos.
    run(&["--min-confidence", "1.5"]).expect(2, &["--min-confidence"]);
    env.run(&["in", "-o", "out", "--review-dir", "in"]).expect(2, &["a folder of their own"]);
}

#[test]
fn a_jpeg_that_cannot_be_reduced_after_all_waits_for_room_and_is_decoded_in_full() {
    let env = TestEnv::new();
    let mut jpeg = Vec::new();
    let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut jpeg, 90);
    support::drawn_photo(1037, 1531).write_with_encoder(encoder).unwrap();
    env.write("in/sound.jpg", &jpeg);
    // Left over behind the pixels: the full decoder does not mind.
    let end = jpeg.len() - 2;
    jpeg.splice(end..end, [0x12, 0x34, 0x56]);
    for number in 0..4 {
        env.write(&format!("in/odd-{number}.jpg"), &jpeg);
    }
    // An overlay needs all pixels anyway.
    env.run(&["in", "-o", "full", "--format", "labels,overlay"]).expect(0, &["5 photos done"]);
    for memory in ["0", "30", "1024"] {
        let run = ["in", "-o", memory, "--format", "labels", "--jobs", "3", "--memory", memory];
        env.run(&run).expect(0, &["5 photos done"]);
        let labels = |below: &str, name: &str| std::fs::read(env.path(below).join(name)).unwrap();
        assert_eq!(labels(memory, "odd-0.labels.png"), labels("full", "odd-0.labels.png"));
        assert_ne!(labels(memory, "sound.labels.png"), labels("full", "sound.labels.png"), "reduced");
    }
}

#[test]
fn a_folder_has_one_run_at_a_time() {
    let env = TestEnv::new();
    env.photo("a.png");
    env.run(&["a.png", "-o", "out"]).expect(0, &[]);
    let manifest = std::fs::File::open(env.path("out/manifest.jsonl")).unwrap();
    manifest.lock().unwrap();
    if cfg!(unix) {
        env.run(&["a.png", "-o", "out"]).expect(2, &["another run writes out/manifest.jsonl", "into shards"]);
        env.run(&["a.png", "-o", "out", "--shard", "1/1"]).expect(0, &["1 photo done"]);
    }
    drop(manifest);
    std::fs::create_dir_all(env.path("blocked/manifest.jsonl")).unwrap();
    env.run(&["a.png", "-o", "blocked"]).expect(2, &["cannot write blocked/manifest.jsonl"]);
    env.run(&["a.png", "-o", "out", "--sync"]).expect(0, &[]);
}

#[test]
fn files_beside_photos_that_no_run_wrote_are_left_alone() {
    let env = TestEnv::new();
    env.photo("a.png");
    env.photo("b.png");
    let labels = br#"{"shapes": []}"#;
    env.write("a.json", labels);
    env.write("coco.json", labels);
    let is_kept = |name: &str| std::fs::read(env.path(name)).unwrap() == labels;
    let run = |formats: &str| env.run(&["a.png", "b.png", "-o", ".", "--format", formats]);
    // Twice, as the first time leaves a manifest.
    for _ in 0..2 {
        run("coco").expect(2, &["coco.json is there already"]);
        assert!(is_kept("coco.json"));
    }
    for _ in 0..2 {
        run("json,masks")
            .expect(1, &["a.json is there already", "choose another output folder", "1 photo done, 1 failed"]);
        assert!(is_kept("a.json") && env.path("b.json").is_file() && !env.path("a.shirt.png").exists());
    }
    // What is not asked for is not removed either; what a run wrote is written again.
    for _ in 0..2 {
        run("masks").expect(0, &["2 photos done"]);
        assert!(is_kept("a.json") && is_kept("coco.json") && env.path("a.shirt.png").is_file());
    }
}

#[test]
fn resume_keeps_results_that_were_corrected_by_hand() {
    let env = TestEnv::new();
    env.photos("in", 2);
    let run = || env.run(&["in", "-o", "out", "--resume", "--format", "masks"]);
    run().expect(0, &["2 photos done"]);
    let mask = env.files("out").into_iter().find(|name| name.ends_with(".shirt.png")).unwrap();
    let path = env.path(&format!("out/{mask}"));
    let change = |bytes: &[u8], at: SystemTime| {
        std::fs::write(&path, bytes).unwrap();
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(at).unwrap();
    };
    change(b"corrected", SystemTime::now() + Duration::from_secs(60));
    run()
        .expect(0, &["0 photos done, 2 done before", "1 photo has results that were changed since: ", "they are kept"]);
    assert_eq!(std::fs::read(&path).unwrap(), b"corrected");
    // What a loss of power leaves is not later than the run, or empty.
    for (bytes, later_s) in [(b"damaged".as_slice(), 0), (b"".as_slice(), 60)] {
        change(bytes, SystemTime::now() + Duration::from_secs(later_s));
        run().expect(0, &["1 photo done, 1 done before"]);
        assert!(std::fs::read(&path).unwrap().starts_with(b"\x89PNG"));
    }
}
