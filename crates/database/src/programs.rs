//! PostgreSQL's own programs: which are run, with which arguments, and what they are told by their environment.

use futuswarm_secret::Secret;

use crate::Endpoint;

/// The version of the programs that the image has, and the only one of a server that is backed up and restored: an older server does not
/// know a setting that pg_restore begins with (`transaction_timeout`), and pg_dump refuses a newer one.
pub const MAJOR: u32 = 17;
/// Where Debian has the programs of this version. Those in `/usr/bin` are scripts that look for a version.
const FOLDER: &str = "/usr/lib/postgresql/17/bin";
/// What pg_dump waits for a lock at most, in milliseconds: a table that somebody is changing for long is said, not waited for.
pub const DUMP_LIMITS: &str = "--lock-wait-timeout=60000";

/// A program to run, with its password in its environment and nowhere else.
pub struct Command {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Its variables, of which one is a password.
    pub environment: Vec<(&'static str, String)>,
}

fn command(
    program: &str,
    arguments: &[&str],
    endpoint: &Endpoint,
    database: &str,
    role: &str,
    password: &Secret,
) -> Command {
    let argv = std::iter::once(format!("{FOLDER}/{program}")).chain(arguments.iter().map(|&word| word.to_owned()));
    let environment = vec![
        ("PGHOST", endpoint.host.clone()),
        ("PGPORT", endpoint.port.to_string()),
        ("PGDATABASE", database.to_owned()),
        ("PGUSER", role.to_owned()),
        ("PGPASSWORD", password.expose().to_owned()),
        // The certificate is not looked at. The server proves over this very connection that it knows the password's verifier (RFC 5802,
        // 6; RFC 5929, 4), which whoever stands in between cannot.
        ("PGSSLMODE", "require".to_owned()),
        ("PGCHANNELBINDING", "require".to_owned()),
        ("PGCONNECT_TIMEOUT", "10".to_owned()),
        ("PGAPPNAME", "futuswarm".to_owned()),
        ("LC_ALL", "C.UTF-8".to_owned()),
    ];
    Command { argv: argv.collect(), environment }
}

/// Writes a backup of a database to standard output.
#[must_use]
pub fn dump(endpoint: &Endpoint, database: &str, role: &str, password: &Secret) -> Command {
    let arguments = ["--format=custom", "--no-password", DUMP_LIMITS];
    command("pg_dump", &arguments, endpoint, database, role, password)
}

/// Restores a backup from standard input into an empty database: all of it or nothing. Everything becomes the role's own, since roles of
/// another time are in the backup.
#[must_use]
pub fn restore(endpoint: &Endpoint, database: &str, role: &str, password: &Secret) -> Command {
    let into = format!("--dbname={database}");
    let arguments =
        [&into, "--no-password", "--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction"];
    command("pg_restore", &arguments, endpoint, database, role, password)
}

/// A session for somebody with a terminal of this kind (`$TERM`).
#[must_use]
pub fn interactive(endpoint: &Endpoint, database: &str, role: &str, password: &Secret, terminal: &str) -> Command {
    let mut psql = command("psql", &["--no-psqlrc", "--no-password"], endpoint, database, role, password);
    psql.environment.extend([
        ("TERM", terminal.to_owned()),
        // It has no file of its own to keep them in.
        ("PSQL_HISTORY", "/dev/null".to_owned()),
        // The pager would be a program of the container.
        ("PSQL_PAGER", String::new()),
    ]);
    psql
}

/// SQL from standard input, which ends at the first statement that fails.
#[must_use]
pub fn script(endpoint: &Endpoint, database: &str, role: &str, password: &Secret) -> Command {
    let arguments = ["--no-psqlrc", "--no-password", "--set=ON_ERROR_STOP=1"];
    command("psql", &arguments, endpoint, database, role, password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_programs_are_those_of_the_version_that_is_told() {
        assert_eq!(FOLDER, format!("/usr/lib/postgresql/{MAJOR}/bin"));
    }

    #[test]
    fn a_password_is_in_the_environment_and_in_no_argument() {
        let endpoint = Endpoint { host: "db.example".to_owned(), port: 5432 };
        let password = Secret::new("hush".to_owned());
        for command in [
            dump(&endpoint, "shop", "shop_u_jane_1f", &password),
            restore(&endpoint, "shop_r_1f", "shop_u_jane_1f", &password),
            interactive(&endpoint, "shop", "shop_u_jane_1f", &password, "xterm"),
            script(&endpoint, "shop", "shop_u_jane_1f", &password),
        ] {
            assert!(!command.argv.iter().any(|word| word.contains("hush")), "{:?}", command.argv);
            let of = |name: &str| command.environment.iter().find(|(key, _)| *key == name).map(|(_, value)| value);
            assert_eq!(of("PGPASSWORD").map(String::as_str), Some("hush"));
            assert_eq!(of("PGSSLMODE").map(String::as_str), Some("require"));
            assert_eq!(of("PGCHANNELBINDING").map(String::as_str), Some("require"));
            assert!(command.argv.iter().any(|word| word == "--no-password"), "nobody is there to be asked");
        }
    }
}
