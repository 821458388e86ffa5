//! What is known of which classes a photo shows, beside its label.

use super::{IGNORE, LabelSets};

/// Whether a photo, or a crop of it, shows a class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shown {
    /// Nothing is known but what the label says.
    #[default]
    ByLabel,
    /// It does.
    Yes,
    /// It does not.
    No,
    /// The photo does, and this crop may have cut it off; or it is not known at all.
    Maybe,
}

/// What a photo shows by its tags, class by class: all that are not tagged are not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tags {
    /// Whether each class may be there, and whether it certainly is.
    classes: Vec<(bool, bool)>,
    /// Whether something is there that no class names.
    has_unknown: bool,
}

impl Tags {
    /// From the classes that each of a photo's tags may stand for, of `classes` in all. Where `has_unknown`, something else is
    /// there, too: a class that is not tagged is not known to be missing.
    pub fn of(classes: usize, tags: impl IntoIterator<Item = Vec<u8>>, has_unknown: bool) -> Self {
        let mut known = vec![(false, false); classes];
        for members in tags {
            for class in &members {
                if let Some((may_be, is_there)) = known.get_mut(usize::from(*class)) {
                    *may_be = true;
                    *is_there |= members.len() == 1;
                }
            }
        }
        // Every photo has a background.
        if let Some(background) = known.first_mut() {
            *background = (true, true);
        }
        Self { classes: known, has_unknown }
    }

    /// Of a photo of which nothing is known but what its label shows: anything else may be there, too.
    pub fn unknown(classes: usize) -> Self {
        Self { classes: vec![(false, false); classes], has_unknown: true }
    }

    /// From the labels that a photo's tags are mapped to: classes, sets of them, or [`IGNORE`] for something unknown.
    pub fn new(labels: impl IntoIterator<Item = u8>, sets: &LabelSets) -> Self {
        let labels: Vec<u8> = labels.into_iter().collect();
        let has_unknown = labels.contains(&IGNORE);
        Self::of(sets.classes(), labels.iter().map(|label| sets.members(*label)), has_unknown)
    }

    /// Whether something is there that no class names.
    pub fn has_unknown(&self) -> bool {
        self.has_unknown
    }

    /// Whether a class is one that the tags may stand for.
    pub fn allows(&self, class: u8) -> bool {
        self.classes.get(usize::from(class)).is_some_and(|(may_be, _)| *may_be)
    }

    /// Whether a class is in the photo for certain.
    pub fn has(&self, class: u8) -> bool {
        self.classes.get(usize::from(class)).is_some_and(|(_, is_there)| *is_there)
    }

    /// The same of a crop, class by class, which shows the whole photo or less.
    pub fn shown(&self, is_whole: bool) -> Vec<Shown> {
        let shown = |(may_be, is_there): &(bool, bool)| match (may_be, is_there) {
            (false, _) if !self.has_unknown => Shown::No,
            (true, true) if is_whole => Shown::Yes,
            _ => Shown::Maybe,
        };
        self.classes.iter().map(shown).collect()
    }
}

/// What a picture made of several shows; nothing where none of them has tags.
pub(super) fn joined(parts: &[&[Shown]]) -> Vec<Shown> {
    let classes = parts.iter().map(|part| part.len()).max().unwrap_or(0);
    let of_class = |class: usize| {
        let mut parts = parts.iter().map(|part| part.get(class).copied().unwrap_or_default());
        if parts.clone().any(|shown| shown == Shown::Yes) {
            return Shown::Yes;
        }
        let first = parts.next().unwrap_or_default();
        if parts.all(|shown| shown == first) { first } else { Shown::Maybe }
    };
    (0..classes).map(of_class).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_tagged_is_not_there() {
        let mut sets = LabelSets::from(5);
        let either = sets.label(vec![2, 3]).unwrap();
        let tags = Tags::new([1, either], &sets);
        assert_eq!(tags.shown(true), [Shown::Yes, Shown::Yes, Shown::Maybe, Shown::Maybe, Shown::No]);
        assert_eq!(tags.shown(false), [Shown::Maybe, Shown::Maybe, Shown::Maybe, Shown::Maybe, Shown::No]);
        assert!(tags.allows(3) && !tags.has(3) && tags.has(1) && !tags.allows(4) && !tags.allows(99));
        let unknown = Tags::new([1, IGNORE], &sets);
        assert!(unknown.has_unknown() && !unknown.allows(4));
        assert_eq!(unknown.shown(true), [Shown::Yes, Shown::Yes, Shown::Maybe, Shown::Maybe, Shown::Maybe]);
    }

    #[test]
    fn of_a_photo_of_which_nothing_is_known_anything_may_be_there() {
        assert_eq!([true, false].map(|is_whole| Tags::unknown(2).shown(is_whole)), [[Shown::Maybe; 2]; 2]);
    }

    #[test]
    fn a_mosaic_shows_what_one_of_its_tiles_shows() {
        use Shown::{ByLabel, Maybe, No, Yes};
        assert_eq!(joined(&[&[Yes, No, No, Maybe], &[No, No, Maybe, Maybe]]), [Yes, No, Maybe, Maybe]);
        assert_eq!(joined(&[&[Yes, No], &[]]), [Yes, Maybe]);
        assert_eq!(joined(&[&[], &[]]), []);
        assert_eq!(joined(&[&[ByLabel], &[ByLabel]]), [ByLabel]);
    }
}
