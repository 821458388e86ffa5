//! Too much, too slow, and from the wrong place: nothing hangs and nothing leaks.

#![allow(clippy::unwrap_used)]

mod support;

use std::io::{Read, Write};
use std::net::Shutdown;

use support::{Server, drawn_photo, form, png_of};

const OCTETS: (&str, &str) = ("content-type", "application/octet-stream");

fn photo() -> Vec<u8> {
    png_of(&drawn_photo(96, 128))
}

#[test]
fn an_upload_that_is_too_large_is_refused_in_every_form() {
    let server = Server::start(&["--max-megabytes", "1"]);
    let large = vec![0; 3_000_000];
    let problem = server.post("/v1/segment", &large).expect_problem(413, "too_many_bytes");
    assert_eq!((&problem["limit"], &problem["unit"]), (&1_000_000.into(), &"bytes".into()));
    server.post_form("/v1/segment", &[("file", Some("a.png"), &large)]).expect_problem(413, "too_many_bytes");
    // Just over the limit: the form may have more bytes, the photo in it may not.
    server.post_form("/v1/segment", &[("file", None, &large[..1_000_001])]).expect_problem(413, "too_many_bytes");
    let form = form(&[("file", None, &large)]);
    for (kind, body) in [(OCTETS.1, &large), ("multipart/form-data; boundary=XX", &form)] {
        let mut connection = server.connect();
        connection.head("POST", "/v1/segment", &[("content-type", kind), ("transfer-encoding", "chunked")]);
        for chunk in body.chunks(100_000) {
            connection.send(format!("{:x}\r\n", chunk.len()).as_bytes());
            connection.send(chunk);
            connection.send(b"\r\n");
        }
        connection.send(b"0\r\n\r\n");
        connection.reply().expect_problem(413, "too_many_bytes");
    }
    // A client that asks first sends nothing.
    let mut connection = server.connect();
    connection.head("POST", "/v1/segment", &[OCTETS, ("content-length", "9000000"), ("expect", "100-continue")]);
    connection.reply().expect_problem(413, "too_many_bytes");
    server.assert_idle();
}

#[test]
fn a_photo_of_too_many_pixels_is_refused() {
    let server = Server::start(&["--max-megapixels", "1"]);
    let large = png_of(&drawn_photo(1000, 1001));
    let problem = server.post("/v1/segment", &large).expect_problem(413, "too_many_pixels");
    assert_eq!((&problem["limit"], &problem["unit"]), (&1_000_000.into(), &"pixels".into()));
    server.assert_idle();
}

#[test]
fn an_upload_that_does_not_arrive_is_given_up() {
    let server = Server::start(&["--body-time", "0.3"]);
    for kind in [OCTETS.1, "multipart/form-data; boundary=XX"] {
        let mut connection = server.connect();
        connection.head("POST", "/v1/segment", &[("content-type", kind), ("content-length", "1000")]);
        connection.send(b"--XX\r\n");
        connection.reply().expect_problem(408, "slow_upload");
    }
    server.assert_idle();
}

#[test]
fn a_head_that_does_not_arrive_is_given_up() {
    let server = Server::start(&["--head-time", "0.3"]);
    let mut slow = server.connect();
    slow.send(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nx-slow: ");
    slow.closed();
    assert_eq!(server.connect().closed(), b"", "a client that says nothing");
    let mut idle = server.connect();
    idle.send(format!("GET /healthz HTTP/1.1\r\nhost: {}\r\n\r\n", idle.host).as_bytes());
    assert!(idle.closed().starts_with(b"HTTP/1.1 200"), "a client that says nothing more");
    let mut endless = server.connect();
    endless.send(b"GET /healthz HTTP/1.1\r\n");
    for _ in 0..5000 {
        endless.send(b"x-endless: and so on, and so on, and so on\r\n");
    }
    let closed = endless.closed();
    assert!(closed.is_empty() || closed.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&closed));
    server.assert_idle();
}

#[test]
fn a_client_that_goes_away_leaves_nothing_behind() {
    let server = Server::start(&[]);
    for half_closed in [true, false] {
        let mut connection = server.connect();
        connection.head("POST", "/v1/segment", &[OCTETS, ("content-length", "1000")]);
        connection.send(b"half of a photo");
        server.wait_for("clothseg_photos_waiting", 1.0);
        if half_closed {
            connection.stream.shutdown(Shutdown::Write).unwrap();
            let rest = connection.closed();
            assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 400"), "{}", String::from_utf8_lossy(&rest));
        } else {
            drop(connection);
        }
        server.assert_idle();
    }
    // A client that sends a photo and closes its side: answered or not, nothing is left.
    let (mut connection, photo) = (server.connect(), photo());
    connection.head("POST", "/v1/segment", &[OCTETS, ("content-length", &photo.len().to_string())]);
    connection.send(&photo);
    connection.stream.shutdown(Shutdown::Write).unwrap();
    connection.closed();
    server.assert_idle();
}

#[test]
fn overload_is_refused_before_the_photo_is_read_and_passes() {
    let server = Server::start(&["--jobs", "1", "--queue", "2"]);
    let photo = photo();
    let length = photo.len().to_string();
    let mut held = Vec::new();
    for place in 1..=3 {
        let mut connection = server.connect();
        connection.head("POST", "/v1/segment?format=labels", &[OCTETS, ("content-length", &length)]);
        connection.send(&photo[..100]);
        server.wait_for("clothseg_photos_waiting", f64::from(place));
        held.push(connection);
    }
    let mut refused = server.connect();
    refused.head("POST", "/v1/segment", &[OCTETS, ("content-length", "9000000"), ("expect", "100-continue")]);
    let refused = refused.reply();
    refused.expect_problem(503, "busy");
    assert!((1..=60).contains(&refused.headers["retry-after"].parse::<u64>().unwrap()));
    // One that has sent everything by then gets the same answer, not a reset connection.
    server.post("/v1/masks/pants", &vec![0; 5_000_000]).expect_problem(503, "busy");
    assert_eq!(server.metric("clothseg_photos_refused_total"), 2.0);
    assert_eq!(server.get("/healthz").status, 200, "the server itself is well");
    for mut connection in held {
        connection.send(&photo[100..]);
        connection.reply().expect("image/png");
    }
    server.assert_idle();
    server.post("/v1/segment", &photo).expect("application/json");
}

#[test]
fn work_that_takes_too_long_is_not_waited_for() {
    let server = Server::start(&["--jobs", "1", "--request-time", "0.05"]);
    let large = png_of(&drawn_photo(4000, 4000));
    let reply = server.post("/v1/cutouts/garment", &large);
    // Decoding has the same limit, and may be the first to notice.
    assert!(matches!(reply.status, 504 | 422), "{}", reply.text());
    server.assert_idle();
}

#[test]
fn only_those_who_may_ask_are_answered() {
    let server = Server::start(&["--allow-host", "photos.example.com", "--allow-origin", "https://shop.example.com"]);
    let photo = photo();
    let post = |headers: &[(&str, &str)]| server.post_with("/v1/segment", &[&[OCTETS], headers].concat(), &photo);
    post(&[("host", "attacker.example")]).expect_problem(421, "host");
    post(&[("origin", "https://attacker.example")]).expect_problem(403, "origin");
    post(&[("origin", "null")]).expect_problem(403, "origin");
    let named = [("host", "photos.example.com"), ("origin", "https://photos.example.com")];
    let named = post(&named);
    named.expect("application/json");
    assert!(!named.headers.contains_key("access-control-allow-origin"));
    assert_eq!(named.headers["cross-origin-resource-policy"], "same-origin");
    let shop = post(&[("origin", "https://shop.example.com")]);
    shop.expect("application/json");
    assert_eq!(shop.headers["access-control-allow-origin"], "https://shop.example.com");
    assert!(!shop.headers.contains_key("access-control-allow-credentials"));
    for (origin, status) in [("https://shop.example.com", 204), ("https://attacker.example", 403)] {
        let mut connection = server.connect();
        let asked = ("access-control-request-method", "POST");
        connection.head("OPTIONS", "/v1/segment", &[("origin", origin), asked]);
        assert_eq!(connection.reply().status, status);
    }
    let mut nameless = server.connect();
    nameless.send(b"GET /healthz HTTP/1.1\r\n\r\n");
    nameless.reply().expect_problem(400, "host");
    // Some load balancers ask so; browsers never do.
    let mut balancer = server.connect();
    balancer.send(b"GET /healthz HTTP/1.0\r\n\r\n");
    assert_eq!(balancer.reply().status, 200);
    let mut page = server.connect();
    page.send(b"GET /healthz HTTP/1.0\r\norigin: https://attacker.example\r\n\r\n");
    page.reply().expect_problem(400, "host");
    server.assert_idle();
}

#[test]
fn connections_beyond_the_limit_wait() {
    let server = Server::start(&["--connections", "1", "--head-time", "0.5"]);
    let mut first = server.connect();
    first.send(b"GET");
    // It is answered as soon as the first one has been given up.
    assert_eq!(server.get("/healthz").status, 200);
    assert_eq!(first.stream.read(&mut [0; 1]).unwrap_or(0), 0);
}

#[test]
#[cfg(unix)]
fn a_request_in_work_is_answered_when_the_server_is_stopped() {
    let (server, photo) = (Server::start(&[]), photo());
    let mut connection = server.connect();
    connection.head("POST", "/v1/segment?format=labels", &[OCTETS, ("content-length", &photo.len().to_string())]);
    connection.send(&photo[..photo.len() / 2]);
    server.wait_for("clothseg_photos_waiting", 1.0);
    let mut idle = server.connect();
    idle.send(format!("GET /healthz HTTP/1.1\r\nhost: {}\r\n\r\n", idle.host).as_bytes());
    let mut answer = [0; 12];
    idle.stream.read_exact(&mut answer).unwrap();
    server.terminate();
    server.line_with("stopping");
    assert!(idle.closed().len() > 12, "a connection without a request is closed");
    let refused = std::net::TcpStream::connect(server.address).map(|mut stream| {
        // What the system had accepted before is closed without an answer.
        let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n");
        stream.read(&mut [0; 1]).unwrap_or(0)
    });
    assert!(refused.is_err() || refused.is_ok_and(|bytes| bytes == 0));
    connection.send(&photo[photo.len() / 2..]);
    connection.reply().expect("image/png");
    server.line_with("all requests are answered");
    assert_eq!(server.wait(), Some(0));
}

#[test]
#[cfg(unix)]
fn a_server_that_is_stopped_does_not_wait_for_ever() {
    let server = Server::start(&["--stop-time", "0.3"]);
    let mut connection = server.connect();
    connection.head("POST", "/v1/segment", &[OCTETS, ("content-length", "1000")]);
    server.wait_for("clothseg_photos_waiting", 1.0);
    server.terminate();
    server.line_with("were not answered");
    assert_eq!(server.wait(), Some(1));
}

#[test]
fn a_form_may_be_as_large_as_a_photo_by_itself() {
    let server = Server::start(&["--max-megabytes", "8"]);
    // Noise does not become smaller.
    let mut state = 1_u32;
    let noise = image::RgbImage::from_fn(1100, 1100, |_, _| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        image::Rgb([(state >> 24) as u8, (state >> 16) as u8, (state >> 8) as u8])
    });
    let large = png_of(&noise);
    assert!((3_000_000..8_000_000).contains(&large.len()), "{}", large.len());
    server.post("/v1/segment?format=labels", &large).expect("image/png");
    server.post_form("/v1/segment?format=labels", &[("file", Some("a.png"), &large)]).expect("image/png");
    server.post_form("/api/remove", &[("file", Some("a.png"), &large)]).expect("image/png");
    server.assert_idle();
}

#[test]
fn an_upload_has_no_longer_than_the_request() {
    let server = Server::start(&["--request-time", "0.3"]);
    let mut connection = server.connect();
    connection.head("POST", "/v1/segment", &[OCTETS, ("content-length", "1000")]);
    connection.send(b"x");
    connection.reply().expect_problem(408, "slow_upload");
    server.assert_idle();
}
