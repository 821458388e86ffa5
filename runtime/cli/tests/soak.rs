//! Thousands of photos in one run, its memory watched. Takes minutes: `ci/bench soak` runs it.

#![allow(clippy::unwrap_used)]
#![cfg(all(target_os = "linux", feature = "default-model"))]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The street photos of the data sets, else the samples.
fn photos() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let data = std::env::var_os("CLOTHSEG_DATA").map(PathBuf::from);
    let of = |folder: PathBuf| {
        let files = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let is_photo = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "jpg" || ending == "png");
        files.filter(is_photo).collect::<Vec<_>>()
    };
    let mut photos = data.map_or_else(Vec::new, |data| of(data.join("photos")));
    if photos.is_empty() {
        photos = of(root.join("samples"));
    }
    photos.sort();
    photos
}

/// One folder with so many photos: links where the file system has them, else copies.
fn fill(folder: &Path, count: usize) {
    let photos = photos();
    assert!(!photos.is_empty(), "there are no photos to make the folder of");
    for (number, photo) in photos.iter().cycle().take(count).enumerate() {
        let ending = photo.extension().unwrap().to_string_lossy();
        let below = folder.join(format!("{:02}", number % 50));
        std::fs::create_dir_all(&below).unwrap();
        let name = below.join(format!("{number:05}.{ending}"));
        std::fs::hard_link(photo, &name).or_else(|_| std::fs::copy(photo, &name).map(drop)).unwrap();
    }
}

/// Memory in use by a process, in KiB; nothing once it has ended.
fn resident_kib(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().trim_end_matches("kB").trim().parse().ok()
}

fn lines(manifest: &Path) -> usize {
    std::fs::read(manifest).unwrap_or_default().iter().filter(|byte| **byte == b'\n').count()
}

#[test]
#[ignore = "takes minutes; ci/bench soak runs it"]
fn memory_is_flat_over_thousands_of_photos() {
    let count: usize = std::env::var("SOAK_PHOTOS").ok().map_or(2000, |count| count.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out");
    fill(&folder.path().join("in"), count);
    let mut run = Command::new(env!("CARGO_BIN_EXE_clothseg-run"))
        .arg(folder.path().join("in"))
        .arg("-o")
        .arg(&output)
        .args(["--formats", "masks,json"])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    // Largest memory in each tenth of the work.
    let mut tenths = [0_u64; 10];
    while run.try_wait().unwrap().is_none() {
        let done = lines(&output.join("manifest.jsonl"));
        if let Some(kib) = resident_kib(run.id()) {
            let tenth = (done * 10 / count).min(9);
            tenths[tenth] = tenths[tenth].max(kib);
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    println!("MiB in each tenth of {count} photos: {:?}", tenths.map(|kib| kib / 1024));
    assert!(run.wait().unwrap().success());
    assert_eq!(lines(&output.join("manifest.jsonl")), count);
    // The first tenths see the largest photos for the first time, and the allocator keeps what they needed.
    let early = tenths[1..5].iter().max().unwrap();
    let late = tenths[5..].iter().max().unwrap();
    assert!(*late <= early + early / 20, "it grows: {tenths:?} KiB");
}
