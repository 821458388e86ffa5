//! TensorBoard event files: TFRecord frames (TensorFlow, `core/lib/io/record_writer.h`) around `Event` messages
//! (`core/util/event.proto`, `core/framework/summary.proto`), cut down to the fields that scalars need.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;

use super::csv::Row;
use crate::error::{Error, Result};

/// The version that the first event of each file gives.
const FILE_VERSION: &str = "brain.Event:2";
/// `SessionLog.SessionStatus.START`.
const SESSION_START: i32 = 1;

/// An open event file.
pub struct EventWriter {
    file: File,
    path: PathBuf,
}

impl EventWriter {
    /// Starts a new event file in a run's folder. TensorBoard reads all of them, in the order of their names.
    pub fn create(folder: &Path) -> Result<Self> {
        let seconds = unix_s() as u64;
        for number in 0.. {
            let name = format!("events.out.tfevents.{seconds:010}.clothseg.{number:03}");
            let path = folder.join(name);
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => {
                    let mut writer = Self { file, path };
                    writer.write(&Event { file_version: Some(FILE_VERSION.to_owned()), ..Event::now() })?;
                    return Ok(writer);
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && number < 999 => {}
                Err(error) => return Err(Error::io("write", &path)(error)),
            }
        }
        Err(Error::file(folder, "there is no free name for an event file"))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Marks that a resumed run goes on with step `first`: TensorBoard drops what earlier files say of it and later ones.
    pub fn restart(&mut self, first: usize) -> Result<()> {
        let session = SessionLog { status: SESSION_START };
        self.write(&Event { step: first as i64, session_log: Some(session), ..Event::now() })
    }

    /// Writes values of a training step, each under its tag, such as `loss/train`.
    pub fn scalars(&mut self, step: usize, values: &[(String, f64)]) -> Result<()> {
        if values.is_empty() {
            return Ok(());
        }
        let value = |(tag, value): &(String, f64)| Value { tag: tag.clone(), simple_value: Some(*value as f32) };
        let summary = Summary { values: values.iter().map(value).collect() };
        self.write(&Event { step: step as i64, summary: Some(summary), ..Event::now() })
    }

    /// Writes what a row of the log holds.
    pub fn row(&mut self, row: &Row) -> Result<()> {
        self.scalars(row.step, &tagged(row))
    }

    fn write(&mut self, event: &Event) -> Result<()> {
        self.file.write_all(&frame(&event.encode_to_vec())).map_err(Error::io("write", &self.path))
    }
}

/// The numbers of a row with their tags.
fn tagged(row: &Row) -> Vec<(String, f64)> {
    let named = [
        ("loss/train", row.loss),
        ("loss/valid", row.valid_loss),
        ("learning_rate", row.learning_rate),
        ("speed/images_per_s", row.images_per_s),
        ("speed/wait_share", row.wait_share),
        ("gradient_norm", row.gradient_norm),
        ("score/mean_iou", row.scores.mean_iou),
        ("score/mean_garment_iou", row.scores.mean_garment_iou),
        ("score/any_garment_iou", row.scores.any_garment_iou),
        ("score/pixel_accuracy", row.scores.pixel_accuracy),
        ("score/study_mean_iou", row.scores.study_mean_iou),
    ];
    let named = named.into_iter().filter_map(|(tag, value)| Some((tag.to_owned(), value?)));
    named.chain(row.terms().map(|(term, value)| (format!("loss/train/{term}"), value))).collect()
}

/// A record as TFRecord frames it: length, its checksum, the bytes, their checksum; little endian.
fn frame(bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u64).to_le_bytes();
    [&length[..], &masked_crc(&length).to_le_bytes(), bytes, &masked_crc(bytes).to_le_bytes()].concat()
}

/// CRC-32C, rotated and shifted so that the checksum of bytes that hold checksums stays a good one
/// (TensorFlow, `core/lib/hash/crc32c.h`).
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

fn unix_s() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

#[derive(Clone, PartialEq, Message)]
struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
    #[prost(message, optional, tag = "7")]
    session_log: Option<SessionLog>,
}

impl Event {
    fn now() -> Self {
        Self { wall_time: unix_s(), ..Self::default() }
    }
}

#[derive(Clone, PartialEq, Message)]
struct SessionLog {
    #[prost(int32, tag = "1")]
    status: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    values: Vec<Value>,
}

#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::csv::Scores;
    use super::*;

    /// Takes a file apart and checks every checksum.
    fn events(path: &Path) -> Vec<Event> {
        let bytes = std::fs::read(path).unwrap();
        let mut rest = bytes.as_slice();
        let mut events = Vec::new();
        while !rest.is_empty() {
            let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            let crc = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().unwrap());
            assert_eq!(crc(8), masked_crc(&rest[..8]));
            let record = &rest[12..12 + length];
            assert_eq!(crc(12 + length), masked_crc(record));
            events.push(Event::decode(record).unwrap());
            rest = &rest[16 + length..];
        }
        events
    }

    #[test]
    fn checksums_are_those_of_the_standard() {
        // RFC 3720, B.4: CRC-32C of 32 zeros, of 32 ones, and of 0 .. 31.
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c::crc32c(&[255; 32]), 0x62a8_ab43);
        let counting: Vec<u8> = (0..32).collect();
        assert_eq!(crc32c::crc32c(&counting), 0x46dd_794e);
        // The head of every event file: the length 24 and its masked checksum, as TensorFlow writes them.
        let head = frame(&[0; 24]);
        assert_eq!(head[..12], [0x18, 0, 0, 0, 0, 0, 0, 0, 0xa3, 0x7f, 0x4b, 0x22]);
    }

    #[test]
    fn an_event_has_the_bytes_of_the_protocol() {
        let value = Value { tag: "a/b".into(), simple_value: Some(0.5) };
        let event =
            Event { wall_time: 1.0, step: 300, summary: Some(Summary { values: vec![value] }), ..Event::default() };
        let by_hand = [
            &[0x09, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f][..], // field 1, 64 bits: 1.0
            &[0x10, 0xac, 0x02],                       // field 2, varint: 300
            &[0x2a, 12, 0x0a, 10],                     // field 5, 12 bytes: field 1, 10 bytes:
            &[0x0a, 3, b'a', b'/', b'b'],              // field 1, text
            &[0x15, 0, 0, 0, 0x3f],                    // field 2, 32 bits: 0.5
        ];
        assert_eq!(event.encode_to_vec(), by_hand.concat());
    }

    #[test]
    fn rows_become_scalars_and_a_resume_a_file_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = EventWriter::create(folder.path()).unwrap();
        let train = Row {
            kind: "train",
            step: 7,
            loss: Some(1.5),
            loss_terms: "ce=1.0000 miou=0.5000".into(),
            learning_rate: Some(1e-3),
            ..Row::default()
        };
        writer.row(&train).unwrap();
        let scores = Scores { mean_iou: Some(0.25), ..Scores::default() };
        writer.row(&Row { kind: "valid", step: 9, valid_loss: Some(0.75), scores, ..Row::default() }).unwrap();
        let first = events(writer.path());
        assert_eq!(first[0].file_version.as_deref(), Some("brain.Event:2"));
        let scalars = |event: &Event| -> Vec<(String, f32)> {
            let values = &event.summary.as_ref().unwrap().values;
            values.iter().map(|value| (value.tag.clone(), value.simple_value.unwrap())).collect()
        };
        let expect = |pairs: &[(&str, f32)]| -> Vec<(String, f32)> {
            pairs.iter().map(|(tag, value)| ((*tag).to_owned(), *value)).collect()
        };
        let train = [("loss/train", 1.5), ("learning_rate", 1e-3), ("loss/train/ce", 1.0), ("loss/train/miou", 0.5)];
        assert_eq!((first[1].step, scalars(&first[1])), (7, expect(&train)));
        assert_eq!((first[2].step, scalars(&first[2])), (9, expect(&[("loss/valid", 0.75), ("score/mean_iou", 0.25)])));

        let mut resumed = EventWriter::create(folder.path()).unwrap();
        resumed.restart(8).unwrap();
        assert!(resumed.path() > writer.path());
        let second = events(resumed.path());
        assert_eq!(second[1].step, 8);
        assert_eq!(second[1].session_log, Some(SessionLog { status: SESSION_START }));
    }
}
