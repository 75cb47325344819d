//! Names of an app's database and roles on the server.

use std::fmt;

/// The longest name on the server, in bytes (PostgreSQL documentation, 4.1.1: NAMEDATALEN - 1).
const LONGEST: usize = 63;

/// Names of one app. Names of apps have no underscore, so that nothing of one app is called like anything of another: the server's own
/// roles and databases are compared by owner, not by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    app: String,
}

/// One of an app's two logins. A rotation takes the one that nothing runs with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Login {
    /// `NAME_a`, the first.
    A,
    /// `NAME_b`.
    B,
}

impl Login {
    /// Both.
    pub const ALL: [Self; 2] = [Self::A, Self::B];

    /// The one that is not this.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

impl fmt::Display for Login {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::A => "a",
            Self::B => "b",
        })
    }
}

impl Names {
    /// Names of `app`, which has the form of an app's name: at most 40 small letters, digits and hyphens.
    #[must_use]
    pub fn of(app: &str) -> Self {
        Self { app: app.to_owned() }
    }

    /// The database: called as the app.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.app
    }

    /// The role that owns database and everything in it. Nobody logs in as it.
    #[must_use]
    pub fn owner(&self) -> String {
        format!("{}_owner", self.app)
    }

    /// A login of the app itself.
    #[must_use]
    pub fn login(&self, login: Login) -> String {
        format!("{}_{login}", self.app)
    }

    /// Which login a role is; `None` for every other role.
    #[must_use]
    pub fn login_of(&self, role: &str) -> Option<Login> {
        Login::ALL.into_iter().find(|login| self.login(*login) == role)
    }

    /// What roles of sessions begin with.
    #[must_use]
    pub fn sessions(&self) -> String {
        format!("{}_u_", self.app)
    }

    /// The role of one session of a user, told apart by `random` from others of theirs. A user's name that is too long is cut.
    #[must_use]
    pub fn session(&self, user: &str, random: &str) -> String {
        let (before, after) = (self.sessions(), format!("_{random}"));
        let room = LONGEST.saturating_sub(before.len() + after.len());
        let user: String = user.chars().filter(char::is_ascii).take(room).collect();
        format!("{before}{user}{after}")
    }

    /// What databases begin with that a backup is restored into.
    #[must_use]
    pub fn copies(&self) -> String {
        format!("{}_r_", self.app)
    }

    /// A database that a backup is restored into.
    #[must_use]
    pub fn copy(&self, random: &str) -> String {
        format!("{}{random}", self.copies())
    }

    /// What databases begin with whose place was taken by a copy.
    #[must_use]
    pub fn replaced(&self) -> String {
        format!("{}_o_", self.app)
    }

    /// What the database is called once `copy` has taken its place.
    #[must_use]
    pub fn replaced_by(&self, copy: &str) -> String {
        format!("{}{}", self.replaced(), copy.strip_prefix(&self.copies()).unwrap_or(copy))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_one_app_is_called_like_anything_of_another() {
        let all = |app: &str| {
            let names = Names::of(app);
            let copy = names.copy("1f");
            let mut all = vec![names.database().to_owned(), names.owner(), names.session("jane", "1f")];
            all.extend(Login::ALL.map(|login| names.login(login)));
            all.extend([names.replaced_by(&copy), copy]);
            all
        };
        let apps = ["a", "ab", "a-b", "a-owner", "a-u", "owner"];
        let names: Vec<String> = apps.iter().flat_map(|app| all(app)).collect();
        assert_eq!(names.iter().collect::<std::collections::BTreeSet<_>>().len(), names.len(), "{names:?}");
        assert!(names.iter().all(|name| !name.starts_with("pg_")));
        assert_eq!(Names::of("shop").replaced_by("shop_r_1f"), "shop_o_1f");
    }

    #[test]
    fn names_fit_and_the_random_part_is_never_cut() {
        let names = Names::of(&"a".repeat(40));
        let session = names.session(&"u".repeat(32), "0123abcd");
        assert_eq!(session.len(), 63);
        assert!(session.ends_with("u_0123abcd"), "{session}");
        assert!(names.owner().len() <= LONGEST && names.copy("0123abcd").len() <= LONGEST);
        assert_eq!(Names::of("shop").session("jane.d", "1f"), "shop_u_jane.d_1f");
    }

    #[test]
    fn a_login_is_known_by_its_name() {
        let names = Names::of("shop");
        assert_eq!(names.login_of("shop_b"), Some(Login::B));
        assert_eq!(Login::B.other(), Login::A);
        for other in ["shop", "shop_owner", "shop_c", "other_a", ""] {
            assert_eq!(names.login_of(other), None, "{other}");
        }
    }
}
