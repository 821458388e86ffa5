//! Every endpoint, and every way in which a request can be wrong.

#![allow(clippy::unwrap_used)]

mod support;

use clothseg::masks::MaskOptions;
use clothseg::{Limits, Model, Photo, Provider, Segmenter};
use support::{Server, drawn_photo, engine_options, form, indices, png_of, unzip};

fn photo() -> Vec<u8> {
    png_of(&drawn_photo(96, 128))
}

/// What the library finds in the photo: class indices.
fn expected(photo: &[u8]) -> Vec<u8> {
    let model = Model::from_onnx(support::color_model()).unwrap();
    let segmenter = Segmenter::open_model(&model, &engine_options(Provider::Embedded)).unwrap();
    let segmentation = segmenter.segment(&Photo::from_bytes(photo, &Limits::default()).unwrap()).unwrap();
    segmentation.with_masks(&[1, 2], &MaskOptions::default()).unwrap().segmentation.label_map().labels().to_vec()
}

#[test]
fn a_photo_comes_back_in_every_format() {
    let (server, photo) = (Server::start(&[]), photo());
    let json = server.post("/v1/segment", &photo);
    let json = json.expect("application/json").json();
    assert_eq!((&json["width"], &json["height"]), (&96.into(), &128.into()));
    assert_eq!(json["photo"], "photo.png");
    assert_eq!(
        json["classes"].as_array().unwrap().iter().map(|class| &class["name"]).collect::<Vec<_>>(),
        ["shirt", "pants"]
    );
    assert!(json["classes"][1]["polygons"].as_array().is_some_and(|polygons| !polygons.is_empty()));

    let labels = server.post("/v1/segment?format=labels", &photo);
    assert_eq!(indices(&labels.expect("image/png").body), (96, 128, expected(&photo)));
    let overlay = server.post("/v1/segment?format=overlay", &photo);
    assert_eq!(overlay.expect("image/png").image().to_rgb8().dimensions(), (96, 128));
    let coco = server.post("/v1/segment?format=coco", &photo);
    let coco = coco.expect("application/json").json();
    assert_eq!(
        (&coco["images"][0]["file_name"], coco["annotations"].as_array().unwrap().len()),
        (&"photo.png".into(), 2)
    );
    let labelme = server.post("/v1/segment?format=labelme", &photo).expect("application/json").json();
    assert_eq!(labelme["imagePath"], "photo.png");
    assert!(server.post("/v1/segment?format=svg", &photo).expect("image/svg+xml").text().contains("<svg"));

    let zip = server.post("/v1/segment?format=zip&classes=pants", &photo);
    let files = unzip(&zip.expect("application/zip").body);
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    assert_eq!(names, ["photo.json", "photo.labels.png", "photo.overlay.png", "photo.pants.png"]);
    let only_pants: Vec<u8> = expected(&photo).iter().map(|label| if *label == 2 { 2 } else { 0 }).collect();
    assert_eq!(indices(&files["photo.labels.png"]).2, only_pants);
    let files = unzip(&server.post("/v1/segment?format=cutout,coco", &photo).expect("application/zip").body);
    assert_eq!(files.keys().collect::<Vec<_>>(), ["coco.json", "photo.pants.cutout.png", "photo.shirt.cutout.png"]);
    server.assert_idle();
}

#[test]
fn options_change_the_answer() {
    let (server, photo) = (Server::start(&[]), photo());
    let points = |query: &str| {
        let json = server.post(&format!("/v1/segment?classes=shirt&{query}"), &photo).expect("application/json").json();
        assert_eq!(json["classes"].as_array().unwrap().len(), 1);
        let polygons = json["classes"][0]["polygons"].to_string();
        (polygons.matches('[').count(), json["quality"].as_str().unwrap().to_owned())
    };
    let (usual, quality) = points("");
    assert_eq!(quality, "fast");
    assert_eq!(points("quality=best").1, "best");
    assert!(points("tolerance=0").0 >= usual && points("tolerance=30").0 <= usual);
    let all = server.post("/v1/segment?classes=all", &photo).json();
    assert_eq!(all["classes"].as_array().unwrap().len(), 2);
}

#[test]
fn masks_and_cutouts_are_of_the_classes_that_are_named() {
    let (server, photo) = (Server::start(&[]), photo());
    let labels = expected(&photo);
    for (name, classes) in [("pants", &[2][..]), ("Trousers", &[2]), ("garment", &[1, 2]), ("shirt,pants", &[1, 2])] {
        let mask = server.post(&format!("/v1/masks/{name}"), &photo);
        let mask = mask.expect("image/png").image().to_luma8();
        let wanted = labels.iter().map(|label| if classes.contains(label) { 255 } else { 0 });
        assert_eq!(mask.as_raw(), &wanted.collect::<Vec<u8>>(), "{name}");
        let cutout = server.post(&format!("/v1/cutouts/{name}"), &photo);
        let cutout = cutout.expect("image/png").image().to_rgba8();
        let original = drawn_photo(96, 128);
        for ((x, y, pixel), level) in cutout.enumerate_pixels().zip(mask.as_raw()) {
            let [r, g, b, alpha] = pixel.0;
            let near = |wanted: u8| alpha.abs_diff(wanted) < 255;
            assert!(near(*level), "{name}: alpha {alpha} at {x}, {y}, where the mask is {level}");
            let color = if alpha == 0 { [0; 3] } else { original.get_pixel(x, y).0 };
            assert_eq!([r, g, b], color, "{name} at {x}, {y}");
        }
    }
    let encoded = server.post("/v1/masks/shirt%2Cpants?quality=best", &photo);
    assert_eq!(encoded.expect("image/png").image().to_luma8().dimensions(), (96, 128));
}

#[test]
fn clients_of_rembg_get_what_they_expect() {
    let (server, photo) = (Server::start(&[]), photo());
    let cutout = server.post_form("/api/remove", &[("file", Some("../../a.png"), &photo)]);
    let cutout = cutout.expect("image/png").image();
    assert!(cutout.color().has_alpha());
    let fields: [(&str, Option<&str>, &[u8]); 3] =
        [("file", Some("a.png"), &photo), ("om", None, b"true"), ("model", None, b"/etc/passwd")];
    let mask = server.post_form("/api/remove", &fields);
    assert_eq!(mask.headers["x-clothseg-ignored"], "model");
    let wanted: Vec<u8> = expected(&photo).iter().map(|label| if *label > 0 { 255 } else { 0 }).collect();
    assert_eq!(mask.expect("image/png").image().to_luma8().as_raw(), &wanted);
    assert_eq!(server.post("/api/remove", &photo).status, 200, "a photo as it is");

    let get = server.get("/api/remove?url=http://127.0.0.1:1/photo.jpg");
    let problem = get.expect_problem(405, "method");
    assert!(problem["detail"].as_str().unwrap().contains("nothing is fetched"));
    assert_eq!(get.headers["allow"], "POST");
    let fields: [(&str, Option<&str>, &[u8]); 2] =
        [("file", Some("a.png"), &photo), ("url", None, b"http://localhost/")];
    server.post_form("/api/remove", &fields).expect_problem(400, "form");
    server.assert_idle();
}

#[test]
fn the_server_says_what_it_is() {
    let server = Server::start(&["--log", "json"]);
    let classes = server.get("/v1/classes");
    let classes = classes.expect("application/json").json();
    assert_eq!(
        (&classes["classes"][2]["name"], &classes["classes"][0]["kind"]),
        (&"pants".into(), &"background".into())
    );
    assert_eq!(classes["groups"]["garment"], serde_json::json!(["shirt", "pants"]));
    let model = server.get("/v1/model").expect("application/json").json();
    assert_eq!((&model["name"], &model["provider"]), (&"colours".into(), &"embedded".into()));
    assert_eq!(model["qualities"], serde_json::json!(["fast", "best"]));
    assert!(model.get("path").is_none(), "where files lie is nobody's business");
    let document = server.get("/openapi.json").expect("application/json").json();
    assert_eq!(document["openapi"], "3.1.0");
    server.get("/healthz").expect("application/json");
    server.get("/readyz").expect("application/json");
    let metrics = server.get("/metrics");
    metrics.expect("text/plain; version=0.0.4; charset=utf-8");
    assert!(metrics.text().contains("clothseg_requests_total{route=\"/v1/model\",status=\"200\"} 1\n"));
    let page = server.get("/");
    page.expect("text/html; charset=utf-8");
    for (name, value) in
        [("x-content-type-options", "nosniff"), ("cache-control", "no-store"), ("x-frame-options", "DENY")]
    {
        assert_eq!(page.headers[name], value);
    }
    assert!(page.headers["content-security-policy"].starts_with("default-src 'none'; "));
    for (path, kind) in [("/page.css", "text/css"), ("/page.js", "text/javascript"), ("/sample.jpg", "image/jpeg")] {
        assert!(server.get(path).headers["content-type"].starts_with(kind), "{path}");
    }
    let line: serde_json::Value = serde_json::from_str(&server.line_with("\"/page.css\"")).unwrap();
    assert_eq!((&line["method"], &line["status"]), (&"GET".into(), &200.into()));
    server.assert_idle();
}

#[test]
fn what_is_wrong_is_said() {
    let (server, photo) = (Server::start(&[]), photo());
    server.get("/nowhere").expect_problem(404, "not_found");
    server.get("/v1/segment").expect_problem(405, "method");
    for (query, code) in [
        ("format=psd", "format"),
        ("format=json,yolo&classes=background", "format"),
        ("quality=superb", "quality"),
        ("tolerance=-1", "tolerance"),
        ("tolerance=much", "query"),
        ("clases=pants", "query"),
        ("classes=,", "classes"),
    ] {
        server.post(&format!("/v1/segment?{query}"), &photo).expect_problem(400, code);
    }
    let unknown = server.post("/v1/segment?classes=pnats", &photo).expect_problem(422, "unknown_class");
    assert_eq!(unknown["nearest"], "pants");
    assert_eq!(server.post("/v1/masks/pnats", &photo).expect_problem(422, "unknown_class")["nearest"], "pants");
    server.post("/v1/masks/%FF", &photo).expect_problem(400, "path");
    for (body, code) in
        [(&b"no photo at all"[..], "not_a_photo"), (b"", "not_a_photo"), (&photo[..photo.len() / 2], "cut_off")]
    {
        server.post("/v1/segment", body).expect_problem(422, code);
    }
    for (name, value) in [("content-type", "text/plain"), ("content-encoding", "gzip")] {
        server.post_with("/v1/segment", &[(name, value)], &photo).expect_problem(415, "media_type");
    }
    server.assert_idle();
}

#[test]
fn a_form_that_is_none_is_refused() {
    let (server, photo) = (Server::start(&[]), photo());
    let whole = form(&[("file", Some("a.png"), &photo)]);
    server.post_form("/v1/segment", &[("file", Some("a.png"), &photo)]).expect("application/json");
    server.post_form("/v1/segment", &[("photo", None, b"x")]).expect_problem(400, "no_file");
    server.post_form("/v1/segment", &[("photo", Some("a.png"), &[0xFF; 5000])]).expect_problem(400, "form");
    let twice: [(&str, Option<&str>, &[u8]); 2] = [("file", None, b"x"), ("file", None, b"y")];
    server.post_form("/v1/segment", &twice).expect_problem(400, "form");
    let more: [(&str, Option<&str>, &[u8]); 2] = [("file", None, &photo), ("format", None, b"svg")];
    server.post_form("/v1/segment", &more).expect_problem(400, "form");
    let many: Vec<(&str, Option<&str>, &[u8])> = vec![("x", None, b"y"); 100];
    server.post_form("/v1/segment", &many).expect_problem(400, "form");
    let kind = "multipart/form-data; boundary=XX";
    for (kind, body) in [
        ("multipart/form-data", &whole[..]),
        ("multipart/form-data; boundary=YY", &whole),
        (kind, &whole[..whole.len() / 2]),
        (kind, b"--XX\r\nnonsense"),
        (kind, b""),
    ] {
        let reply = server.post_with("/v1/segment", &[("content-type", kind)], body);
        assert_eq!(reply.status, 400, "{kind}, {} bytes: {}", body.len(), reply.text());
    }
    server.assert_idle();
}
