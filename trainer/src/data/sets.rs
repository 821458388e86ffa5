//! Labels that name no class but several: a data set's `Outwear` is a jacket or a coat, and the background of one that does
//! not label persons is background, hair or skin.
//!
//! In a label in target classes an index below their number is a class, the next ones are sets of classes, and
//! [`IGNORE`](super::IGNORE) is nothing. Which set has which index is a dataset's own.

use std::sync::Arc;

use super::{IGNORE, LabelImage};

/// The sets of classes that stand in a dataset's labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSets {
    classes: usize,
    sets: Vec<Vec<u8>>,
}

impl From<usize> for LabelSets {
    /// So many classes, and no sets.
    fn from(classes: usize) -> Self {
        Self { classes, sets: Vec::new() }
    }
}

impl LabelSets {
    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The sets' classes, in order.
    pub fn sets(&self) -> &[Vec<u8>] {
        &self.sets
    }

    /// The same, shared.
    pub fn shared(&self) -> Arc<[Vec<u8>]> {
        self.sets.clone().into()
    }

    /// The label of any of `members`: of one class that class, of all classes [`IGNORE`], else a set's, which is added
    /// where it is new.
    ///
    /// # Errors
    /// As a sentence, where a label cannot number one set more.
    pub fn label(&mut self, mut members: Vec<u8>) -> Result<u8, String> {
        members.sort_unstable();
        members.dedup();
        if let [class] = members[..] {
            return Ok(class);
        }
        if members.len() >= self.classes {
            return Ok(IGNORE);
        }
        let known = self.sets.iter().position(|set| *set == members);
        let index = self.classes + known.unwrap_or(self.sets.len());
        let label = u8::try_from(index).ok().filter(|label| *label != IGNORE);
        let label = label.ok_or_else(|| {
            let most = usize::from(IGNORE) - self.classes;
            format!("names more than {most} different sets of classes, which 8-bit labels cannot tell apart")
        })?;
        if known.is_none() {
            self.sets.push(members);
        }
        Ok(label)
    }

    /// The classes that a label may be; none where it is ignored.
    pub fn members(&self, label: u8) -> Vec<u8> {
        let index = usize::from(label);
        match index.checked_sub(self.classes) {
            None => vec![label],
            Some(set) => self.sets.get(set).cloned().unwrap_or_default(),
        }
    }

    /// Whether a label may be of a class.
    pub fn allows(&self, label: u8, class: u8) -> bool {
        match usize::from(label).checked_sub(self.classes) {
            None => label == class,
            Some(set) => self.sets.get(set).is_some_and(|set| set.contains(&class)),
        }
    }

    /// The same label with every set ignored: for what can use certain classes only.
    pub fn certain(&self, mut label: LabelImage) -> LabelImage {
        if !self.sets.is_empty() {
            label
                .data
                .iter_mut()
                .filter(|index| usize::from(**index) >= self.classes)
                .for_each(|index| *index = IGNORE);
        }
        label
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_numbered_behind_the_classes() {
        let mut sets = LabelSets::from(5);
        assert_eq!(sets.label(vec![3]), Ok(3));
        assert_eq!(sets.label(vec![4, 2, 4]), Ok(5));
        assert_eq!(sets.label(vec![0, 1]), Ok(6));
        assert_eq!(sets.label(vec![2, 4]), Ok(5));
        assert_eq!(sets.label(vec![0, 1, 2, 3, 4]), Ok(IGNORE));
        assert_eq!((sets.members(3), sets.members(5), sets.members(IGNORE)), (vec![3], vec![2, 4], vec![]));
        assert!(sets.allows(5, 2) && !sets.allows(5, 3) && sets.allows(3, 3) && !sets.allows(IGNORE, 0));
        let label = LabelImage { width: 3, height: 1, data: vec![1, 5, IGNORE] };
        assert_eq!(sets.certain(label).data, [1, IGNORE, IGNORE]);
    }

    #[test]
    fn a_label_that_no_byte_holds_is_refused() {
        let mut sets = LabelSets::from(253);
        assert_eq!((sets.label(vec![0, 1]), sets.label(vec![0, 2])), (Ok(253), Ok(254)));
        assert!(sets.label(vec![0, 3]).unwrap_err().contains("more than 2"));
        assert_eq!(sets.label(vec![0, 2]), Ok(254));
    }
}
