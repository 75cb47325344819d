//! Whether what all edges read is what one service asks for by now.

use super::{Reserved, Route, Routes, Service, decide};

/// What the routes have of one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Published {
    /// It asks for nothing.
    NotAsked,
    /// What it asks for, as far as no other service has it.
    AsAsked,
    /// Nothing of it, or what it has asked for before.
    NotYet {
        /// Why something of it is not served; `None` when nothing was refused.
        refused: Option<String>,
    },
}

impl Routes {
    /// What these have of a service, whose labels may be newer.
    #[must_use]
    pub fn published(&self, service: &Service) -> Published {
        let nobody_else = Reserved { hosts: Vec::new(), owner: String::new() };
        let asked = decide(std::slice::from_ref(service), &nobody_else, &Self::default());
        if asked.routes.is_empty() && asked.refused.is_empty() {
            return Published::NotAsked;
        }
        let own: Vec<&Route> = self.routes.iter().filter(|route| route.service == service.name).collect();
        let refused = self.refused.iter().find(|refusal| refusal.service == service.name);
        let is_as_asked = match refused {
            None => !own.is_empty() && own.iter().copied().eq(&asked.routes),
            // Others have some of the places, and which those are is not this service's to know.
            Some(_) => !own.is_empty() && own.iter().all(|route| asked.routes.iter().any(|one| is_part_of(route, one))),
        };
        match is_as_asked {
            true => Published::AsAsked,
            false => {
                let refused = refused.or(asked.refused.first());
                Published::NotYet { refused: refused.map(|refusal| refusal.reason.clone()) }
            }
        }
    }
}

/// Whether a route is what was asked for with some of its places missing.
fn is_part_of(route: &Route, asked: &Route) -> bool {
    let but_for_places = |route: &Route| Route { prefixes: Vec::new(), redirects: None, ..route.clone() };
    but_for_places(route) == but_for_places(asked) && route.prefixes.iter().all(|one| asked.prefixes.contains(one))
}

#[cfg(test)]
mod tests {
    use super::super::Network;
    use super::*;

    fn service(pairs: &[(&str, &str)]) -> Service {
        let labels = pairs.iter().map(|(name, value)| (format!("com.df.{name}"), (*value).to_owned())).collect();
        Service {
            name: "hello".to_owned(),
            created_at: String::new(),
            labels,
            networks: vec![Network { name: "net".to_owned(), attachable: true }],
            tasks: 2,
        }
    }

    fn hello(port: &str, path: &str) -> Service {
        let host = ("serviceDomain", "hello.example.com,x.com");
        service(&[("notify", "true"), host, ("servicePath", path), ("port", port)])
    }

    fn decided(services: &[Service]) -> Routes {
        decide(services, &Reserved { hosts: Vec::new(), owner: String::new() }, &Routes::default())
    }

    #[test]
    fn routes_are_those_of_a_service_when_nothing_of_them_is_older_than_its_labels() {
        let not_yet = Published::NotYet { refused: None };
        let asked = hello("8000", "/");
        let routes = decided(std::slice::from_ref(&asked));
        assert_eq!(routes.published(&asked), Published::AsAsked);
        assert_eq!(Routes::default().published(&asked), not_yet, "nobody has seen it");
        for later in [hello("8001", "/"), hello("8000", "/api"), Service { tasks: 100, ..asked.clone() }] {
            assert_eq!(routes.published(&later), not_yet, "{later:?}");
        }
        let another = Service { name: "other".to_owned(), ..asked };
        assert_eq!(routes.published(&another), not_yet, "it is another service's");
    }

    #[test]
    fn what_asks_for_nothing_has_no_route() {
        let silent = service(&[("port", "8000")]);
        assert_eq!(Routes::default().published(&silent), Published::NotAsked);
        assert_eq!(Routes::default().published(&service(&[("notify", "false")])), Published::NotAsked);
    }

    #[test]
    fn places_that_another_service_has_are_not_waited_for() {
        let labels = [("notify", "true"), ("serviceDomain", "x.com"), ("port", "1")];
        let first = Service { name: "first".to_owned(), ..service(&labels) };
        let asked = hello("8000", "/");
        let both = decided(&[first.clone(), asked.clone()]);
        assert_eq!(both.published(&asked), Published::AsAsked, "the other host is served");
        let Published::NotYet { refused: Some(reason) } = both.published(&hello("8001", "/")) else { panic!() };
        assert!(reason.contains("x.com/ is served by first"), "{reason}");
        let only = Service { name: "hello".to_owned(), ..service(&labels) };
        let Published::NotYet { refused: Some(_) } = decided(&[first, only.clone()]).published(&only) else { panic!() };
    }
}
