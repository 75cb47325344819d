//! What is wrong with a login, an app or a secret. No message has a secret in it.

/// Why nothing is rendered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a host name, or not one that can be served.
    #[error("the host {host:?} {reason}")]
    Host {
        /// As it was given.
        host: String,
        /// Said of the host.
        reason: &'static str,
    },
    /// A wildcard certificate and the relay of the login reach one label below the domain, and the bare domain is the relay's own.
    #[error("the host {host:?} is not one label below {domain}, so that nobody could log in there")]
    NotBelow {
        /// Of an app.
        host: String,
        /// The private domain.
        domain: String,
    },
    /// Codes and tokens would travel in the clear.
    #[error("{what} is {url:?}, and has to begin with https://")]
    NotHttps {
        /// Which of the provider's URLs.
        what: &'static str,
        /// As it was given.
        url: String,
    },
    /// Not a URL that can be written into a configuration.
    #[error("{what} is {url:?}, which {reason}")]
    Url {
        /// Which of the provider's URLs.
        what: &'static str,
        /// As it was given.
        url: String,
        /// Said of the URL.
        reason: &'static str,
    },
    /// More than anybody needs, or than Apache takes.
    #[error("{what} has {bytes} bytes, and may have {longest}")]
    TooLong {
        /// Which value.
        what: String,
        /// As it was given.
        bytes: usize,
        /// What is accepted.
        longest: usize,
    },
    /// Nothing where something has to be.
    #[error("{what} is empty")]
    Empty {
        /// Which value.
        what: String,
    },
    /// A line break or the like, which would begin something else in the configuration.
    #[error("{what} has a control character (shown escaped: {shown})")]
    Control {
        /// Which value.
        what: String,
        /// Its beginning, escaped.
        shown: String,
    },
    /// A word with characters that are not for this place.
    #[error("{what} is {value:?}, which {reason}")]
    Word {
        /// Which value.
        what: &'static str,
        /// As it was given.
        value: String,
        /// Said of the value.
        reason: &'static str,
    },
    /// Not a line of an allow-list.
    #[error("the entry {entry:?} {reason}")]
    Entry {
        /// As it was given.
        entry: String,
        /// Said of the entry.
        reason: &'static str,
    },
    /// Nobody could be in the group.
    #[error("{whose} names {entry:?}, and this provider tells no groups: name the claim that has them, or users")]
    NoGroups {
        /// A host, or the list of who is locked out.
        whose: String,
        /// Of the list.
        entry: String,
    },
    /// Apache reads so many lines for a list, and so much of each.
    #[error("the list of {whose} is longer than fits (about 80 names): make a group at the provider, and name that")]
    TooMany {
        /// A host, or the list of who is locked out.
        whose: String,
    },
    /// Sessions that never end, end before they begin, or outlast a working day.
    #[error("sessions of {longest} s that end after {inactivity} s without a request: {reason}")]
    Sessions {
        /// From the login.
        longest: u64,
        /// Without a request.
        inactivity: u64,
        /// What is accepted.
        reason: &'static str,
    },
    /// Visitors' addresses would be the load balancer's, or whatever they say.
    #[error("the subnets of the load balancer: {reason}")]
    Balancers {
        /// Said of all of them.
        reason: &'static str,
    },
    /// A secret that Apache would read as something else. The message does not have it.
    #[error("{what} {reason}")]
    Secret {
        /// Of the two.
        what: &'static str,
        /// Said of the secret.
        reason: &'static str,
    },
    /// The template and its data do not fit; a defect of this crate.
    #[error("the configuration of the login cannot be rendered: {0}")]
    Template(#[source] Box<handlebars::RenderError>),
}
