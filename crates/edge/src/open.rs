//! The open domain: where apps are served that the world may use, without a login and without its costs.

use std::collections::BTreeSet;

use crate::labels::WILDCARD;
use crate::routes::{Prefix, Route};

/// Adds the hosts of the open domain to these routes: `NAME.open` for a service that has `NAME.private` and that `is_open`. Whoever has such
/// a host, or a path of it, by its own labels keeps that. Nobody else gets a host by this.
#[must_use]
pub fn with_open_hosts(
    mut routes: Vec<Route>,
    private: &str,
    open: &str,
    is_open: impl Fn(&str) -> bool,
) -> Vec<Route> {
    let mut had: BTreeSet<Prefix> = routes.iter().flat_map(|route| route.prefixes.iter().cloned()).collect();
    let leading = routes.iter().flat_map(|route| route.redirects.iter().flat_map(|redirects| &redirects.from));
    let leading: BTreeSet<String> = leading.cloned().collect();
    for route in routes.iter_mut().filter(|route| is_open(&route.service)) {
        let twins = route.prefixes.iter().filter_map(|prefix| twin(prefix, private, open));
        let twins: Vec<Prefix> =
            twins.filter(|twin| !leading.contains(&twin.host) && had.insert(twin.clone())).collect();
        route.prefixes.extend(twins);
        route.prefixes.sort();
    }
    routes
}

/// The same place in the other domain; `None` for what is not one label below this one.
fn twin(prefix: &Prefix, private: &str, open: &str) -> Option<Prefix> {
    let label = prefix.host.strip_suffix(private)?.strip_suffix('.')?;
    let is_name = !label.is_empty() && !label.contains('.') && !prefix.host.starts_with(WILDCARD);
    is_name.then(|| Prefix { host: format!("{label}.{open}"), path: prefix.path.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::Redirects;

    fn route(service: &str, hosts: &[&str]) -> Route {
        let prefix = |host: &&str| Prefix { host: (*host).to_owned(), path: "/".to_owned() };
        Route { service: service.to_owned(), prefixes: hosts.iter().map(prefix).collect(), ..Route::default() }
    }

    fn hosts(routes: &[Route]) -> Vec<Vec<&str>> {
        routes.iter().map(|route| route.prefixes.iter().map(|prefix| prefix.host.as_str()).collect()).collect()
    }

    #[test]
    fn only_what_is_open_gets_a_name_in_the_open_domain() {
        let all = vec![
            route("shop", &["shop.apps.test", "www.shop.test"]),
            route("wiki", &["wiki.apps.test"]),
            route("mainpage", &["apps.test", "localhost"]),
            route("deep", &["*.apps.test", "a.b.apps.test", "xapps.test"]),
        ];
        let open = |service: &str| service != "wiki";
        let all = with_open_hosts(all, "apps.test", "open.test", open);
        let expected = [
            vec!["shop.apps.test", "shop.open.test", "www.shop.test"],
            vec!["wiki.apps.test"],
            vec!["apps.test", "localhost"],
            vec!["*.apps.test", "a.b.apps.test", "xapps.test"],
        ];
        assert_eq!(hosts(&all), expected);
    }

    #[test]
    fn who_has_a_name_of_the_open_domain_already_keeps_it() {
        let leads = Redirects { from: vec!["led.open.test".to_owned()], to: "other.test".to_owned() };
        let all = vec![
            route("shop", &["shop.apps.test"]),
            route("led", &["led.apps.test"]),
            Route { redirects: Some(leads), ..route("other", &["other.test", "shop.open.test"]) },
        ];
        let after = with_open_hosts(all.clone(), "apps.test", "open.test", |_| true);
        assert_eq!(after, all);
    }

    #[test]
    fn paths_go_with_their_hosts() {
        let mut api = route("api", &["shop.apps.test"]);
        api.prefixes[0].path = "/api".to_owned();
        let after = with_open_hosts(vec![api], "apps.test", "open.test", |_| true);
        let expected = Prefix { host: "shop.open.test".to_owned(), path: "/api".to_owned() };
        assert_eq!(after[0].prefixes[1], expected);
    }
}
