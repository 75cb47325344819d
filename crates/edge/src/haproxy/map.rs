//! The map from hosts and paths to backends, in which HAProxy finds the longest key that a request begins with.

use std::collections::{BTreeMap, BTreeSet};

use super::{redirect_backend, service_backend};
use crate::labels::upwards;
use crate::routes::Routes;

/// The backend of requests that nobody serves.
const NOBODY: &str = "nobody";

/// Everything about one host.
#[derive(Default)]
struct Host<'a> {
    /// Who has which path.
    owners: BTreeMap<&'a str, Owner<'a>>,
    /// Paths that somebody does not want.
    excluded: BTreeSet<&'a str>,
}

#[derive(Clone)]
struct Owner<'a> {
    backend: String,
    /// Sorted.
    excluded: &'a [String],
}

impl Host<'_> {
    /// Who serves a path: the longest of its beginnings that somebody has who does not leave this path out.
    fn backend(&self, path: &str) -> &str {
        let is_excluded =
            |owner: &Owner, path: &str| owner.excluded.binary_search_by(|one| one.as_str().cmp(path)).is_ok();
        let leaves_out = |owner: &Owner| upwards(path).any(|above| is_excluded(owner, above));
        let mut owners = upwards(path).filter_map(|above| self.owners.get(above));
        owners.find(|owner| !leaves_out(owner)).map_or(NOBODY, |owner| owner.backend.as_str())
    }
}

/// One line per host and path: `host/path/` and the name of the backend. Every key ends with a slash, as does every request that
/// is looked up, so that the longest key that a request begins with ends where a part of its path does.
pub(super) fn map(routes: &Routes) -> String {
    let mut hosts: BTreeMap<&str, Host> = BTreeMap::new();
    for route in &routes.routes {
        let owner = Owner { backend: service_backend(route), excluded: &route.excluded };
        for prefix in &route.prefixes {
            let host = hosts.entry(&prefix.host).or_default();
            host.owners.insert(&prefix.path, owner.clone());
            host.excluded.extend(route.excluded.iter().map(String::as_str));
        }
        for host in route.redirects.iter().flat_map(|redirects| &redirects.from) {
            let owner = Owner { backend: redirect_backend(route), excluded: &[] };
            hosts.entry(host).or_default().owners.insert("/", owner);
        }
    }
    let mut lines = BTreeSet::new();
    for (name, host) in &hosts {
        for path in host.owners.keys().chain(&host.excluded) {
            lines.insert(format!("{name}{}/ {}\n", path.trim_end_matches('/'), host.backend(path)));
        }
    }
    lines.into_iter().collect()
}
