//! Flags on masks and cut-outs.

#![allow(clippy::unwrap_used)]
#![cfg(feature = "embedded")]

mod support;

use image::{GrayImage, Rgb};
use support::{BLUE, GREY, RED, TestEnv, label_indices};

fn mask(env: &TestEnv, name: &str) -> GrayImage {
    image::open(env.path(name)).unwrap().into_luma8()
}

fn count(mask: &GrayImage) -> usize {
    mask.iter().filter(|level| **level > 127).count()
}

/// A red frame round grey, with a blue square beside it and a red speck of four pixels.
fn env() -> TestEnv {
    let env = TestEnv::new();
    let photo = image::RgbImage::from_fn(128, 128, |x, y| match (x, y) {
        (40..=63, 40..=63) => GREY,
        (16..=79, 16..=95) => RED,
        (80..=111, 32..=63) => BLUE,
        (120..=121, 120..=121) => RED,
        _ => GREY,
    });
    env.save("a.png", &photo.into());
    env
}

#[test]
fn chosen_classes_become_one_mask() {
    let env = env();
    env.run(&["a.png", "-o", "plain", "--format", "masks,labels,coco"]).expect(0, &[]);
    assert_eq!(env.files("plain"), ["a.labels.png", "a.pants.png", "a.shirt.png", "coco.json"]);
    env.run(&["a.png", "-o", "plain", "--format", "masks,labels,coco,json", "--merge"]).expect(0, &[]);
    assert_eq!(
        env.files("plain"),
        ["a.json", "a.labels.png", "a.merged.png", "coco.json"],
        "the masks of the classes are gone"
    );
    let merged = mask(&env, "plain/a.merged.png");
    assert_eq!((merged.get_pixel(20, 20)[0], merged.get_pixel(100, 50)[0], merged.get_pixel(50, 50)[0]), (255, 255, 0));
    assert_eq!(label_indices(&env.path("plain/a.labels.png")).get_pixel(100, 50)[0], 1);
    let coco: serde_json::Value = serde_json::from_slice(&std::fs::read(env.path("plain/coco.json")).unwrap()).unwrap();
    assert_eq!((&coco["categories"][0]["name"], coco["annotations"].as_array().unwrap().len()), (&"merged".into(), 1));
    for (folder, flag) in [("one", "--merge"), ("groups", "--merge-groups")] {
        env.run(&["a.png", "-o", folder, "--format", "masks", "--classes", "garment", flag]).expect(0, &[]);
        assert_eq!(env.files(folder), ["a.garment.png"]);
    }
    env.run(&["a.png", "--merge-groups"]).expect(2, &["--classes"]);
    env.run(&["a.png", "--classes", "garment,shirt", "--merge-groups"]).expect(0, &[]);
}

#[test]
fn holes_pieces_and_edges_are_as_asked_for() {
    let env = env();
    let made = |flags: &[&str]| {
        let all =
            [&["a.png", "-o", "out", "--format", "masks", "--classes", "shirt", "--min-share", "0"], flags].concat();
        env.run(&all).expect(0, &[]);
        mask(&env, "out/a.shirt.png")
    };
    let plain = made(&[]);
    assert_eq!((plain.get_pixel(50, 50)[0], plain.get_pixel(121, 121)[0]), (0, 255));
    let filled = made(&["--fill-holes"]);
    assert_eq!(
        (filled.get_pixel(50, 50)[0], count(&filled)),
        (255, count(&plain) + 24 * 24 - 4),
        "its corners are rounded"
    );
    let largest = made(&["--largest"]);
    assert_eq!((largest.get_pixel(121, 121)[0], count(&largest)), (0, count(&plain) - 4));
    let grown = made(&["--grow", "5"]);
    assert_eq!((grown.get_pixel(11, 50)[0], grown.get_pixel(10, 50)[0]), (255, 0));
    let percent = made(&["--grow", "3.90625%"]);
    assert_eq!(percent, grown);
    let shrunk = made(&["--grow", "-5", "--fill-holes"]);
    assert_eq!((shrunk.get_pixel(20, 50)[0], shrunk.get_pixel(21, 50)[0]), (0, 255));
    let soft = made(&["--feather", "4"]);
    assert_eq!([12, 14, 15, 16, 17, 19].map(|x| soft.get_pixel(x, 80)[0]), [16, 80, 112, 143, 175, 239]);
    let inverted = made(&["--feather", "4", "--invert"]);
    assert!(soft.iter().zip(inverted.iter()).all(|(level, other)| level + other == 255));
    let bits = made(&["--invert", "--mask-depth", "1"]);
    assert!(bits.iter().zip(plain.iter()).all(|(level, other)| *level == 255 - *other));
}

#[test]
fn a_class_of_a_few_pixels_is_not_reported_unless_it_is_asked_for() {
    let env = TestEnv::new();
    let photo = image::RgbImage::from_fn(128, 128, |x, y| match (x, y) {
        (16..=79, 16..=95) => RED,
        (120..=121, 120..=121) => BLUE,
        _ => GREY,
    });
    env.save("a.png", &photo.into());
    env.run(&["a.png", "-o", "out"]).expect(0, &[]);
    let all = ["a.png", "-o", "out", "--min-share", "0"];
    assert!(!env.files("out").contains(&"a.pants.png".to_owned()), "4 of 16384 pixels are less than 0.05 %");
    env.run(&all).expect(0, &[]);
    assert!(env.files("out").contains(&"a.pants.png".to_owned()));
    assert_eq!(label_indices(&env.path("out/a.labels.png")).get_pixel(120, 120)[0], 2);
    for (flag, value) in [("--min-share", "101"), ("--min-share", "x"), ("--feather", "-1"), ("--grow", "much")] {
        env.run(&["a.png", flag, value]).expect(2, &[]);
    }
}

#[test]
fn cut_outs_stand_before_a_background_in_the_files_that_shops_take() {
    let env = env();
    let run = |folder: &str, flags: &[&str]| {
        let all = [&["a.png", "-o", folder, "--format", "cutout,crop", "--classes", "shirt"], flags].concat();
        env.run(&all).expect(0, &[]);
    };
    run("colour", &["--background", "#00ff00"]);
    let colour = image::open(env.path("colour/a.shirt.cutout.png")).unwrap();
    assert!(!colour.color().has_alpha());
    let colour = colour.into_rgb8();
    assert_eq!((colour.get_pixel(0, 0), colour.get_pixel(30, 30)), (&Rgb([0, 255, 0]), &RED));
    run("jpeg", &["--cutout-file", "jpeg"]);
    let jpeg = image::open(env.path("jpeg/a.shirt.cutout.jpg")).unwrap().into_rgb8();
    assert!(jpeg.get_pixel(0, 0).0.iter().all(|level| *level > 250), "white without a background");
    assert_eq!(env.files("jpeg"), ["a.shirt.crop.jpg", "a.shirt.cutout.jpg"]);
    run("webp", &["--cutout-file", "webp"]);
    let (png, webp) = (env.path("png/a.shirt.cutout.png"), env.path("webp/a.shirt.cutout.webp"));
    run("png", &[]);
    assert_eq!(image::open(png).unwrap().into_rgba8(), image::open(webp).unwrap().into_rgba8());
    env.save("behind.png", &image::RgbImage::from_pixel(7, 5, Rgb([1, 2, 3])).into());
    run("picture", &["--background", "behind.png", "--invert"]);
    let picture = image::open(env.path("picture/a.shirt.cutout.png")).unwrap().into_rgb8();
    assert_eq!((picture.get_pixel(30, 30), picture.get_pixel(2, 2)), (&Rgb([1, 2, 3]), &GREY));
    run("clean", &["--decontaminate", "--feather", "6"]);
    let clean = image::open(env.path("clean/a.shirt.cutout.png")).unwrap().into_rgba8();
    let edge = clean.get_pixel(13, 80).0;
    assert!(edge[3] > 0 && edge[3] < 128 && edge[0] > 150 && edge[1] < 60, "mostly the shirt's colour: {edge:?}");
    env.run(&["a.png", "--background", "no-such-colour"]).expect(2, &["--background", "no file of this name"]);
}

#[test]
fn without_flags_nothing_is_other_than_it_was() {
    let env = env();
    let all = "masks,soft,cutout,crop,labels,parse,overlay,svg,labelme,yolo,json";
    env.run(&["a.png", "-o", "plain", "--format", all]).expect(0, &[]);
    let neutral = ["--grow", "0", "--feather", "0", "--min-share", "0.05", "--cutout-file", "png"];
    env.run(&[&["a.png", "-o", "neutral", "--format", all], &neutral[..]].concat()).expect(0, &[]);
    assert_eq!(env.files("plain"), env.files("neutral"));
    for name in env.files("plain").iter().filter(|name| !name.ends_with(".json")) {
        let read = |folder: &str| std::fs::read(env.path(folder).join(name)).unwrap();
        assert_eq!(read("plain"), read("neutral"), "{name}");
    }
}
