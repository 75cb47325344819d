//! Which properties the resources of a cluster have. What people and JSON call them is in `show.rs`.

pub(crate) type Fields = futuswarm_converge::Fields<Field>;
/// What differs in one resource.
pub(crate) type Changed = futuswarm_converge::Differences<Field>;

/// A property of a resource of whatever kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    // Of many kinds.
    /// A tag of the cluster's.
    Tag(String),
    /// Tags that are not described with the resource.
    SpecTags,
    State,
    Vpc,
    Subnets,
    SecurityGroup,
    HealthCheck,
    Tls,

    // Networks.
    Cidr,
    DnsHostnames,
    Zone,
    PublicAddresses,
    AttachedTo,
    /// By its destination.
    Route(String),
    /// By its id.
    Subnet(String),
    /// By its id.
    RouteTable(String),
    /// The id on the VPC.
    S3Endpoint,
    /// By all that it says.
    Rule(String),
    PeerRoutes,
    PeerRole,
    Ldap,
    /// By its tag on the VPC.
    Fingerprint(&'static str),

    // Identities and keys.
    Rotation,
    Trust,
    /// By its name, or its ARN when it is a managed one.
    Policy(String),
    Role,
    PublicKey,

    // The bucket and its objects.
    Versioning,
    PublicAccess,
    Encryption,
    BucketPolicy,
    /// By its rule.
    Expiry(String),
    Swarm,
    /// By its dotted path.
    SpecValue(String),
    /// What names a program: version, SHA-256 or length.
    Program(&'static str),

    // The database.
    Class,
    Storage,
    Engine,
    SecondZone,
    Backups,
    DeletionProtection,
    Encrypted,
    Public,

    // Balancers, certificates and names.
    Scheme,
    AttributeIdleTimeout,
    AttributeDropInvalidHeaders,
    IdleTimeout,
    CrossZone,
    /// Of a classic balancer, by its port.
    Listener(i32),
    Action,
    Certificate,
    FurtherCertificates,
    Port,
    /// Which hosts a listener leads past the login, and where to.
    OpenRule,
    Names,
    /// Where this name leads.
    DnsName(String),

    // Launch templates.
    Image,
    InstanceType,
    Profile,
    KeyPair,
    RootVolume,
    Metadata,
    Shutdown,
    UserData,
    InstanceTags,

    // Auto Scaling groups.
    Nodes,
    MinSize,
    MaxSize,
    Template,
    InstanceTypes,
    Spot,
    /// The target group or classic balancer that brings requests.
    Attachment,
    TerminationHook,
    ScaleInProtection,
}

impl Field {
    /// The port of a classic balancer's listener.
    pub(crate) fn listener_port(&self) -> Option<i32> {
        match self {
            Self::Listener(port) => Some(*port),
            _ => None,
        }
    }
}

/// A list as the value of a field: in whatever order it came, it is the same.
pub(crate) fn sorted(words: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let mut words: Vec<String> = words.into_iter().map(|word| word.as_ref().to_owned()).collect();
    words.retain(|word| !word.is_empty());
    words.sort_unstable();
    words.join(" ")
}
