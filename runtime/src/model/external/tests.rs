use prost::Message as _;

use super::*;

/// A field with a length.
fn field(number: u32, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_key(number, WireType::LengthDelimited, &mut bytes);
    encode_varint(content.len() as u64, &mut bytes);
    bytes.extend(content);
    bytes
}

#[derive(Clone, PartialEq, prost::Message)]
struct Entry {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
}

/// A tensor of a name whose data is elsewhere.
fn tensor(name: &str, entries: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = field(8, name.as_bytes());
    for (key, value) in entries {
        let entry = Entry { key: (*key).into(), value: (*value).into() };
        bytes.extend(field(13, &entry.encode_to_vec()));
    }
    encode_key(14, WireType::Varint, &mut bytes);
    encode_varint(1, &mut bytes);
    bytes
}

/// A model with one such weight, and one within a node of a graph within a node.
fn model(entries: &[(&str, &str)]) -> Vec<u8> {
    let inner = field(1, &field(5, &field(5, &tensor("inner", entries))));
    let node = field(1, &field(5, &field(6, &inner)));
    field(7, &[node, field(5, &tensor("outer", entries)), field(2, b"graph")].concat())
}

/// The same with `data` in place of the file.
fn whole(data: &[u8]) -> Vec<u8> {
    let tensor = |name: &str| [field(8, name.as_bytes()), field(9, data)].concat();
    let inner = field(1, &field(5, &field(5, &tensor("inner"))));
    let node = field(1, &field(5, &field(6, &inner)));
    field(7, &[node, field(5, &tensor("outer")), field(2, b"graph")].concat())
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model/net.onnx");
    std::fs::create_dir(folder.path().join("model")).unwrap();
    std::fs::write(&model, b"").unwrap();
    (folder, model)
}

#[test]
fn weights_beside_the_model_are_put_into_it_wherever_the_process_works() {
    let (_folder, path) = folder();
    let data: Vec<u8> = (0..1000).map(|value| value as u8).collect();
    std::fs::write(path.with_file_name("net.onnx.data"), &data).unwrap();
    let at = [("location", "net.onnx.data"), ("offset", "100"), ("length", "300")];
    assert_eq!(inline(&path, model(&at)).unwrap(), whole(&data[100..400]));
    assert_eq!(inline(&path, model(&at[..2])).unwrap(), whole(&data[100..]), "to the end");
    assert_eq!(inline(&path, model(&[("location", "./net.onnx.data")])).unwrap(), whole(&data));
    assert!(refuse(&model(&at)).unwrap_err().to_string().contains("'net.onnx.data'"));
    assert_eq!(inline(&path, whole(&data)).unwrap(), whole(&data), "one without others stays as it is");
    refuse(&whole(&data)).unwrap();
    std::fs::create_dir(path.with_file_name("weights")).unwrap();
    std::fs::write(path.with_file_name("weights/a"), b"abc").unwrap();
    assert_eq!(inline(&path, model(&[("location", "weights\\a")])).unwrap(), whole(b"abc"));
}

#[test]
fn nothing_is_read_from_outside_the_models_folder() {
    let (folder, path) = folder();
    let outside = folder.path().join("secret");
    std::fs::write(&outside, b"abc").unwrap();
    let absolute = outside.to_str().unwrap().to_owned();
    for location in [absolute.as_str(), "../secret", "a/../../secret", "..\\secret", "C:\\secret", "", "a\0b"] {
        let error = inline(&path, model(&[("location", location)])).unwrap_err().to_string();
        assert!(error.contains("not beside the model"), "{location}: {error}");
    }
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(&outside, path.with_file_name("link")).unwrap();
        let error = inline(&path, model(&[("location", "link")])).unwrap_err().to_string();
        assert!(error.contains("lead out of the model's folder"), "{error}");
    }
}

#[cfg(unix)]
#[test]
fn a_cache_of_links_into_one_folder_is_as_good_as_the_files() {
    let (folder, path) = folder();
    for (name, bytes) in [("one", &b""[..]), ("two", b"abc")] {
        std::fs::create_dir_all(folder.path().join("blobs")).unwrap();
        std::fs::write(folder.path().join("blobs").join(name), bytes).unwrap();
    }
    let link = |from: &str, to: &str| {
        std::os::unix::fs::symlink(folder.path().join("blobs").join(from), path.with_file_name(to)).unwrap();
    };
    link("one", "cached.onnx");
    link("two", "cached.onnx_data");
    let cached = path.with_file_name("cached.onnx");
    assert_eq!(inline(&cached, model(&[("location", "cached.onnx_data")])).unwrap(), whole(b"abc"));
}

#[test]
fn files_that_are_missing_short_or_pointers_are_named() {
    let (_folder, path) = folder();
    let refused = |entries: &[(&str, &str)]| inline(&path, model(entries)).unwrap_err().to_string();
    let text = refused(&[("location", "net.onnx.data")]);
    assert!(text.contains("'net.onnx.data'") && text.contains("put it beside the model"), "{text}");
    std::fs::write(path.with_file_name("net.onnx.data"), b"abc").unwrap();
    for entries in [[("offset", "0"), ("length", "4")], [("offset", "4"), ("length", "0")]] {
        let text = refused(&[("location", "net.onnx.data"), entries[0], entries[1]]);
        assert!(text.contains("3 bytes"), "{text}");
    }
    let most = u64::MAX.to_string();
    assert!(refused(&[("location", "net.onnx.data"), ("offset", "9"), ("length", &most)]).contains("are needed"));
    assert!(refused(&[("location", "net.onnx.data"), ("offset", "-1")]).contains("damaged"));
    std::fs::write(path.with_file_name("lfs"), b"version https://git-lfs.github.com/spec/v1\n").unwrap();
    assert!(refused(&[("location", "lfs")]).contains("git lfs pull"));
    assert!(refused(&[("location", ".")]).contains("is not there"));
}
