//! The services of AWS that the front knows, and what is different between them.

use http::StatusCode;

/// How a service writes its requests and errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// JSON, with the code in a header.
    RestJson,
    /// JSON, with the code in it.
    Json,
    /// XML of S3.
    S3,
    /// XML of EC2.
    Ec2,
    /// XML of every other service whose calls are forms, and of Route 53.
    Query,
}

/// A service, by its signing name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// Certificate Manager.
    Acm,
    /// EC2 Auto Scaling.
    AutoScaling,
    /// The EBS direct APIs.
    Ebs,
    /// Elastic Compute Cloud; a query protocol with XML of its own.
    Ec2,
    /// Both versions of Elastic Load Balancing.
    ElasticLoadBalancing,
    /// Identity and Access Management.
    Iam,
    /// Key Management Service.
    Kms,
    /// Relational Database Service.
    Rds,
    /// DNS zones and records; global.
    Route53,
    /// Simple Storage Service; the only one with its resource in the path or the host.
    S3,
    /// Passwords of databases; its signing name is `secretsmanager`.
    SecretsManager,
    /// Service Quotas.
    Quotas,
    /// Systems Manager.
    Ssm,
    /// Security Token Service.
    Sts,
    /// One that the front passes on as it is.
    Other(String),
}

impl Service {
    /// The service with this signing name.
    pub fn of(name: &str) -> Self {
        match name {
            "acm" => Self::Acm,
            "autoscaling" => Self::AutoScaling,
            "ebs" => Self::Ebs,
            "ec2" => Self::Ec2,
            "elasticloadbalancing" => Self::ElasticLoadBalancing,
            "iam" => Self::Iam,
            "kms" => Self::Kms,
            "rds" => Self::Rds,
            "route53" => Self::Route53,
            "s3" => Self::S3,
            "secretsmanager" => Self::SecretsManager,
            "servicequotas" => Self::Quotas,
            "ssm" => Self::Ssm,
            "sts" => Self::Sts,
            other => Self::Other(other.to_owned()),
        }
    }

    /// The signing name, which is also what its actions in policies begin with.
    pub fn name(&self) -> &str {
        match self {
            Self::Acm => "acm",
            Self::AutoScaling => "autoscaling",
            Self::Ebs => "ebs",
            Self::Ec2 => "ec2",
            Self::ElasticLoadBalancing => "elasticloadbalancing",
            Self::Iam => "iam",
            Self::Kms => "kms",
            Self::Rds => "rds",
            Self::Route53 => "route53",
            Self::S3 => "s3",
            Self::SecretsManager => "secretsmanager",
            Self::Quotas => "servicequotas",
            Self::Ssm => "ssm",
            Self::Sts => "sts",
            Self::Other(name) => name,
        }
    }

    pub fn protocol(&self) -> Protocol {
        match self {
            Self::Ebs => Protocol::RestJson,
            Self::Acm | Self::Kms | Self::SecretsManager | Self::Quotas | Self::Ssm => Protocol::Json,
            Self::S3 => Protocol::S3,
            Self::Ec2 => Protocol::Ec2,
            Self::AutoScaling
            | Self::ElasticLoadBalancing
            | Self::Iam
            | Self::Rds
            | Self::Route53
            | Self::Sts
            | Self::Other(_) => Protocol::Query,
        }
    }

    /// Whether bodies are small, so that they are read before anybody decides: the operation is named by `Action=` in a form, or
    /// by a header. Bodies of all others stream through.
    pub fn has_small_bodies(&self) -> bool {
        match self {
            Self::Acm
            | Self::AutoScaling
            | Self::Ec2
            | Self::ElasticLoadBalancing
            | Self::Iam
            | Self::Kms
            | Self::Rds
            | Self::Route53
            | Self::SecretsManager
            | Self::Quotas
            | Self::Ssm
            | Self::Sts => true,
            Self::Ebs | Self::S3 | Self::Other(_) => false,
        }
    }

    /// What it answers to too many requests.
    pub fn throttling(&self) -> (StatusCode, &'static str) {
        match self {
            Self::S3 => (StatusCode::SERVICE_UNAVAILABLE, "SlowDown"),
            Self::Ec2 => (StatusCode::SERVICE_UNAVAILABLE, "RequestLimitExceeded"),
            Self::Acm | Self::Kms | Self::Ssm => (StatusCode::BAD_REQUEST, "ThrottlingException"),
            Self::Ebs => (StatusCode::BAD_REQUEST, "RequestThrottledException"),
            Self::AutoScaling
            | Self::ElasticLoadBalancing
            | Self::Iam
            | Self::Rds
            | Self::Route53
            | Self::SecretsManager
            | Self::Quotas
            | Self::Sts
            | Self::Other(_) => (StatusCode::BAD_REQUEST, "Throttling"),
        }
    }

    /// The code of a failure of its own, with status 500.
    pub fn internal_error(&self) -> &'static str {
        match self {
            Self::Kms => "KMSInternalException",
            Self::Ebs => "InternalServerException",
            Self::Acm | Self::Ssm => "InternalServerError",
            Self::AutoScaling
            | Self::Ec2
            | Self::ElasticLoadBalancing
            | Self::Iam
            | Self::Rds
            | Self::Route53
            | Self::S3
            | Self::SecretsManager
            | Self::Quotas
            | Self::Sts
            | Self::Other(_) => "InternalError",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_that_of_its_service() {
        for name in ["acm", "autoscaling", "ebs", "ec2", "elasticloadbalancing", "iam", "kms", "rds", "route53", "s3"] {
            let service = Service::of(name);
            assert_eq!(service.name(), name);
            assert!(!matches!(service, Service::Other(_)), "{name}");
        }
        for name in ["secretsmanager", "servicequotas", "ssm", "sts"] {
            assert!(Service::of(name).has_small_bodies() && Service::of(name).name() == name, "{name}");
        }
        assert_eq!(Service::of("dynamodb").name(), "dynamodb");
    }
}
