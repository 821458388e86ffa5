//! A running `clothseg-serve`, and a client that does nothing but what it is told.

#![allow(dead_code, unused_imports, clippy::unwrap_used, clippy::panic)]

#[path = "../../../tests/support/mod.rs"]
mod models;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

pub use models::*;

/// Longer than anything here should ever take.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A server with the colour model and the embedded engine, so that a test means the same everywhere. It is killed in the end.
pub struct Server {
    child: Child,
    lines: Mutex<Receiver<String>>,
    pub address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Server {
    /// Starts a server with these further arguments on a free port.
    pub fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("colours.onnx");
        std::fs::write(&model, color_model()).unwrap();
        let model = model.to_str().unwrap().to_owned();
        let mut command = Command::new(env!("CARGO_BIN_EXE_clothseg-serve"));
        command.args(["--model", &model, "--provider", "embedded"]).args(arguments);
        Self::spawn(command, folder)
    }

    /// Starts a server with these arguments only, on a free port.
    pub fn start_plain(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_clothseg-serve"));
        command.args(arguments);
        Self::spawn(command, tempfile::tempdir().unwrap())
    }

    fn spawn(mut command: Command, folder: tempfile::TempDir) -> Self {
        if !command.get_args().any(|argument| argument == "--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        let home = folder.path();
        command.env("HOME", home).env("XDG_CACHE_HOME", home.join("cache")).env_remove("CLOTHSEG_LOG");
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let (send, lines) = mpsc::channel();
        let log = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || log.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        let lines = Mutex::new(lines);
        let mut server = Self { child, lines, address: "127.0.0.1:0".parse().unwrap(), _folder: folder };
        let line = server.line_with("listening on http://");
        let address = line.split("http://").nth(1).unwrap();
        server.address = address.split(['"', ' ']).next().unwrap().parse().unwrap();
        server
    }

    /// Waits for a log line with this text.
    #[track_caller]
    pub fn line_with(&self, text: &str) -> String {
        let mut seen = Vec::new();
        let lines = self.lines.lock().unwrap();
        while let Ok(line) = lines.recv_timeout(PATIENCE) {
            if line.contains(text) {
                return line;
            }
            seen.push(line);
        }
        panic!("'{text}' was never said: {seen:#?}");
    }

    /// The folder that the server takes for its user's.
    pub fn home(&self) -> &std::path::Path {
        self._folder.path()
    }

    pub fn connect(&self) -> Connection {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Connection { stream, host: format!("localhost:{}", self.address.port()) }
    }

    pub fn get(&self, path: &str) -> Reply {
        let mut connection = self.connect();
        connection.head("GET", path, &[]);
        connection.reply()
    }

    /// Posts a photo as it is.
    pub fn post(&self, path: &str, body: &[u8]) -> Reply {
        self.post_with(path, &[("content-type", "application/octet-stream")], body)
    }

    pub fn post_with(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let mut connection = self.connect();
        let length = body.len().to_string();
        connection.head("POST", path, &[headers, &[("content-length", &length)]].concat());
        connection.send(body);
        connection.reply()
    }

    /// Posts a form. A field with a file name is a file.
    pub fn post_form(&self, path: &str, fields: &[(&str, Option<&str>, &[u8])]) -> Reply {
        self.post_with(path, &[("content-type", "multipart/form-data; boundary=XX")], &form(fields))
    }

    /// The value of a metric, by the beginning of its line.
    #[track_caller]
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").text();
        let line = text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
        line.unwrap_or_else(|| panic!("{name} is not in:\n{text}")).rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// Waits until a metric has this value.
    #[track_caller]
    pub fn wait_for(&self, name: &str, value: f64) {
        let started = Instant::now();
        while self.metric(name) != value {
            assert!(started.elapsed() < PATIENCE, "{name} is {} and not {value}", self.metric(name));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asserts that nothing is left in work: the one request in flight is the one that asks.
    #[track_caller]
    pub fn assert_idle(&self) {
        self.wait_for("clothseg_photos_running", 0.0);
        self.wait_for("clothseg_photos_waiting", 0.0);
        self.wait_for("clothseg_requests_in_flight", 1.0);
        self.wait_for("clothseg_connections", 1.0);
    }

    #[cfg(unix)]
    pub fn terminate(&self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    }

    /// Waits for the end, and returns the exit status.
    #[track_caller]
    pub fn wait(mut self) -> Option<i32> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(started.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A form with the boundary XX.
pub fn form(fields: &[(&str, Option<&str>, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, file, content) in fields {
        let file = file.map_or_else(String::new, |file| format!("; filename=\"{file}\""));
        body.extend(format!("--XX\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n").into_bytes());
        body.extend(*content);
        body.extend(b"\r\n");
    }
    body.extend(b"--XX--\r\n");
    body
}

/// One connection of a client.
pub struct Connection {
    pub stream: TcpStream,
    pub host: String,
}

impl Connection {
    /// Sends the head of a request that is the only one of its connection.
    pub fn head(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) {
        let mut text = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
        if !headers.iter().any(|(name, _)| *name == "host") {
            text += &format!("host: {}\r\n", self.host);
        }
        for (name, value) in headers {
            text += &format!("{name}: {value}\r\n");
        }
        self.send(format!("{text}\r\n").as_bytes());
    }

    /// Sends bytes. A server that closes early is no failure of the client: the reply tells.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Reads to the end.
    #[track_caller]
    pub fn reply(mut self) -> Reply {
        let mut bytes = Vec::new();
        let read = self.stream.read_to_end(&mut bytes);
        Reply::parse(&bytes).unwrap_or_else(|| panic!("no reply ({read:?}): {}", String::from_utf8_lossy(&bytes)))
    }

    /// Waits until the server closes the connection; what it sent before.
    #[track_caller]
    pub fn closed(mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.stream.read_to_end(&mut bytes) {
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                panic!("the server keeps the connection open");
            }
            _ => bytes,
        }
    }
}

/// What a server answers.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Reply {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let header = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
        Some(Self { status, headers: lines.filter_map(header).collect(), body: bytes[end + 4..].to_vec() })
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Asserts that it is done, and of this media type.
    #[track_caller]
    pub fn expect(&self, media_type: &str) -> &Self {
        assert_eq!((self.status, self.headers["content-type"].as_str()), (200, media_type), "{}", self.text());
        self
    }

    /// Asserts that it is this problem, in the form that all have.
    #[track_caller]
    pub fn expect_problem(&self, status: u16, code: &str) -> serde_json::Value {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.headers["content-type"], "application/problem+json");
        let problem = self.json();
        assert_eq!((&problem["status"], &problem["code"]), (&status.into(), &code.into()), "{problem}");
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem}");
        problem
    }

    /// Its pixels.
    #[track_caller]
    pub fn image(&self) -> image::DynamicImage {
        image::load_from_memory(&self.body).unwrap()
    }
}

/// A photo as a PNG file.
pub fn png_of(photo: &image::RgbImage) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    photo.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// The class indices of a label map.
pub fn indices(png: &[u8]) -> (u32, u32, Vec<u8>) {
    let mut reader = png::Decoder::new(std::io::Cursor::new(png)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let frame = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((frame.color_type, frame.bit_depth), (png::ColorType::Indexed, png::BitDepth::Eight));
    (frame.width, frame.height, pixels)
}

/// The files of an archive without compression: names and contents.
pub fn unzip(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let number =
        |at: usize, count: usize| bytes[at..at + count].iter().rev().fold(0, |sum, byte| sum * 256 + *byte as usize);
    let mut files = BTreeMap::new();
    let mut at = 0;
    while bytes[at..].starts_with(b"PK\x03\x04") {
        let (size, name) = (number(at + 18, 4), number(at + 26, 2));
        let text = String::from_utf8(bytes[at + 30..at + 30 + name].to_vec()).unwrap();
        files.insert(text, bytes[at + 30 + name..at + 30 + name + size].to_vec());
        at += 30 + name + size;
    }
    files
}
