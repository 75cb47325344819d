//! One decision over all services: each claims what it asks for, and of those that claim the same one gets it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Prefix, Redirects, Refusal, Reserved, Route, Routes, Service, slots};
use crate::labels::{Destination, WILDCARD};

/// A destination on its way to a route.
struct Candidate {
    /// With everything but what it is given.
    route: Route,
    /// As they were asked for: the first one that it gets is where others lead.
    hosts: Vec<String>,
    /// Those that are to lead there.
    redirected: Vec<String>,
}

#[derive(Clone, Copy)]
struct Claim {
    /// Index among the candidates.
    candidate: usize,
    /// Whether the host is to lead to another, and not to be served.
    leads: bool,
}

/// What a candidate is given.
#[derive(Clone, Default)]
struct Share {
    prefixes: Vec<Prefix>,
    leading: Vec<String>,
}

impl Share {
    /// A host that it serves by its name alone can be led to.
    fn serves(&self, host: &str) -> bool {
        !host.starts_with(WILDCARD) && self.prefixes.iter().any(|prefix| prefix.host == host)
    }
}

/// Who gets what, and who gets what not.
struct Award {
    /// One for each candidate.
    shares: Vec<Share>,
    refused: Vec<Refusal>,
}

pub(super) struct Decision<'a> {
    reserved: &'a Reserved,
    candidates: Vec<Candidate>,
    /// In the order in which they were made.
    claims: BTreeMap<Prefix, Vec<Claim>>,
    refused: Vec<Refusal>,
}

impl<'a> Decision<'a> {
    pub(super) fn new(reserved: &'a Reserved) -> Self {
        Self { reserved, candidates: Vec::new(), claims: BTreeMap::new(), refused: Vec::new() }
    }

    pub(super) fn refuse(&mut self, service: &str, reason: String) {
        self.refused.push(Refusal { service: service.to_owned(), reason });
    }

    /// Notes what a destination asks for. Older services come first.
    pub(super) fn claim(&mut self, service: &Service, network: &str, destination: Destination) {
        let candidate = self.candidates.len();
        let hosts = self.free(&service.name, destination.hosts);
        for host in &hosts {
            for path in &destination.paths {
                let prefix = Prefix { host: host.clone(), path: path.clone() };
                self.claims.entry(prefix).or_default().push(Claim { candidate, leads: false });
            }
        }
        let redirected = self.free(&service.name, destination.redirected);
        for host in &redirected {
            self.claims.entry(whole(host)).or_default().push(Claim { candidate, leads: true });
        }
        let route = Route {
            service: service.name.clone(),
            destination: destination.number,
            excluded: destination.excluded,
            port: destination.port,
            network: network.to_owned(),
            slots: slots(service.tasks),
            rules: destination.rules,
            ..Route::default()
        };
        self.candidates.push(Candidate { route, hosts, redirected });
    }

    /// Those that do not belong to a core service, or to another one than this.
    fn free(&mut self, service: &str, hosts: Vec<String>) -> Vec<String> {
        let Reserved { hosts: reserved, owner } = self.reserved;
        if service == owner {
            return hosts;
        }
        let (taken, free): (Vec<String>, Vec<String>) = hosts.into_iter().partition(|host| reserved.contains(host));
        for host in taken {
            self.refuse(service, format!("{host} belongs to the core service {owner}; choose another host name"));
        }
        free
    }

    /// Gives everything to somebody.
    pub(super) fn routes(self, last: &Routes) -> Routes {
        let holders = holders(last);
        // Those that serve no host of their own, so that none can lead there. What they wanted for that is for others.
        let mut idle: BTreeSet<usize> = BTreeSet::new();
        loop {
            let award = self.award(&holders, &idle);
            let serves =
                |index: usize| self.candidates[index].hosts.iter().any(|host| award.shares[index].serves(host));
            let more: Vec<usize> = (0..self.candidates.len())
                .filter(|index| !award.shares[*index].leading.is_empty() && !serves(*index))
                .collect();
            if more.is_empty() {
                return self.finished(award, &idle);
            }
            idle.extend(more);
        }
    }

    fn award(&self, holders: &BTreeMap<Prefix, &str>, idle: &BTreeSet<usize>) -> Award {
        let mut award = Award { shares: vec![Share::default(); self.candidates.len()], refused: Vec::new() };
        let (wildcards, exact): (Vec<_>, Vec<_>) =
            self.claims.iter().partition(|(prefix, _)| prefix.host.starts_with(WILDCARD));
        for (prefix, claims) in exact {
            let claims: Vec<Claim> =
                claims.iter().copied().filter(|claim| !claim.leads || !idle.contains(&claim.candidate)).collect();
            self.give(prefix, &claims, holders, &mut award);
        }
        let served = self.candidates.iter().zip(&award.shares).flat_map(|(candidate, share)| {
            share.prefixes.iter().map(|prefix| (candidate.route.service.clone(), prefix.host.clone()))
        });
        let served: BTreeSet<(String, String)> = served.collect();
        for (prefix, claims) in wildcards {
            let name = prefix.host.strip_prefix(WILDCARD).unwrap_or_default();
            let has_it = |claim: &Claim| served.contains(&(self.service(*claim).to_owned(), name.to_owned()));
            let (with, without): (Vec<Claim>, Vec<Claim>) = claims.iter().copied().partition(has_it);
            for claim in without {
                let reason = format!("{} is served for who has {name} as well, and this service has not", prefix.host);
                award.refused.push(Refusal { service: self.service(claim).to_owned(), reason });
            }
            self.give(prefix, &with, holders, &mut award);
        }
        award
    }

    fn service(&self, claim: Claim) -> &str {
        &self.candidates[claim.candidate].route.service
    }

    /// Gives a place to who holds it, or else to the first who claims it.
    fn give(&self, prefix: &Prefix, claims: &[Claim], holders: &BTreeMap<Prefix, &str>, award: &mut Award) {
        let holder = holders.get(prefix);
        let holder = holder.and_then(|holder| claims.iter().find(|claim| self.service(**claim) == *holder));
        let Some(owner) = holder.or(claims.first()).copied() else { return };
        let name = self.service(owner);
        for other in claims.iter().map(|claim| self.service(*claim)).filter(|other| *other != name) {
            let reason = format!("{}{} is served by {name}, which had it first", prefix.host, prefix.path);
            award.refused.push(Refusal { service: other.to_owned(), reason });
        }
        let share = &mut award.shares[owner.candidate];
        match owner.leads {
            true => share.leading.push(prefix.host.clone()),
            false => share.prefixes.push(prefix.clone()),
        }
    }

    fn finished(self, award: Award, idle: &BTreeSet<usize>) -> Routes {
        let (mut routes, mut refused) = (Vec::new(), self.refused);
        refused.extend(award.refused);
        for (index, (candidate, mut share)) in self.candidates.into_iter().zip(award.shares).enumerate() {
            let Candidate { mut route, hosts, redirected } = candidate;
            if idle.contains(&index) {
                let reason = format!("{} cannot lead to a host that this service does not get", redirected.join(", "));
                refused.push(Refusal { service: route.service.clone(), reason });
            }
            let to = hosts.into_iter().find(|host| share.serves(host));
            if let Some(to) = to.filter(|_| !share.leading.is_empty()) {
                share.leading.sort();
                route.redirects = Some(Redirects { from: share.leading, to });
            }
            share.prefixes.sort();
            route.prefixes = share.prefixes;
            if !route.prefixes.is_empty() {
                routes.push(route);
            }
        }
        routes.sort_by(|a, b| (&a.service, a.destination).cmp(&(&b.service, b.destination)));
        refused.sort_by(|a, b| (&a.service, &a.reason).cmp(&(&b.service, &b.reason)));
        refused.dedup();
        Routes { routes, refused }
    }
}

/// Who has what at the moment.
fn holders(last: &Routes) -> BTreeMap<Prefix, &str> {
    let places = |route: &Route| {
        let leading = route.redirects.iter().flat_map(|redirects| redirects.from.iter().map(|host| whole(host)));
        route.prefixes.iter().cloned().chain(leading).collect::<Vec<_>>()
    };
    let all = last
        .routes
        .iter()
        .flat_map(|route| places(route).into_iter().map(move |place| (place, route.service.as_str())));
    all.collect()
}

/// All of a host.
fn whole(host: &str) -> Prefix {
    Prefix { host: host.to_owned(), path: "/".to_owned() }
}
