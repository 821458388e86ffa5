//! The program: flags, exit status, health, the built-in model, telemetry.

#![allow(clippy::unwrap_used)]

mod support;

use std::process::{Command, Output};

use support::Server;

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_clothseg-serve")).args(arguments).output().unwrap()
}

#[track_caller]
fn expect(output: &Output, code: i32, text: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(text), "'{text}' is not in: {said}");
}

#[test]
fn wrong_usage_ends_with_2_and_a_word_on_what_to_do() {
    expect(&run(&["--listen", "everywhere"]), 2, "--listen");
    expect(&run(&["--allow-host", "example.com:80"]), 2, "without port");
    expect(&run(&["--allow-origin", "*"]), 2, "such as https://shop.example.com");
    expect(&run(&["--request-time", "0"]), 2, "0.001 to 86400");
    expect(&run(&["--model", "absent.onnx"]), 2, "absent.onnx");
    expect(&run(&["--fp16"]), 2, "--provider tensorrt");
}

#[test]
fn completions_and_the_man_page_name_the_flags() {
    for kind in ["man", "complete-bash", "complete-zsh", "complete-fish"] {
        let output = run(&["--generate", kind]);
        assert_eq!(output.status.code(), Some(0), "{kind}");
        let text = String::from_utf8(output.stdout).unwrap().replace("\\-", "-");
        assert!(text.contains("allow-host") && text.contains("clothseg-serve"), "{kind}: {text}");
    }
}

#[test]
fn a_port_that_is_taken_is_named() {
    let server = Server::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("colours.onnx");
    std::fs::write(&model, support::color_model()).unwrap();
    let address = server.address.to_string();
    let arguments = ["--model", model.to_str().unwrap(), "--provider", "embedded", "--listen", &address];
    expect(&run(&arguments), 2, &format!("cannot listen on {address}"));
}

#[test]
fn health_is_the_exit_status() {
    let server = Server::start(&[]);
    let address = server.address.to_string();
    assert_eq!(run(&["--health", "--listen", &address]).status.code(), Some(0));
    drop(server);
    expect(&run(&["--health", "--listen", &address]), 1, "does not answer");
}

/// ONNX Runtime, where the environment names it.
#[cfg(feature = "default-model")]
fn has_onnxruntime() -> bool {
    let has = std::env::var_os("ORT_DYLIB_PATH").is_some();
    assert!(has || std::env::var_os("CLOTHSEG_REQUIRE_ONNXRUNTIME").is_none(), "set ORT_DYLIB_PATH");
    if !has {
        eprintln!("skipped: ORT_DYLIB_PATH names no ONNX Runtime");
    }
    has
}

#[test]
#[cfg(feature = "default-model")]
fn the_built_in_model_finds_the_garments_of_the_sample_without_a_trace() {
    let arguments: &[&str] = if has_onnxruntime() {
        &["--provider", "cpu", "--batch", "4"]
    } else if cfg!(feature = "embedded") {
        &["--provider", "embedded", "--batch", "4"]
    } else {
        return;
    };
    let server = Server::start_plain(arguments);
    assert_eq!(server.get("/v1/model").json()["batch"], 4);
    let sample = server.get("/sample.jpg").body;
    let json = server.post("/v1/segment", &sample).expect("application/json").json();
    assert_eq!((&json["width"], &json["engine"]["path"]), (&512.into(), &serde_json::Value::Null));
    let found = |json: &serde_json::Value| -> Vec<(String, u64)> {
        let classes = json["classes"].as_array().unwrap().iter();
        let found =
            classes.map(|class| (class["name"].as_str().unwrap().to_owned(), class["area_px"].as_u64().unwrap()));
        found.filter(|(_, area_px)| *area_px > 0).collect()
    };
    let alone = found(&json);
    assert!(!alone.is_empty(), "a man in a jacket");
    // Together in one run of the network they come out as alone, but for rounding.
    let together: Vec<_> = std::thread::scope(|scope| {
        let ask = |_| scope.spawn(|| found(&server.post("/v1/segment", &sample).expect("application/json").json()));
        (0..6).map(ask).collect::<Vec<_>>().into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for one in together {
        assert_eq!(one.len(), alone.len());
        for ((name, area_px), (alone, alone_px)) in one.iter().zip(&alone) {
            assert!(
                name == alone && area_px.abs_diff(*alone_px) * 1000 <= *alone_px,
                "{name}: {area_px} and {alone_px}"
            );
        }
    }
    server.assert_idle();
    let traces: Vec<_> = std::fs::read_dir(server.home()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(traces.is_empty(), "telemetry leaves {traces:?}");
}
