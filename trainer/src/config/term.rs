//! The terms that a loss can be made of, and how they are written.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One term's kind. Each term's formula and source stand with its function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Term {
    /// [`crate::loss::cross_entropy`].
    CrossEntropy,
    /// [`crate::loss::focal_loss`].
    Focal,
    /// [`crate::loss::focal_loss`] with the weights of [`crate::loss::self_balanced_weights`].
    SelfBalancedFocal,
    /// [`crate::loss::Region::Dice`].
    Dice,
    /// [`crate::loss::Region::MeanIou`].
    MeanIou,
    /// [`crate::loss::Region::MeanIou`] with little weight on the background.
    WeightedMeanIou,
    /// [`crate::loss::Region::Tversky`].
    Tversky,
    /// [`crate::loss::lovasz_softmax`].
    LovaszSoftmax,
    /// [`crate::loss::presence_loss`]: of the network's head for it, not of its pixels.
    Presence,
}

impl Term {
    /// All terms.
    pub const ALL: [Term; 9] = [
        Term::CrossEntropy,
        Term::Focal,
        Term::SelfBalancedFocal,
        Term::Dice,
        Term::MeanIou,
        Term::WeightedMeanIou,
        Term::Tversky,
        Term::LovaszSoftmax,
        Term::Presence,
    ];

    /// The name in configs and logs.
    pub fn name(self) -> &'static str {
        match self {
            Term::CrossEntropy => "ce",
            Term::Focal => "focal",
            Term::SelfBalancedFocal => "sbf",
            Term::Dice => "dice",
            Term::MeanIou => "miou",
            Term::WeightedMeanIou => "wmiou",
            Term::Tversky => "tversky",
            Term::LovaszSoftmax => "lovasz",
            Term::Presence => "presence",
        }
    }
}

impl fmt::Display for Term {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Terms with their weights, in the order written: `ce:1,miou:0.5`. A weight that is left out is 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Terms(pub Vec<(Term, f64)>);

/// Why a text is no loss.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{text}` is not a loss: {cause}; write terms with weights, such as `ce:1,miou:1` (terms: {})", names())]
pub struct ParseLossError {
    text: String,
    cause: String,
}

fn names() -> String {
    Term::ALL.map(Term::name).join(", ")
}

impl FromStr for Terms {
    type Err = ParseLossError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = |cause: String| ParseLossError { text: text.to_owned(), cause };
        let mut terms: Vec<(Term, f64)> = Vec::new();
        for part in text.split(',') {
            let (name, weight) = part.trim().split_once(':').unwrap_or((part.trim(), "1"));
            let (name, weight) = (name.trim(), weight.trim());
            let term = Term::ALL.into_iter().find(|term| term.name() == name);
            let term = term.ok_or_else(|| fail(format!("there is no term `{name}`")))?;
            let weight: f64 = weight.parse().map_err(|_| fail(format!("`{weight}` is not a number")))?;
            if !weight.is_finite() || weight <= 0.0 {
                return Err(fail(format!("the weight {weight} is not above 0")));
            }
            if terms.iter().any(|(known, _)| *known == term) {
                return Err(fail(format!("the term `{name}` occurs twice")));
            }
            terms.push((term, weight));
        }
        let has = |wanted: Term| terms.iter().any(|(term, _)| *term == wanted);
        if has(Term::Focal) && has(Term::SelfBalancedFocal) {
            return Err(fail("`focal` and `sbf` cannot be combined".to_owned()));
        }
        Ok(Self(terms))
    }
}

impl fmt::Display for Terms {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (term, weight)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(formatter, "{comma}{term}:{weight}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_read_and_faults_named() {
        let terms: Terms = " ce:1 , miou:0.5,lovasz".parse().unwrap();
        assert_eq!(terms.0, [(Term::CrossEntropy, 1.0), (Term::MeanIou, 0.5), (Term::LovaszSoftmax, 1.0)]);
        assert_eq!(terms.to_string(), "ce:1,miou:0.5,lovasz:1");
        for (text, cause) in [
            ("kl:1", "`kl`"),
            ("ce:x", "not a number"),
            ("ce:-1", "above 0"),
            ("ce:1,ce:2", "twice"),
            ("", "no term"),
            ("focal,sbf", "combined"),
        ] {
            let error = text.parse::<Terms>().unwrap_err().to_string();
            assert!(error.contains(cause), "{error}");
        }
    }
}
