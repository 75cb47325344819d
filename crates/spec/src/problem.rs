//! What is wrong with a spec, and where.

use std::fmt;

/// What is wrong with one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line, counted from 1.
    pub line: usize,
    /// The key, with its tables, for example `groups.workers.count`; empty when the file is not TOML.
    pub key: String,
    /// What is wrong and what would be right.
    pub message: String,
}

/// All problems of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    /// The file, as it was named.
    pub file: String,
    /// Sorted by line.
    pub problems: Vec<Problem>,
}

impl Problems {
    pub(crate) fn of(file: &str) -> Self {
        Self { file: file.to_owned(), problems: Vec::new() }
    }

    pub(crate) fn add(&mut self, line: usize, key: &str, message: String) {
        self.problems.push(Problem { line, key: key.to_owned(), message });
        self.problems.sort_by_key(|problem| problem.line);
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                formatter.write_str("\n")?;
            }
            write!(formatter, "{}:{}: ", self.file, problem.line)?;
            if !problem.key.is_empty() {
                write!(formatter, "{}: ", problem.key)?;
            }
            formatter.write_str(&problem.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
