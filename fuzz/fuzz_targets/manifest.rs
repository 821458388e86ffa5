//! Lines of a manifest that something else has written: read or refused.
#![no_main]

use clothseg_batch::Record;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(record) = serde_json::from_slice::<Record>(bytes) {
        let written = serde_json::to_string(&record).expect("a record has a JSON form");
        let read: Record = serde_json::from_str(&written).expect("it can be read back");
        assert_eq!(serde_json::to_string(&read).expect("a record has a JSON form"), written);
    }
});
