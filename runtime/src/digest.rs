//! Names for bytes, for all who need one. BLAKE3 throughout: equal hashes mean equal bytes, also for files made to deceive,
//! and it hashes many times faster than photos are decoded.

/// A short name of some bytes: 2^64 different ones are needed before two are likely to share it.
pub type Key = [u8; 16];

/// The short name of these bytes.
pub fn key(bytes: &[u8]) -> Key {
    let mut key = Key::default();
    key.copy_from_slice(&blake3::hash(bytes).as_bytes()[..16]);
    key
}

/// The whole hash, as `b3sum` prints it.
pub fn hex(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}
