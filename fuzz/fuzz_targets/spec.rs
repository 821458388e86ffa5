//! Descriptions and model files from anywhere: read or refused, and what is read can be written and read again.
#![no_main]

use clothseg::ModelSpec;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(spec) = ModelSpec::from_json(text)
    {
        let written = spec.to_json().expect("a description has a JSON form");
        assert_eq!(ModelSpec::from_json(&written).expect("it can be read back"), spec);
    }
    let _ = ModelSpec::from_onnx(bytes);
    let described = clothseg_models::description("u2net-cloth").expect("it is carried along");
    let spec = ModelSpec::from_json(described).expect("it is a description");
    let _ = clothseg::Model::from_bytes(bytes.to_vec(), spec);
});
