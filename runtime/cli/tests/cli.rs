//! `clothseg-run` from the outside.

#![allow(clippy::unwrap_used)]
#![cfg(feature = "embedded")]

mod support;

use serde_json::Value;
use support::{TestEnv, model_without_spec};

fn json(env: &TestEnv, file: &str) -> Value {
    serde_json::from_slice(&std::fs::read(env.path(file)).unwrap()).unwrap()
}

#[test]
fn a_photo_gets_masks_labels_overlay_and_json() {
    let env = TestEnv::new();
    env.photo("shop/look.png");
    env.run(&["shop/look.png", "-o", "out"]).expect(0, &["engine: embedded", "shop/look.png: ", "results in out"]);
    assert_eq!(
        env.files("out"),
        ["look.json", "look.labels.png", "look.overlay.png", "look.pants.png", "look.shirt.png"]
            .map(|f| format!("shop/{f}"))
    );
    let labels = support::label_indices(&env.path("out/shop/look.labels.png"));
    assert_eq!(labels.dimensions(), (96, 128));
    assert_eq!([labels.get_pixel(48, 32)[0], labels.get_pixel(48, 96)[0], labels.get_pixel(2, 2)[0]], [1, 2, 0]);
    let mask = image::open(env.path("out/shop/look.shirt.png")).unwrap().into_luma8();
    assert!(mask.enumerate_pixels().all(|(x, y, p)| p[0] == if labels.get_pixel(x, y)[0] == 1 { 255 } else { 0 }));
    let overlay = image::open(env.path("out/shop/look.overlay.png")).unwrap().into_rgb8();
    assert_eq!(overlay.get_pixel(2, 2).0, [90; 3], "background is left as it is");
    assert_ne!(overlay.get_pixel(48, 32).0, support::RED.0);
}

#[test]
fn the_json_has_polygons_boxes_and_facts() {
    let env = TestEnv::new();
    env.photo("a.png");
    env.run(&["a.png"]).expect(0, &[]);
    let json = json(&env, "clothseg-out/a.json");
    assert_eq!((json["width"].as_u64(), json["height"].as_u64()), (Some(96), Some(128)));
    assert_eq!((json["model"].as_str(), json["photo"].as_str()), (Some("colours"), Some("a.png")));
    assert_eq!(json["engine"]["provider"], "embedded");
    assert!(json["timings_ms"]["inference"].as_f64().unwrap() > 0.0);
    let shirt = &json["classes"][0];
    assert_eq!((shirt["name"].as_str(), shirt["index"].as_u64()), (Some("shirt"), Some(1)));
    assert_eq!(shirt["box"], serde_json::json!({"x": 24, "y": 16, "width": 48, "height": 32}));
    assert_eq!(shirt["area_px"], 48 * 32);
    assert!((shirt["area_share"].as_f64().unwrap() - 0.125).abs() < 1e-6);
    assert!(shirt["confidence"].as_f64().unwrap() > 0.9);
    let polygons = shirt["polygons"].as_array().unwrap();
    assert_eq!(polygons.len(), 1);
    assert!(polygons[0]["exterior"].as_array().unwrap().len() >= 4);
    assert_eq!(polygons[0]["holes"], serde_json::json!([]));
}

#[test]
fn classes_choose_by_name_alias_and_group_and_what_is_absent_is_said() {
    let env = TestEnv::new();
    env.photo("a.png");
    image::RgbImage::from_pixel(96, 128, support::GREY).save(env.path("plain.png")).unwrap();
    env.run(&["a.png", "plain.png", "--classes", "Trousers", "-o", "out"]).expect(0, &[]);
    assert_eq!(
        env.files("out"),
        [
            "a.json",
            "a.labels.png",
            "a.overlay.png",
            "a.pants.png",
            "plain.json",
            "plain.labels.png",
            "plain.overlay.png"
        ]
    );
    let labels = support::label_indices(&env.path("out/a.labels.png"));
    assert!(labels.pixels().all(|pixel| pixel[0] != 1), "what was not asked for is background");
    let absent = &json(&env, "out/plain.json")["classes"];
    assert_eq!(absent.as_array().unwrap().len(), 1);
    assert_eq!(absent[0]["area_px"], 0);
    env.run(&["plain.png", "--classes", "garment", "-o", "all"]).expect(0, &["none of the classes asked for"]);
}

#[test]
fn a_folder_is_mirrored_and_formats_are_chosen() {
    let env = TestEnv::new();
    env.photo("in/a.png");
    env.photo("in/deep/b.jpg");
    env.photo("in/deep/b.png");
    env.write("in/notes.txt", b"not a photo");
    env.run(&["in", "-o", "out", "--format", "labels"]).expect(0, &["3 photos done"]);
    assert_eq!(env.files("out"), ["a.labels.png", "deep/b.jpg.labels.png", "deep/b.png.labels.png"]);
}

#[test]
fn background_is_a_class_like_any_other() {
    let env = TestEnv::new();
    env.photo("a.png");
    env.run(&["a.png", "--classes", "background,shirt", "-o", "out"]).expect(0, &[]);
    let mask = image::open(env.path("out/a.background.png")).unwrap().into_luma8();
    assert_eq!(
        [mask.get_pixel(2, 2)[0], mask.get_pixel(48, 32)[0], mask.get_pixel(48, 96)[0]],
        [255, 0, 0],
        "not pants"
    );
}

#[test]
fn a_photo_is_never_written_over_and_old_results_leave() {
    let env = TestEnv::new();
    env.photo("in/a.png");
    let other = std::fs::read(env.photo("in/a.shirt.png")).unwrap();
    let output = env.path("in").to_string_lossy().into_owned();
    let photos = ["in/a.png", "in/a.shirt.png"].map(|name| env.path(name).to_string_lossy().into_owned());
    env.run(&[&photos[0], &photos[1], "-o", &output]).expect(1, &["would be written over", "1 photo done, 1 failed"]);
    assert_eq!(std::fs::read(env.path("in/a.shirt.png")).unwrap(), other);

    env.run(&["in/a.png", "-o", "out"]).expect(0, &[]);
    assert!(env.path("out/in/a.shirt.png").exists());
    env.run(&["in/a.png", "-o", "out", "--classes", "pants"]).expect(0, &[]);
    assert!(!env.path("out/in/a.shirt.png").exists() && env.path("out/in/a.pants.png").exists());
}

#[test]
fn standard_input_is_a_photo_too() {
    let env = TestEnv::new();
    let photo = std::fs::read(env.photo("a.png")).unwrap();
    let arguments = ["--model", "colours.onnx", "--provider", "embedded", "-", "-o", "out", "-f", "json", "--quiet"];
    let run = env.run_with_stdin(&arguments, &photo);
    run.expect(0, &[]);
    assert_eq!(run.stderr, "");
    assert_eq!(env.files("out"), ["stdin.json"]);
}

#[test]
fn bad_photos_are_named_and_the_others_are_done() {
    let env = TestEnv::new();
    let whole = std::fs::read(env.photo("in/good.jpg")).unwrap();
    env.write("in/truncated.jpg", &whole[..whole.len() * 2 / 3]);
    env.write("in/text.jpg", b"this is a text file");
    env.write("in/empty.png", b"");
    support::drawn_photo(1, 1).save(env.path("in/pixel.png")).unwrap();
    env.run(&["in", "absent.jpg", "-o", "out", "-f", "json,labels"]).expect(
        1,
        &[
            "in/truncated.jpg: not a readable photo",
            "in/text.jpg: not a readable photo",
            "absent.jpg: cannot read",
            "2 photos done, 4 failed",
        ],
    );
    assert_eq!(env.files("out"), ["good.json", "good.labels.png", "pixel.json", "pixel.labels.png"]);
}

#[test]
fn a_photo_over_the_limit_is_refused() {
    let env = TestEnv::new();
    env.photo("a.png");
    env.run(&["a.png", "--max-megapixels", "0"]).expect(1, &["too large: 12288 pixels", "--max-megapixels"]);
}

#[test]
fn an_unknown_class_lists_what_there_is_and_does_nothing() {
    let env = TestEnv::new();
    env.photo("a.png");
    env.run(&["a.png", "--classes", "shrit", "-o", "out"])
        .expect(2, &["did you mean 'shirt'", "pants", "and the groups ", "garment"]);
    assert!(!env.path("out").exists());
}

#[test]
fn wrong_usage_says_what_to_do() {
    let env = TestEnv::new();
    env.photo("a.png");
    env.write("empty/readme.txt", b"x");
    env.run(&[]).expect(2, &["no input"]);
    env.run_plain(&[]).expect(2, &["Usage"]);
    env.run(&["empty"]).expect(2, &["no photos"]);
    env.run(&["a.png", "--formats", "masks,psd"]).expect(2, &["unknown format 'psd'", "overlay"]);
    env.run(&["a.png", "--tolerance", "-1"]).expect(2, &["--tolerance"]);
    env.run(&["."]).expect(0, &["1 photo done", "files that are not photos"]);
    env.run(&[".", "-o", "."]).expect(2, &["a folder of their own"]);
    env.run(&["a.png", "-o", "a.png"]).expect(2, &["cannot write a.png"]);
    env.run(&["a.png", "--max-megapixels", "0.5"]).expect(2, &["'0.5' is not a whole number of megapixels"]);
    env.run(&["a.png", "--threads", "20000"]).expect(2, &["'20000' is not a whole number from 1 to 1024"]);
    env.run(&["-", "-"]).expect(2, &["which can be read once"]);
    env.run_plain(&["a.png", "--provider", "gpu"]).expect(2, &["unknown provider 'gpu'", "tensorrt"]);
}

#[test]
fn a_model_that_cannot_be_used_says_why() {
    let env = TestEnv::new();
    env.photo("a.png");
    env.write("bare.onnx", &model_without_spec());
    env.write("text.onnx", b"this is no model");
    let model = |file: &'static str| env.run_plain(&["a.png", "--model", file, "--provider", "embedded"]);
    model("bare.onnx").expect(2, &["bare.onnx", "clothseg.spec", "bare.json"]);
    model("text.onnx").expect(2, &["not an ONNX model"]);
    model("absent.onnx").expect(2, &["cannot read absent.onnx"]);
    env.write("bare.json", support::color_spec().to_json().unwrap().as_bytes());
    model("bare.onnx").expect(0, &[]);
}

#[test]
fn a_provider_that_is_absent_fails_with_the_reason() {
    let env = TestEnv::new();
    env.photo("a.png");
    let model = ["a.png", "--model", "colours.onnx", "--provider"];
    for provider in ["cuda", "tensorrt"] {
        if std::path::Path::new("/dev/nvidiactl").exists() {
            eprintln!("skipped: this machine has an NVIDIA GPU");
            return;
        }
        env.run_plain(&[&model[..], &[provider]].concat())
            .expect(2, &[&format!("provider '{provider}' cannot run here")]);
    }
    let tensorrt = env.run_plain(&[&model[..], &["tensorrt", "--trt-cache", "engines"]].concat());
    tensorrt.expect(2, &["TensorRT has no engine for this model yet", "engines/colours-fp32-", "cannot run here"]);
    assert!(!env.path("engines").exists(), "nothing is made for a provider that does not run");
    env.run_plain(&[&model[..], &["auto", "--library", "absent.so"]].concat()).expect(2, &["absent.so"]);
}

#[test]
#[cfg(target_os = "linux")]
fn libraries_that_do_not_load_are_passed_over() {
    let env = TestEnv::new();
    env.photo("a.png");
    env.write("bin/libonnxruntime.so.9.9.9", b"no library");
    env.write("bin/libonnxruntime.so.1", b"none either");
    // The embedded engine, or an ONNX Runtime that this system has.
    env.run_elsewhere(&["a.png", "--model", "colours.onnx"]).expect(0, &["engine: "]);
    let absent = env.run_elsewhere(&["a.png", "--model", "colours.onnx", "--library", "bin/libonnxruntime.so.1"]);
    absent.expect(2, &["libonnxruntime.so.1"]);
}

#[test]
fn listings_go_to_standard_output() {
    let env = TestEnv::new();
    let classes = env.run(&["--list-classes"]);
    classes.expect(0, &[]);
    assert!(classes.stdout.contains("shirt  (blouse)") && classes.stdout.contains("group garment"), "{classes:?}");
    let info = env.run(&["--info"]);
    info.expect(0, &[]);
    for text in ["colours (3 classes)", "embedded", "tract"] {
        assert!(info.stdout.contains(text), "{info:?}");
    }
}

#[test]
fn info_is_there_for_programs_too() {
    let env = TestEnv::new();
    let run = env.run(&["--info=json"]);
    run.expect(0, &[]);
    let info: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(
        (&info["model"], &info["provider"], &info["library"]),
        (&"colours".into(), &"embedded".into(), &"tract".into())
    );
    assert_eq!(info["classes"], serde_json::json!(["background", "shirt", "pants"]));
    assert_eq!(info["input"]["fit"]["longest-side"]["size"], 128);
    assert_eq!((&info["sessions"], &info["threads"], &info["nodes"]), (&1.into(), &1.into(), &Value::Array(vec![])));
    let several = env.run(&["--info=json", "--sessions", "3"]);
    assert_eq!(serde_json::from_str::<Value>(&several.stdout).unwrap()["sessions"], 3);
    env.run(&["--info=yaml"]).expect(2, &["yaml", "json"]);
}

#[test]
fn flags_for_another_engine_are_refused_by_name() {
    let env = TestEnv::new();
    env.photo("a.png");
    env.run(&["a.png", "--fp16"]).expect(2, &["--fp16 is for TensorRT"]);
    env.run(&["a.png", "--trt-cache", "engines"]).expect(2, &["--trt-cache", "--provider tensorrt"]);
    env.run(&["a.png", "--sessions", "0"]).expect(2, &["--sessions"]);
    assert!(!env.path("engines").exists());
}
