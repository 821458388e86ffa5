//! Runs that are killed, and what is left of them.

#![allow(clippy::unwrap_used, clippy::panic)]
#![cfg(all(unix, feature = "embedded"))]

mod support;

use std::collections::BTreeMap;
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::TestEnv;

const FORMATS: [&str; 2] = ["--formats", "masks,labels,json"];

fn lines(env: &TestEnv) -> usize {
    let manifest = std::fs::read(env.path("out/manifest.jsonl")).unwrap_or_default();
    manifest.iter().filter(|byte| **byte == b'\n').count()
}

/// Waits until the manifest has so many lines, or the run has ended by itself.
fn wait_for_lines(env: &TestEnv, run: &mut Child, count: usize) {
    let started = Instant::now();
    while run.try_wait().unwrap().is_none() && lines(env) < count {
        assert!(started.elapsed() < Duration::from_secs(60), "the run does nothing");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn signal(run: &Child, name: &str) {
    let command = format!("kill -{name} {}", run.id());
    assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success());
}

fn ended(run: Child) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = run.wait_with_output().unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

/// Every file below these folders that has its own name is whole.
fn assert_whole_files(env: &TestEnv, folders: &[&str]) {
    for (folder, name) in
        folders.iter().flat_map(|folder| env.files(folder).into_iter().map(move |name| (folder, name)))
    {
        let path = env.path(folder).join(&name);
        let bytes = std::fs::read(&path).unwrap();
        match name.rsplit_once('.').unwrap() {
            (_, "png") => drop(image::load_from_memory(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"))),
            (_, "json") => drop(serde_json::from_slice::<Value>(&bytes).unwrap()),
            _ => assert!(name.contains(".clothseg-"), "{name}"),
        }
    }
}

/// The files, without the times in them.
fn results(env: &TestEnv, below: &str) -> BTreeMap<String, Vec<u8>> {
    let content = |name: &str| {
        let bytes = std::fs::read(env.path(below).join(name)).unwrap();
        if !name.ends_with(".json") {
            return bytes;
        }
        let mut json: Value = serde_json::from_slice(&bytes).unwrap();
        json["timings_ms"] = Value::Null;
        json.to_string().into_bytes()
    };
    env.files(below).into_iter().map(|name| (name.clone(), content(&name))).collect()
}

/// The last line of each photo, without times and what follows from them.
fn last_lines(env: &TestEnv, below: &str) -> BTreeMap<String, Value> {
    let lines = env.manifest(&format!("{below}/manifest.jsonl")).into_iter().map(|mut line| {
        line["timings_ms"] = Value::Null;
        line["finished_unix_ms"] = Value::Null;
        for file in line["files"].as_array_mut().unwrap() {
            if file["path"].as_str().unwrap().ends_with(".json") {
                file["bytes"] = Value::Null;
            }
        }
        (line["stem"].as_str().unwrap().to_owned(), line)
    });
    lines.collect()
}

/// Kills a run of `in` into `out` at ever other points of its work and resumes it, until it is done; gives how often it was
/// killed. `folders` are all that it writes to.
fn run_through_kills(env: &TestEnv, flags: &[&str], folders: &[&str]) -> usize {
    let mut kills = 0;
    loop {
        let before = lines(env);
        let mut run = env.start(&[&["in", "-o", "out", "--resume", "--jobs", "3"], flags].concat());
        wait_for_lines(env, &mut run, before + 1 + kills % 4);
        // At a different point of the work each time.
        std::thread::sleep(Duration::from_micros(700 * (kills as u64 % 5)));
        let _ = run.kill();
        let (code, stderr) = ended(run);
        assert_whole_files(env, folders);
        if code.is_some() {
            assert_eq!(code, Some(0), "{stderr}");
            return kills;
        }
        kills += 1;
        if kills % 3 == 0 {
            // As if the kill had come in the middle of a line.
            let manifest = std::fs::File::options().write(true).open(env.path("out/manifest.jsonl")).unwrap();
            manifest.set_len(manifest.metadata().unwrap().len() - 9).unwrap();
        }
    }
}

/// What a kill may cost is the photos in work: three jobs, and the line that was torn.
fn assert_little_is_done_twice(env: &TestEnv, photos: usize, kills: usize) {
    assert!(kills >= 3, "the run was killed only {kills} times");
    assert!(lines(env) <= photos + kills * 4, "{} lines for {photos} photos and {kills} kills", lines(env));
}

#[test]
fn killed_again_and_again_a_run_ends_like_an_undisturbed_one() {
    let env = TestEnv::new();
    env.photos("in", 30);
    env.run(&[&["in", "-o", "whole"], &FORMATS[..]].concat()).expect(0, &["30 photos done"]);
    let kills = run_through_kills(&env, &FORMATS, &["out"]);
    assert_eq!(results(&env, "out"), results(&env, "whole"));
    assert_eq!(last_lines(&env, "out"), last_lines(&env, "whole"));
    assert_little_is_done_twice(&env, 30, kills);
}

#[test]
fn files_of_a_whole_run_and_photos_to_look_at_come_through_kills_too() {
    let env = TestEnv::new();
    env.photos("in", 20);
    // In half of them there is nothing, in the others a garment that the frame cuts.
    for number in 0..8 {
        let color = if number % 2 == 0 { support::GREY } else { support::RED };
        env.save(&format!("in/c/{number}.png"), &image::RgbImage::from_pixel(50 + number, 60, color).into());
    }
    let flags = |look| ["--formats", "coco,cutout,overlay", "--review-dir", look];
    let whole = env.run(&[&["in", "-o", "whole"], &flags("whole-look")[..]].concat());
    whole.expect(0, &["28 photos done, 8 to review"]);
    assert_eq!(env.files("whole-look").len(), 2 * 8);
    let kills = run_through_kills(&env, &flags("look"), &["out", "look"]);
    // The COCO file is among them; its photos are in the order of the input, whatever the order of the work.
    assert!(env.path("out/coco.json").exists());
    assert_eq!(results(&env, "out"), results(&env, "whole"));
    assert_eq!(results(&env, "look"), results(&env, "whole-look"));
    assert_eq!(last_lines(&env, "out"), last_lines(&env, "whole"));
    assert_little_is_done_twice(&env, 28, kills);
}

#[test]
fn results_half_replaced_by_others_are_not_taken_for_the_old_ones() {
    let env = TestEnv::new();
    env.photos("in", 12);
    let run = ["in", "-o", "out", "--formats", "masks,labels"];
    env.run(&run).expect(0, &["12 photos done"]);
    let undisturbed = results(&env, "out");
    // Other results under the same names, of about the same sizes.
    for lines_more in 1..4 {
        let mut other = env.start(&[&run[..], &["--classes", "shirt", "--jobs", "2"]].concat());
        wait_for_lines(&env, &mut other, lines(&env) + lines_more);
        let _ = other.kill();
        other.wait().unwrap();
        env.run(&[&run[..], &["--resume"]].concat()).expect(0, &["done before"]);
        assert_eq!(results(&env, "out"), undisturbed);
    }
}

#[test]
fn the_first_signal_finishes_what_is_in_work_and_says_how_to_go_on() {
    let env = TestEnv::new();
    env.photos("in", 60);
    for (name, flags) in [("INT", &["in", "-o", "out", "--jobs", "1"][..]), ("TERM", &["in", "-o", "out", "--resume"])]
    {
        let before = lines(&env);
        let mut run = env.start(flags);
        wait_for_lines(&env, &mut run, before + 1);
        signal(&run, name);
        let (code, stderr) = ended(run);
        assert_eq!(code, Some(130), "{stderr}");
        assert!(stderr.contains("photos were not begun; the same command with --resume goes on"), "{stderr}");
        assert!(lines(&env) < 60);
        assert!(env.files("out").iter().all(|name| !name.contains(".clothseg-")), "nothing is left behind");
    }
    let done = lines(&env);
    let last = env.run(&["in", "-o", "out", "--resume"]);
    last.expect(0, &[&format!("{} photos done, {done} done before", 60 - done)]);
}

#[test]
fn the_second_signal_stops_at_once() {
    let env = TestEnv::new();
    // Nobody writes into its standard input: a photo that takes for ever.
    let mut run = env.start_with_stdin(&["/dev/stdin", "-o", "out"]);
    wait_for_file(&env, "out/manifest.jsonl");
    std::thread::sleep(Duration::from_millis(50));
    signal(&run, "INT");
    std::thread::sleep(Duration::from_millis(100));
    assert!(run.try_wait().unwrap().is_none(), "it waits for the photo in work");
    signal(&run, "INT");
    let started = Instant::now();
    while run.try_wait().unwrap().is_none() {
        assert!(started.elapsed() < Duration::from_secs(10), "it does not stop");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(ended(run).0, Some(130));
}

fn wait_for_file(env: &TestEnv, name: &str) {
    let started = Instant::now();
    while !env.path(name).exists() {
        assert!(started.elapsed() < Duration::from_secs(60), "{name} does not come");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_manifest_that_goes_during_a_run_is_an_error() {
    let env = TestEnv::new();
    env.photos("in", 40);
    let mut run = env.start(&["in", "-o", "out", "--jobs", "1"]);
    wait_for_lines(&env, &mut run, 1);
    std::fs::remove_file(env.path("out/manifest.jsonl")).unwrap();
    let (code, stderr) = ended(run);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("out/manifest.jsonl was removed or replaced"), "{stderr}");
}

#[test]
fn a_file_over_the_limit_of_the_shell_fails_by_its_name() {
    let env = TestEnv::new();
    // Noise, whose overlay is larger than the limit.
    let mut state = 1_u32;
    let noise = image::RgbImage::from_fn(300, 300, |_, _| {
        let mut byte = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        image::Rgb([byte(), byte(), byte()])
    });
    env.save("noise.png", &noise.into());
    let program = env!("CARGO_BIN_EXE_clothseg-run");
    let flags = "noise.png -o out -f overlay --model colours.onnx --provider embedded";
    let command = format!("ulimit -f 40; exec '{program}' {flags}");
    let output = Command::new("sh").args(["-c", &command]).current_dir(env.path(".")).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("cannot write out/noise.overlay.png") && stderr.contains("1 failed"), "{stderr}");
    assert!(env.files("out").is_empty(), "{:?}", env.files("out"));
}
