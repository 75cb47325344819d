//! What the name of an EC2 instance type says.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Processor architectures, in EC2's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Architecture {
    /// Intel and AMD.
    #[serde(rename = "x86_64")]
    X86_64,
    /// Graviton.
    #[serde(rename = "arm64")]
    Arm64,
}

impl fmt::Display for Architecture {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
        })
    }
}

impl Architecture {
    /// The architecture of an instance type or RDS instance class.
    ///
    /// The letters behind the generation tell: `g` is Graviton (`t4g`, `c7gn`, `is4gen`), while `g` before it is a family
    /// with graphics processors (`g5`); `a1` is the first Graviton
    /// (<https://docs.aws.amazon.com/ec2/latest/instancetypes/instance-type-names.html>).
    #[must_use]
    pub fn of(instance_type: &str) -> Self {
        let family = instance_type.split('.').next().unwrap_or_default();
        let generation = family.trim_start_matches(|letter: char| letter.is_ascii_alphabetic());
        let options = generation.trim_start_matches(|digit: char| digit.is_ascii_digit());
        if family == "a1" || options.split('-').next().is_some_and(|options| options.contains('g')) {
            Self::Arm64
        } else {
            Self::X86_64
        }
    }
}

/// Whether a text has the form of an instance type, for example `t3.small`.
pub(crate) fn is_instance_type(text: &str) -> bool {
    let word = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    text.split_once('.')
        .is_some_and(|(family, size)| word(family) && word(size) && family.bytes().any(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn graviton_is_told_by_the_letters_behind_the_generation() {
        for graviton in
            ["a1.large", "t4g.small", "m6g.large", "c7gn.xlarge", "x2gd.medium", "is4gen.large", "g5g.xlarge"]
        {
            assert_eq!(Architecture::of(graviton), Architecture::Arm64, "{graviton}");
        }
        for other in
            ["t3.small", "m6i.large", "g4dn.xlarge", "g5.xlarge", "u-6tb1.metal", "c7i-flex.large", "mac1.metal"]
        {
            assert_eq!(Architecture::of(other), Architecture::X86_64, "{other}");
        }
    }

    #[test]
    fn the_form_of_a_type() {
        for good in ["t3.small", "m6i.2xlarge", "u-6tb1.metal", "c7i-flex.large"] {
            assert!(is_instance_type(good), "{good}");
        }
        for bad in ["t3", "T3.small", "small.t3.", ".small", "tee.small", "t3 .small"] {
            assert!(!is_instance_type(bad), "{bad}");
        }
    }
}
