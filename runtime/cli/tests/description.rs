//! Models that carry no description, with `--spec` and sidecars.

#![allow(clippy::unwrap_used)]
#![cfg(feature = "embedded")]

mod support;

use support::{TestEnv, foreign};

#[test]
fn the_cli_takes_a_description_by_name_or_file() {
    let env = TestEnv::new();
    env.photo("a.png");
    env.write("net.onnx", &foreign::segformer_clothes());
    let base = ["a.png", "--model", "net.onnx", "--provider", "embedded", "--classes", "shirt,pants", "-o", "out"];
    let run = |spec: &[&str]| env.run_plain(&[&base[..], spec].concat());
    run(&[]).expect(2, &["net.onnx", "net.json"]);
    run(&["--spec", "segformer-b2-clothes"]).expect(0, &["1 photo done"]);
    let files = env.files("out");
    assert!(
        files.contains(&"a.upper-clothes.png".to_owned()) && files.contains(&"a.pants.png".to_owned()),
        "{files:?}"
    );
    run(&["--spec", "segformer"]).expect(2, &["no model description 'segformer'", "segformer-b2-clothes"]);
    run(&["--spec", "u2net-cloth"]).expect(2, &["bad model description"]);
    env.write("net.json", clothseg_models::description("segformer-b2-clothes").unwrap().as_bytes());
    run(&[]).expect(0, &["1 photo done"]);
    run(&["--spec", "net.json"]).expect(0, &["1 photo done"]);
    env.run_plain(&["a.png", "--spec", "net.json"]).expect(2, &["--model"]);
}
