use std::fmt;
use std::path::{Component, Path};
use std::str::FromStr;

use clothseg::internals::digest;
use clothseg::{Error, Result};

/// One part of a run that is split over processes or machines.
///
/// A photo's shard follows from its path below the output folder alone, whatever the order and number of the others: the
/// shards of one `count` share no photo and together hold all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: u32,
    count: u32,
}

impl Shard {
    /// Shard `index` of `count`, counted from 1.
    ///
    /// # Errors
    /// [`Error::Invalid`] unless `1 <= index <= count`.
    pub fn new(index: u32, count: u32) -> Result<Self> {
        if (1..=count).contains(&index) {
            return Ok(Self { index, count });
        }
        Err(Error::Invalid(format!(
            "shard {index}/{count}: shards are counted from 1, so 1/{0} to {0}/{0}",
            count.max(1)
        )))
    }

    /// Whether a photo belongs to this shard. `place` is its path, extension included, below the output folder.
    pub fn holds(self, place: &Path) -> bool {
        let parts = place.components().filter_map(|part| match part {
            Component::Normal(part) => Some(part.to_string_lossy()),
            _ => None,
        });
        // One record_path on every system, so that a Windows and a Linux machine can share the work.
        let record_path = parts.collect::<Vec<_>>().join("/");
        let [a, b, c, d, ..] = digest::key(record_path.as_bytes());
        let position = u64::from(u32::from_le_bytes([a, b, c, d]));
        (position * u64::from(self.count)) >> 32 == u64::from(self.index - 1)
    }

    /// What tells this shard's files apart: `-2-of-4`.
    pub(super) fn suffix(self) -> String {
        format!("-{}-of-{}", self.index, self.count)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

impl FromStr for Shard {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts = text.split_once('/').and_then(|(index, count)| Some((index.parse().ok()?, count.parse().ok()?)));
        let (index, count) =
            parts.ok_or_else(|| Error::Invalid(format!("'{text}' is no shard; write 1/4 for the first of four")))?;
        Self::new(index, count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shards_are_written_as_index_and_count_from_1() {
        let shard: Shard = "2/4".parse().unwrap();
        assert_eq!(
            (shard, shard.to_string(), shard.suffix()),
            (Shard::new(2, 4).unwrap(), "2/4".into(), "-2-of-4".into())
        );
        for wrong in ["0/4", "5/4", "1/0", "1", "a/b", "-1/3", ""] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn shards_are_of_about_one_size() {
        let shard = Shard::new(3, 8).unwrap();
        let held = (0..8_000).filter(|number| shard.holds(Path::new(&format!("shop/{number}.jpg")))).count();
        assert!((850..1150).contains(&held), "{held}");
    }

    #[test]
    fn a_photo_keeps_its_shard_for_ever() {
        // Work that is split over machines must be split alike by every version: these answers may never change.
        let held = |path: &str| (1..=4).find(|&index| Shard::new(index, 4).unwrap().holds(Path::new(path)));
        assert_eq!(["a.jpg", "shop/b.jpg", "shop/c.png"].map(held), [Some(3), Some(3), Some(4)]);
        assert_eq!(held("./shop/b.jpg"), held("shop/b.jpg"));
    }

    proptest! {
        #[test]
        fn every_photo_is_in_exactly_one_shard(path in "[a-zA-Z0-9äß ./_-]{1,40}", count in 1_u32..50) {
            let holding = (1..=count).filter(|&index| Shard::new(index, count).unwrap().holds(Path::new(&path)));
            prop_assert_eq!(holding.count(), 1);
        }
    }
}
