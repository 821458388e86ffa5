//! Which split an example belongs to, by its name alone.

use std::fmt;
use std::str::FromStr;

/// Splits and the share of the examples that each gets: `train`, or `train=0.8,valid=0.1,test=0.1`.
#[derive(Clone, Debug, PartialEq)]
pub struct Splits(Vec<(String, f64)>);

/// What a number is drawn for: draws for different ends do not depend on each other.
#[derive(Clone, Copy, Debug)]
pub(super) enum Draw {
    /// Which split.
    Split,
    /// Which examples, where not all are wanted.
    Choice,
}

impl Splits {
    /// One split that gets all.
    pub fn one(name: impl Into<String>) -> Self {
        Self(vec![(name.into(), 1.0)])
    }

    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// The place of an example's split: the same for the same name and seed, whatever other examples there are.
    pub fn place(&self, seed: u64, name: &str) -> usize {
        let drawn = draw(seed, Draw::Split, name);
        let mut upper = 0.0;
        let found = self.0.iter().position(|(_, share)| {
            upper += share;
            drawn < upper
        });
        found.unwrap_or(self.0.len() - 1) // rounding: the shares may end a hair below 1
    }
}

/// A number of 0 to 1 that a name draws: FNV-1a (Fowler, Noll and Vo) over seed, end and name, mixed by the finaliser of
/// SplitMix64 (Steele, Lea and Flood 2014).
pub(super) fn draw(seed: u64, end: Draw, name: &str) -> f64 {
    let bytes = seed.to_le_bytes().into_iter().chain([end as u8]).chain(name.bytes());
    let hash = bytes
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((hash ^ (hash >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

impl FromStr for Splits {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut splits: Vec<(String, f64)> = Vec::new();
        for part in text.split(',') {
            let (name, share) = match part.split_once('=') {
                Some((name, share)) => (name.trim(), share.trim().parse().ok()),
                None => (part.trim(), (!text.contains(',')).then_some(1.0)),
            };
            let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
            if name.is_empty() || !name.chars().all(plain) {
                return Err(format!("`{name}` is no name of a split; use letters, digits, - and _"));
            }
            if splits.iter().any(|(other, _)| other == name) {
                return Err(format!("`{name}` is named twice"));
            }
            let Some(share) = share.filter(|share| *share > 0.0 && *share <= 1.0) else {
                return Err(format!("`{name}` needs a share above 0 and at most 1, such as {name}=0.8"));
            };
            splits.push((name.to_owned(), share));
        }
        let sum: f64 = splits.iter().map(|(_, share)| share).sum();
        if (sum - 1.0).abs() > 1e-6 {
            return Err(format!("the shares are {sum} together; they must be 1"));
        }
        Ok(Self(splits))
    }
}

impl fmt::Display for Splits {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.0.iter().map(|(name, share)| format!("{name}={share}")).collect();
        formatter.write_str(&parts.join(","))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_met_and_do_not_depend_on_the_choice() {
        let splits: Splits = "train=0.8,valid=0.1,test=0.1".parse().unwrap();
        let mut counts = [[0_u32; 3]; 2];
        for name in (0..20_000).map(|number| format!("{number:06}")) {
            let chosen = usize::from(draw(5, Draw::Choice, &name) < 0.5);
            counts[chosen][splits.place(5, &name)] += 1;
        }
        // Three standard deviations of a tenth of 10 000 are 90.
        for [train, valid, test] in counts {
            assert!(
                train.abs_diff(8000) < 200 && valid.abs_diff(1000) < 120 && test.abs_diff(1000) < 120,
                "{counts:?}"
            );
        }
    }

    /// The places are from the same formula in Python.
    #[test]
    fn names_draw_the_same_for_ever() {
        let splits: Splits = "x=0.5,y=0.5".parse().unwrap();
        let places: Vec<usize> = ["a", "b", "c", "d", "e", "f"].map(|name| splits.place(0, name)).into();
        assert_eq!(places, [0, 1, 0, 1, 1, 1]);
        assert_ne!(draw(0, Draw::Split, "a"), draw(1, Draw::Split, "a"));
    }

    #[test]
    fn splits_are_read_and_written() {
        assert_eq!("train".parse(), Ok(Splits::one("train")));
        let splits: Splits = "train=0.75, valid=0.25".parse().unwrap();
        assert_eq!(splits.to_string().parse(), Ok(splits));
        for (text, expected) in [
            ("", "no name"),
            ("../x", "no name"),
            ("a,b", "needs a share"),
            ("a=0.5,b=x", "needs a share"),
            ("a=0.5,a=0.5", "twice"),
            ("a=0.5,b=0.4", "together"),
        ] {
            let error = text.parse::<Splits>().unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
