//! What can be checked of the arguments of a run before anything is sent: a mistake in the last of them must not cost an upload.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Result, aws, aws_on};
use crate::progress::{Event, Report};
use crate::region::RegionClients;

/// Makes sure that these can be accounts, each named once.
///
/// # Errors
/// When one is not an account id, or is there twice.
pub fn accounts(given: &[String]) -> Result<()> {
    if let Some(wrong) = given.iter().find(|id| id.len() != 12 || !id.bytes().all(|byte| byte.is_ascii_digit())) {
        return Err(Error::Refused(format!("{wrong} is no AWS account: an account id has 12 digits")));
    }
    once(given, "the account")
}

/// Makes sure that each region is named once: those where the image is published, and those that it is copied to.
///
/// # Errors
/// When one is named twice.
pub fn regions(published: &[String], copied: &[String]) -> Result<()> {
    if let Some(both) = copied.iter().find(|region| published.contains(region)) {
        return Err(Error::Refused(format!("{both} gets the image anyway: do not copy it there, too")));
    }
    once(published, "the region")?;
    once(copied, "the region")
}

fn once(given: &[String], what: &str) -> Result<()> {
    let mut earlier = BTreeSet::new();
    match given.iter().find(|one| !earlier.insert(*one)) {
        Some(twice) => Err(Error::Refused(format!("{what} {twice} is named twice"))),
        None => Ok(()),
    }
}

/// Region → subnet of its smoke boot. Each is given as `REGION=SUBNET`; a subnet alone is one of the first region.
///
/// # Errors
/// When one is of no region of the run, or a region has two.
pub fn smoke_subnets(given: &[String], regions: &[String]) -> Result<BTreeMap<String, String>> {
    let mut subnets = BTreeMap::new();
    for text in given {
        let (region, subnet) = text.split_once('=').unwrap_or((regions.first().map_or("", String::as_str), text));
        if !regions.iter().any(|known| known == region) {
            let known = regions.join(", ");
            return Err(Error::Refused(format!("--smoke-subnet {text}: {region} is no region of this run ({known})")));
        }
        if !subnet.starts_with("subnet-") {
            return Err(Error::Refused(format!(
                "--smoke-subnet {text}: {subnet} is no subnet: its id begins with subnet-"
            )));
        }
        if subnets.insert(region.to_owned(), subnet.to_owned()).is_some() {
            return Err(Error::Refused(format!("--smoke-subnet {text}: {region} has another subnet already")));
        }
    }
    Ok(subnets)
}

/// Makes sure that there are these regions and that the account may use them. `ask` is any region that is known to be one.
///
/// # Errors
/// When there is no such region, or EC2 cannot be asked.
pub async fn known_regions(ask: &RegionClients, names: &[String], report: Report<'_>) -> Result<()> {
    let answer = ask.ec2.describe_regions().all_regions(true).send().await;
    let known = match answer.map_err(aws(&ask.region, "DescribeRegions")) {
        Err(error) if error.is_denied() => return unchecked(&error, "regions", report),
        answer => answer?.regions.unwrap_or_default(),
    };
    for name in names {
        let Some(region) = known.iter().find(|region| region.region_name() == Some(name)) else {
            let message = format!("there is no region {name}: `aws ec2 describe-regions --all-regions` lists them");
            return Err(Error::Refused(message));
        };
        if region.opt_in_status() == Some("not-opted-in") {
            return Err(Error::Refused(format!(
                "the account has not enabled the region {name}: `aws account enable-region --region-name {name}`, or leave it out"
            )));
        }
    }
    Ok(())
}

/// Makes sure that there is this subnet.
///
/// # Errors
/// When there is none, or EC2 cannot be asked.
pub async fn known_subnet(clients: &RegionClients, id: &str, report: Report<'_>) -> Result<()> {
    let answer = clients.ec2.describe_subnets().subnet_ids(id).send().await;
    match answer.map_err(aws_on(&clients.region, "DescribeSubnets", id)) {
        Ok(_) => Ok(()),
        Err(error) if error.is_denied() => unchecked(&error, "subnets", report),
        Err(error) if error.is(&["InvalidSubnetID.NotFound", "InvalidSubnetId.Malformed", "InvalidParameterValue"]) => {
            Err(Error::Refused(format!(
                "{0}: there is no subnet {id}: `aws ec2 describe-subnets --region {0}` lists them",
                clients.region
            )))
        }
        Err(error) => Err(error),
    }
}

/// Without the permission to list nothing is known to be wrong.
fn unchecked(error: &Error, what: &str, report: Report<'_>) -> Result<()> {
    report(Event::Note(format!("{error}; so the {what} are not checked before the upload")));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn accounts_have_twelve_digits_and_are_named_once() {
        accounts(&words("123456789012 210987654321")).unwrap();
        for (given, reason) in [
            ("123456789012 1234", "1234 is no AWS account"),
            ("12345678901x", "is no AWS account"),
            ("123456789012 123456789012", "the account 123456789012 is named twice"),
        ] {
            let error = accounts(&words(given)).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn a_region_is_named_once() {
        regions(&words("eu-west-1"), &words("eu-north-1 eu-west-2")).unwrap();
        for (published, copied, reason) in [
            ("eu-west-1 eu-west-1", "", "eu-west-1 is named twice"),
            ("eu-west-1", "eu-north-1 eu-north-1", "eu-north-1 is named twice"),
            ("eu-west-1 eu-north-1", "eu-north-1", "do not copy it there"),
        ] {
            let error = regions(&words(published), &words(copied)).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn a_subnet_belongs_to_the_first_region_or_to_the_one_that_is_named() {
        let regions = words("eu-west-1 eu-north-1");
        let subnets = smoke_subnets(&words("eu-north-1=subnet-2 subnet-1"), &regions).unwrap();
        let pairs: Vec<_> = subnets.iter().map(|(region, subnet)| (region.as_str(), subnet.as_str())).collect();
        assert_eq!(pairs, [("eu-north-1", "subnet-2"), ("eu-west-1", "subnet-1")]);
        for (given, reason) in [
            ("eu-south-1=subnet-1", "eu-south-1 is no region of this run (eu-west-1, eu-north-1)"),
            ("subnet-1 eu-west-1=subnet-2", "has another subnet already"),
            ("vpc-1", "vpc-1 is no subnet"),
        ] {
            let error = smoke_subnets(&words(given), &regions).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
