//! Several classes that become one, in the numbers of the network.

use std::collections::BTreeMap;

use ndarray::{Array3, ArrayView3, Axis, Zip};

use crate::error::{Error, Result};
use crate::spec::OutputKind;
use crate::taxonomy::{Class, ClassKind, Taxonomy};

/// Classes that become one.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct MergedClass {
    /// Name of the class that they become.
    pub name: String,
    /// Indices of the classes.
    pub classes: Vec<usize>,
}

impl MergedClass {
    /// These classes under this name.
    pub fn new(name: impl Into<String>, classes: Vec<usize>) -> Self {
        Self { name: name.into(), classes }
    }
}

/// Which classes become which.
pub(crate) struct Merge {
    /// For each new class the old ones and, where they are several, its name.
    members: Vec<(Vec<usize>, Option<String>)>,
    /// For each old class the new one.
    places: Vec<usize>,
}

impl Merge {
    pub(crate) fn new(taxonomy: &Taxonomy, merged: &[MergedClass]) -> Result<Self> {
        let mut group_of = vec![None; taxonomy.len()];
        for (group, MergedClass { name, classes }) in merged.iter().enumerate() {
            for &class in classes {
                let Some(place) = group_of.get_mut(class).filter(|_| class > 0) else {
                    let what =
                        taxonomy.classes.get(class).map_or("a class that is not there", |class| class.name.as_str());
                    return Err(Error::Invalid(format!(
                        "{what} cannot be merged into '{name}': only classes that are found can"
                    )));
                };
                if place.replace(group).is_some_and(|other| other != group) {
                    let class = &taxonomy.classes[class].name;
                    return Err(Error::Invalid(format!(
                        "'{class}' would be merged into two classes, of which one is '{name}'"
                    )));
                }
            }
        }
        let mut members: Vec<(Vec<usize>, Option<String>)> = Vec::new();
        let mut places = Vec::with_capacity(taxonomy.len());
        let mut place_of = vec![None; merged.len()];
        for (class, group) in group_of.into_iter().enumerate() {
            let known = group.and_then(|group| place_of[group]);
            let place = known.unwrap_or(members.len());
            match known {
                Some(place) => members[place].0.push(class),
                None => members.push((vec![class], group.map(|group| merged[group].name.clone()))),
            }
            if let Some(group) = group {
                place_of[group] = Some(place);
            }
            places.push(place);
        }
        Ok(Self { members, places })
    }

    /// The new classes, in the order of their first members; a merged one has the colour of its first member.
    pub(crate) fn taxonomy(&self, old: &Taxonomy) -> Taxonomy {
        let kept = |name: &str| {
            self.members.iter().any(|(members, merged)| merged.is_none() && old.classes[members[0]].name == name)
        };
        let class = |(members, merged): &(Vec<usize>, Option<String>)| {
            let first = &old.classes[members[0]];
            let Some(name) = merged else { return first.clone() };
            let name = if kept(name) { format!("{name} (merged)") } else { name.clone() };
            let is_person = members.iter().all(|class| old.classes[*class].kind == ClassKind::Person);
            let kind = if is_person { ClassKind::Person } else { ClassKind::Garment };
            let names = members.iter().flat_map(|class| {
                let class = &old.classes[*class];
                std::iter::once(&class.name).chain(&class.aliases).cloned()
            });
            let aliases: Vec<String> = names.filter(|alias| *alias != name).collect();
            Class::new(name, first.color).with_kind(kind).with_aliases(aliases)
        };
        let classes: Vec<Class> = self.members.iter().map(class).collect();
        let mut groups = BTreeMap::new();
        for (group, members) in &old.groups {
            let mut indices: Vec<usize> =
                members.iter().filter_map(|name| old.index_of(name)).map(|class| self.places[class]).collect();
            indices.sort_unstable();
            indices.dedup();
            groups.insert(group.clone(), indices.into_iter().map(|class| classes[class].name.clone()).collect());
        }
        Taxonomy { classes, groups }
    }

    /// The new indices of old ones, each once, in order.
    pub(crate) fn indices(&self, old: &[usize]) -> Vec<usize> {
        let mut indices: Vec<usize> = old.iter().filter_map(|class| self.places.get(*class).copied()).collect();
        indices.sort_unstable();
        indices.dedup();
        indices
    }

    /// The numbers of the new classes, classes x rows x columns: of logits the log of the sum of the exponentials, of
    /// probabilities the sum.
    pub(crate) fn values(&self, old: ArrayView3<'_, f32>, kind: OutputKind) -> Array3<f32> {
        let (_, rows, columns) = old.dim();
        let mut new = Array3::zeros((self.members.len(), rows, columns));
        for ((members, _), mut plane) in self.members.iter().zip(new.axis_iter_mut(Axis(0))) {
            plane.assign(&old.index_axis(Axis(0), members[0]));
            for &class in &members[1..] {
                let add = |sum: &mut f32, value: &f32| match kind {
                    OutputKind::Logits => {
                        let (larger, smaller) = (sum.max(*value), sum.min(*value));
                        *sum = larger + (smaller - larger).exp().ln_1p();
                    }
                    OutputKind::Probabilities | OutputKind::ClassMap => *sum += *value,
                };
                Zip::from(&mut plane).and(old.index_axis(Axis(0), class)).for_each(add);
            }
        }
        new
    }
}
