//! `clothseg-run --watch`: photos that arrive in a folder.

#![allow(clippy::unwrap_used)]
#![cfg(all(unix, feature = "embedded"))]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

use support::{TestEnv, drawn_photo};

/// Far more than anything here takes, on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(120);

/// Watches `in` into `out`, with this settle time.
fn start(env: &TestEnv, settle: &str, flags: &[&str]) -> Child {
    fs::create_dir_all(env.path("in")).unwrap();
    env.start(&[&["in", "-o", "out", "--watch", "--watch-settle", settle], flags].concat())
}

/// How the photo of this stem ended, each time.
fn ends(env: &TestEnv, stem: &str) -> Vec<String> {
    let lines = env.manifest("out/manifest.jsonl").into_iter().filter(|line| line["stem"] == stem);
    let statuses = lines.map(|line| line["status"].as_str().unwrap().to_owned());
    statuses.filter(|status| status != "replacing").collect()
}

#[track_caller]
fn wait_for(watch: &mut Child, what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(watch.try_wait().unwrap().is_none(), "the watch ended before: {what}");
        assert!(started.elapsed() < PATIENCE, "it does not come: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[track_caller]
fn wait_for_ends(env: &TestEnv, watch: &mut Child, stem: &str, expected: &[&str]) {
    wait_for(watch, &format!("{stem} {expected:?}"), || ends(env, stem).len() >= expected.len());
    assert_eq!(ends(env, stem), expected, "{stem}");
}

fn stop(watch: Child, signal: &str) -> (Option<i32>, String) {
    let command = format!("kill -{signal} {}", watch.id());
    assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success());
    let Output { status, stderr, .. } = watch.wait_with_output().unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

fn stems(env: &TestEnv) -> BTreeSet<String> {
    env.manifest("out/manifest.jsonl").iter().map(|line| line["stem"].as_str().unwrap().to_owned()).collect()
}

fn png(env: &TestEnv, width: u32) -> Vec<u8> {
    fs::read(env.save(&format!("elsewhere/{width}.png"), &drawn_photo(width, 50).into())).unwrap()
}

#[test]
fn photos_are_done_as_they_arrive_and_when_they_are_whole() {
    let env = TestEnv::new();
    env.photo("in/first.png");
    let mut watch = start(&env, "3", &[]);
    wait_for_ends(&env, &mut watch, "first", &["done"]);

    env.photo("in/copied.png");
    wait_for_ends(&env, &mut watch, "copied", &["done"]);

    // Held open half-written for longer than the settle time, while others come and go.
    let bytes = png(&env, 60);
    let mut slow = fs::File::create(env.path("in/slow.png")).unwrap();
    slow.write_all(&bytes[..bytes.len() / 2]).unwrap();
    slow.sync_all().unwrap();
    if cfg!(target_os = "linux") {
        std::thread::sleep(Duration::from_secs(4));
    }
    env.photo("in/meanwhile.png");
    wait_for_ends(&env, &mut watch, "meanwhile", &["done"]);
    slow.write_all(&bytes[bytes.len() / 2..]).unwrap();
    drop(slow);
    wait_for_ends(&env, &mut watch, "slow", &["done"]);

    // Closed half-written: no photo yet, and one when the rest is there.
    env.write("in/halves.png", &bytes[..bytes.len() / 2]);
    wait_for_ends(&env, &mut watch, "halves", &["failed"]);
    let mut halves = fs::File::options().append(true).open(env.path("in/halves.png")).unwrap();
    halves.write_all(&bytes[bytes.len() / 2..]).unwrap();
    drop(halves);
    wait_for_ends(&env, &mut watch, "halves", &["failed", "done"]);

    // Under another name until it is whole.
    env.write("in/renamed.png.part", &bytes);
    fs::rename(env.path("in/renamed.png.part"), env.path("in/renamed.png")).unwrap();
    wait_for_ends(&env, &mut watch, "renamed", &["done"]);

    // Replaced by another, and by moving one over it.
    env.write("in/copied.png", &png(&env, 70));
    wait_for_ends(&env, &mut watch, "copied", &["done", "done"]);
    assert_eq!(image::image_dimensions(env.path("out/copied.labels.png")).unwrap(), (70, 50));
    png(&env, 80);
    fs::rename(env.path("elsewhere/80.png"), env.path("in/copied.png")).unwrap();
    wait_for_ends(&env, &mut watch, "copied", &["done", "done", "done"]);
    assert_eq!(image::image_dimensions(env.path("out/copied.labels.png")).unwrap(), (80, 50));

    // A photo by its content; and one under the name of what is still being fetched.
    env.write("in/unnamed", &bytes);
    wait_for_ends(&env, &mut watch, "unnamed", &["done"]);
    env.write("in/fetched.png.part", &bytes);

    // What is no photo, or not there any more when its time comes.
    env.write("in/notes.txt", b"text");
    env.write("in/.hidden.png", &bytes);
    env.write("in/deleted.png", b"");
    fs::remove_file(env.path("in/deleted.png")).unwrap();

    // Folders that are new, and one that moves in with all that is in it.
    env.photo("in/new/deep/photo.png");
    wait_for_ends(&env, &mut watch, "new/deep/photo", &["done"]);
    env.photo("elsewhere/moved/photo.png");
    fs::rename(env.path("elsewhere/moved"), env.path("in/moved")).unwrap();
    wait_for_ends(&env, &mut watch, "moved/photo", &["done"]);

    let (code, stderr) = stop(watch, "INT");
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("watching in: the system tells of changes"), "{stderr}");
    assert!(stderr.contains("0 photos done, 1 failed\n"), "a line for each round: {stderr}");
    assert!(stderr.contains("stopped; since the start 11 photos done; results in out"), "{stderr}");
    let expected =
        ["copied", "first", "halves", "meanwhile", "moved/photo", "new/deep/photo", "renamed", "slow", "unnamed"];
    assert_eq!(stems(&env), expected.map(String::from).into());
}

#[test]
fn a_watch_that_starts_again_goes_on_where_it_was() {
    let env = TestEnv::new();
    env.photos("in", 4);
    let mut watch = start(&env, "0.4", &[]);
    wait_for(&mut watch, "4 photos", || stems(&env).len() == 4);
    // As by a kill in the middle of the work.
    watch.kill().unwrap();
    watch.wait().unwrap();
    let before = env.manifest("out/manifest.jsonl").len();

    env.photo("in/late.png");
    let other = png(&env, 60);
    env.write("in/00.png", &other);
    let mut watch = start(&env, "0.4", &[]);
    wait_for_ends(&env, &mut watch, "late", &["done"]);
    wait_for_ends(&env, &mut watch, "00", &["done", "done"]);
    env.write("in/damaged.png", &other[..other.len() / 2]);
    wait_for_ends(&env, &mut watch, "damaged", &["failed"]);
    let (code, stderr) = stop(watch, "TERM");
    assert_eq!(code, Some(1), "one photo is left that failed: {stderr}");
    assert!(stderr.contains("2 photos done, 3 done before"), "{stderr}");
    // The two photos, the failure, and the line that the results of one are replaced.
    assert_eq!(env.manifest("out/manifest.jsonl").len(), before + 4);

    // A run over all agrees.
    fs::remove_file(env.path("in/damaged.png")).unwrap();
    env.run(&["in", "-o", "out", "--resume"]).expect(0, &["0 photos done, 5 done before"]);
}

#[test]
fn looking_finds_what_the_system_would_tell() {
    let env = TestEnv::new();
    let mut watch = start(&env, "0.4", &["--watch-poll", "0.2"]);
    env.photo("in/copied.png");
    wait_for_ends(&env, &mut watch, "copied", &["done"]);
    env.photo("in/new/deep/photo.png");
    wait_for_ends(&env, &mut watch, "new/deep/photo", &["done"]);
    env.write("in/copied.png", &png(&env, 70));
    wait_for_ends(&env, &mut watch, "copied", &["done", "done"]);
    let bytes = png(&env, 60);
    env.write("in/halves.png", &bytes[..bytes.len() / 2]);
    wait_for_ends(&env, &mut watch, "halves", &["failed"]);
    env.write("in/halves.png", &bytes);
    wait_for_ends(&env, &mut watch, "halves", &["failed", "done"]);
    // The folder goes, as a share does, and comes back.
    fs::rename(env.path("in"), env.path("away")).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    fs::rename(env.path("away"), env.path("in")).unwrap();
    env.photo("in/back.png");
    wait_for_ends(&env, &mut watch, "back", &["done"]);
    let (code, stderr) = stop(watch, "INT");
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("looking for changes every 0.2 s"), "{stderr}");
    assert_eq!(stems(&env).len(), 4, "{:?}", stems(&env));
}

#[test]
#[cfg(target_os = "linux")]
fn a_folder_that_is_made_anew_is_watched_on() {
    let env = TestEnv::new();
    let mut watch = start(&env, "0.4", &[]);
    env.photo("in/before.png");
    wait_for_ends(&env, &mut watch, "before", &["done"]);
    fs::remove_dir_all(env.path("in")).unwrap();
    env.photo("in/after.png");
    wait_for_ends(&env, &mut watch, "after", &["done"]);
    env.photo("in/later.png");
    wait_for_ends(&env, &mut watch, "later", &["done"]);
    let (code, stderr) = stop(watch, "INT");
    assert_eq!(code, Some(0), "{stderr}");
}

#[test]
fn results_in_the_watched_folder_are_no_photos() {
    for flags in [&[][..], &["--watch-poll", "0.2"]] {
        let env = TestEnv::new();
        env.photo("in/a.png");
        let arguments = ["in", "-o", "in/out", "--review-dir", "in/look", "--min-confidence", "1", "--watch"];
        let mut watch = env.start(&[&arguments[..], &["--watch-settle", "0.2"], flags].concat());
        let lines = || env.manifest("in/out/manifest.jsonl").len();
        wait_for(&mut watch, "a", || lines() == 1);
        env.photo("in/b.png");
        wait_for(&mut watch, "b", || lines() == 2);
        env.photo("in/c/d.png");
        wait_for(&mut watch, "c/d", || lines() == 3);
        let (code, stderr) = stop(watch, "INT");
        assert_eq!(code, Some(0), "{stderr}");
        assert!(stderr.contains("1 photo done, 1 to review"), "{stderr}");
        assert!(env.path("in/look/c/d.review.png").exists());
        assert_eq!(lines(), 3, "{flags:?}: an overlay was taken for a photo");
    }
}

#[test]
fn a_photo_that_comes_later_takes_no_name_from_one_before() {
    let env = TestEnv::new();
    env.photo("in/b.png");
    let mut watch = start(&env, "0.4", &[]);
    wait_for_ends(&env, &mut watch, "b", &["done"]);
    env.save("in/b.jpg", &drawn_photo(60, 50).into());
    wait_for_ends(&env, &mut watch, "b.jpg", &["done"]);
    stop(watch, "INT");
    assert_eq!(image::image_dimensions(env.path("out/b.labels.png")).unwrap(), (96, 128));
    assert_eq!(image::image_dimensions(env.path("out/b.jpg.labels.png")).unwrap(), (60, 50));
    // The names stay when it starts again.
    let mut watch = start(&env, "0.4", &[]);
    env.photo("in/c.png");
    wait_for_ends(&env, &mut watch, "c", &["done"]);
    stop(watch, "INT");
    assert_eq!(env.manifest("out/manifest.jsonl").len(), 3);
}

#[test]
fn what_cannot_be_watched_is_refused() {
    let env = TestEnv::new();
    env.photo("in/a.png");
    env.photo("other/a.png");
    let refused = |arguments: &[&str], text: &str| {
        env.run(&[arguments, &["--watch"]].concat()).expect(2, &[text]);
    };
    refused(&["in/a.png"], "in/a.png is no folder");
    refused(&["absent"], "absent is no folder");
    refused(&["in", "other"], "--watch takes one folder");
    refused(&["in", "-o", "."], "lies in the folder for results");
    refused(&["in", "--shard", "1/2"], "cannot be used with");
    refused(&["in", "--watch-settle", "0"], "is no number of seconds");
    refused(&[], "INPUT");
    env.run(&["in", "--watch-poll", "1"]).expect(2, &["--watch"]);
    assert!(!env.path("out").exists());
}
