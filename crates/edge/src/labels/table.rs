//! Every parameter of Docker Flow Proxy that can be a label of a service, and what becomes of it here. `docs/routing.md` shows the same
//! table to people, and a test holds one against the other.

/// What becomes of a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It does what it does there.
    Honoured,
    /// What it is for is done in another way, or not for every value that it has there.
    Differently,
    /// It is accepted: there is nothing here that it would have to change.
    Neutral,
    /// The service is not served, unless the label is a switch that is off.
    RefusedUnlessOff,
    /// The service is not served.
    Refused,
}

/// A label, or several that begin alike.
#[derive(Debug)]
pub(crate) struct Parameter {
    /// Behind `com.df.`; a star at its end stands for any ending.
    pub(crate) name: &'static str,
    /// Whether the number of a destination may stand behind it, as in `com.df.port.2`.
    pub(crate) numbered: bool,
    pub(crate) verdict: Verdict,
    /// Of a label that is refused: why, and what to do instead.
    pub(crate) says: &'static str,
}

impl Parameter {
    fn is(&self, name: &str) -> bool {
        self.name.strip_suffix('*').map_or(self.name == name, |beginning| name.starts_with(beginning))
    }
}

const fn one(name: &'static str, verdict: Verdict, says: &'static str) -> Parameter {
    Parameter { name, numbered: false, verdict, says }
}

const fn each(name: &'static str, verdict: Verdict, says: &'static str) -> Parameter {
    Parameter { name, numbered: true, verdict, says }
}

/// The row of a label's name, and the number of the destination that it is about; 0 when it names none.
pub(crate) fn find(name: &str) -> Option<(&'static Parameter, u8)> {
    let row = |name: &str| PARAMETERS.iter().find(|row| row.is(name));
    if let Some(row) = row(name) {
        return Some((row, 0));
    }
    let (name, number) = divided(name)?;
    Some((row(name)?, number))
}

/// A name and the number of a destination behind it; `None` where there is none.
pub(super) fn divided(name: &str) -> Option<(&str, u8)> {
    let (name, digits) = name.rsplit_once('.')?;
    let number = digits.parse::<u8>().ok().filter(|number| *number > 0 && number.to_string() == digits)?;
    Some((name, number))
}

/// A name that differs from this one only by capital letters.
pub(crate) fn like(name: &str) -> Option<&'static str> {
    PARAMETERS.iter().map(|row| row.name).find(|known| known.eq_ignore_ascii_case(name))
}

use Verdict::{Differently, Honoured, Neutral, Refused, RefusedUnlessOff};

pub(crate) const PARAMETERS: &[Parameter] = &[
    // Which services there are, and where.
    one("notify", Honoured, "`true` serves the service. Without it, or with `false`, no other label is read"),
    one("distribute", Neutral, "every edge serves every service"),
    one("serviceName", Neutral, "a service has the name that Swarm knows it by"),
    one("shortName", Neutral, "a service has the name that Swarm knows it by"),
    one("replicas", Neutral, "Swarm says how many tasks there are"),
    one("discoveryType", Neutral, "every task is found by name, one by one"),
    one("checkResolvers", Neutral, "every task is found by name, one by one"),
    one("aclName", Neutral, "the longest path decides, and no order of names"),
    one(
        "proxyInstanceName",
        Refused,
        "there is one edge, and it may not be the one that the service is meant for; remove the label where the edge shall serve it, and `com.df.notify` where not",
    ),
    one(
        "isDefaultBackend",
        RefusedUnlessOff,
        "a request for a name that nobody has is answered 404, and no service gets it; name the hosts with `com.df.serviceDomain`",
    ),
    each("port", Honoured, "the port that its tasks listen on, 1 to 65535. It is needed"),
    each(
        "srcPort",
        Differently,
        "the ports of the load balancer are 80 and 443, and other values are refused. With `443` a request that has not come over HTTPS is answered 403",
    ),
    each(
        "serviceDomain",
        Honoured,
        "host names with commas between them. `*.NAME` is every name one label below NAME, for a service that has NAME itself; an exact name goes before it. It is needed",
    ),
    one(
        "serviceDomainAlgo",
        Differently,
        "`hdr(host)`: exact names, which is what there is without it. `hdr_dom(host)`: `*.NAME` as well for each name. Any other is refused, because it would take requests for the names of others; write the names out",
    ),
    one("serviceDomainMatchAll", Differently, "`true` is `com.df.serviceDomainAlgo` with `hdr_dom(host)`"),
    each(
        "servicePath",
        Differently,
        "beginnings of paths with commas between them, `/` when it is absent. `/api` is `/api` and all below `/api/`, and not `/apix`. The longest goes first, whichever service has it",
    ),
    each(
        "servicePathExclude",
        Differently,
        "beginnings of paths that are left to whoever would have them without this destination, by whole parts as in `com.df.servicePath`",
    ),
    each("pathType", Differently, "`path_beg`, by whole parts as in `com.df.servicePath`. Any other is refused"),
    each(
        "redirectFromDomain",
        Differently,
        "exact host names that lead with 301 to the first exact one of `com.df.serviceDomain`, with path and query, under the scheme of the request",
    ),
    // How requests come in.
    each(
        "httpsOnly",
        Differently,
        "`true` sends a request that has not come over HTTPS to `https://`, by what the load balancer says of it, because TLS ends there",
    ),
    each("httpsRedirectCode", Honoured, "301, 302, 303, 307 or 308; 302 when it is absent"),
    one("redirectWhenHttpProto", Differently, "`true` is `com.df.httpsOnly` with `true`"),
    each(
        "denyHttp",
        Differently,
        "`true` answers 403 to a request that has not come over HTTPS, by what the load balancer says of it; `com.df.httpsOnly` goes before it",
    ),
    one("xForwardedProto", Neutral, "every app gets `X-Forwarded-Proto`, with what the load balancer says"),
    each(
        "allowedMethods",
        Honoured,
        "methods with commas between them; a request with any other is answered 403, also `HEAD` and the `OPTIONS` that browsers ask other sites with",
    ),
    each("deniedMethods", Honoured, "methods with commas between them; a request with one of them is answered 403"),
    // What is changed on the way.
    each(
        "reqPathSearchReplace",
        Differently,
        "`SEARCH,REPLACE`, further pairs behind colons, `i` or `g` behind one more comma. SEARCH is a regular expression of the kind described below, which no path makes slow; any other is refused",
    ),
    one("reqPathSearch", Differently, "SEARCH of one pair, as in `com.df.reqPathSearchReplace`"),
    one("reqPathReplace", Differently, "REPLACE of the same pair"),
    one(
        "addReqHeader",
        Differently,
        "`NAME VALUE`, further ones behind commas; a comma in double quotes divides nothing. VALUE is sent as it stands: variables and conditions of HAProxy are refused, and so are the names of headers that the edge answers for",
    ),
    one("setReqHeader", Differently, "as `com.df.addReqHeader`, in the place of all headers of this name"),
    one("delReqHeader", Differently, "names with commas between them, with the same exceptions"),
    one("addResHeader", Differently, "as `com.df.addReqHeader`, for responses"),
    one("setResHeader", Differently, "as `com.df.setReqHeader`, for responses"),
    one("delResHeader", Differently, "as `com.df.delReqHeader`, for responses"),
    one("addHeader", Differently, "the older name of `com.df.addReqHeader`, which goes before it"),
    one("setHeader", Differently, "the older name of `com.df.setReqHeader`, which goes before it"),
    one("compressionAlgo", Honoured, "`gzip`, `deflate` or `raw-deflate`, or several; `identity` compresses nothing"),
    one(
        "compressionType",
        Differently,
        "media types with spaces or commas between them; when it is absent those that are text, and not all",
    ),
    // How tasks are reached.
    each("timeoutServer", Differently, "seconds, 1 to 3600; 60 when it is absent, and not 20"),
    each("timeoutTunnel", Differently, "seconds, 1 to 86400; 3600 when it is absent"),
    each("timeoutClient", Neutral, "it is about TCP only"),
    one(
        "connectionMode",
        Differently,
        "the connection to a task is closed after each response, whichever is named; `http-tunnel` is refused, because only the first request of a connection would be looked at",
    ),
    one(
        "sessionType",
        Differently,
        "`sticky-server`: a browser stays with its task, on every edge, by a cookie `futuswarm-SERVICE` that the app does not see. Any other value is refused: it would keep nobody anywhere",
    ),
    each(
        "balanceGroup",
        Differently,
        "`leastconn`, which is what there is without it, `roundrobin` or `random`, for HTTP. Any other is refused: the edge sees the load balancer's address, and no other; `com.df.sessionType` keeps a browser with a task",
    ),
    each("checkTcp", Honoured, "every task is checked by connecting to it, with the label and without"),
    one("skipCheck", Neutral, "every task is checked by connecting to it"),
    // What would open a hole, or has no meaning.
    each(
        "reqMode",
        Differently,
        "`http` is what there is. `tcp` and `sni` are refused: the edge has one port, and whoever asks it is told apart by a host name; publish a port of the service in host mode",
    ),
    each(
        "httpsPort",
        Refused,
        "tasks are spoken to in plain HTTP, because TLS ends at the load balancer; let the app listen without TLS at `com.df.port`",
    ),
    each("srcHttpsPort", Refused, "it belongs to `com.df.httpsPort`; remove it"),
    each(
        "sslVerifyNone",
        RefusedUnlessOff,
        "tasks are spoken to in plain HTTP, because TLS ends at the load balancer; let the app listen without TLS at `com.df.port`",
    ),
    each(
        "verifyClientSsl",
        RefusedUnlessOff,
        "TLS ends at the load balancer, and the edge sees no certificate of whoever asks; let the load balancer ask for one",
    ),
    one(
        "serviceCert",
        Refused,
        "everybody who sees the service reads the key in it; make a new one, and give the certificate to the load balancer",
    ),
    each(
        "outboundHostname",
        Refused,
        "the edge would ask any address of the network for whoever says so; only tasks of the service are asked, so serve a proxy of your own that asks that host",
    ),
    each(
        "serviceHeader",
        Refused,
        "requests are told apart by host and path only; give this part of the service a host or a path of its own",
    ),
    each(
        "userAgent",
        Refused,
        "requests are told apart by host and path only; give this part of the service a host or a path of its own",
    ),
    one(
        "users",
        Refused,
        "everybody who sees the service reads the passwords; remove it, and let the app ask for them, with a secret of its own",
    ),
    one("usersSecret", Refused, "the edge reads no secrets of services; remove it, and let the app ask for passwords"),
    one("usersPassEncrypted", RefusedUnlessOff, "it belongs to `com.df.users`; remove it"),
    each(
        "ignoreAuthorization",
        RefusedUnlessOff,
        "it belongs to `com.df.users`; remove it: no label decides who may come in",
    ),
    one(
        "backendExtra",
        Refused,
        "lines of HAProxy's configuration could do anything to anybody's requests; say it with the labels of this table",
    ),
    one("templateBePath", Refused, "there are no templates of services; say it with the labels of this table"),
    one("templateFePath", Refused, "there are no templates of services; say it with the labels of this table"),
    one("consulTemplateBePath", Refused, "there are no templates of services; say it with the labels of this table"),
    one("consulTemplateFePath", Refused, "there are no templates of services; say it with the labels of this table"),
    one("userDef*", Refused, "it is for templates, and there are none; remove it"),
    each("serviceGroup", Refused, "it is about TCP, which is not served; remove it"),
    each("clitcpka", RefusedUnlessOff, "it is about TCP, which is not served; remove it"),
    one("reqRepSearch", Refused, "it was replaced by `com.df.reqPathSearchReplace`; use that"),
    one("reqRepReplace", Refused, "it was replaced by `com.df.reqPathSearchReplace`; use that"),
    one("serviceColor", Refused, "two colours of a service cannot be told apart; make them two services"),
    // Labels of programs beside it, which share its prefix and are not about requests.
    one("scrape*", Neutral, "it is about monitoring"),
    one("alert*", Neutral, "it is about monitoring"),
    one("letsencrypt.*", Neutral, "certificates are the load balancer's"),
];
