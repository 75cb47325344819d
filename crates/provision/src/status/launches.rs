//! What the scaling activities of a group say about its launches.

use aws_sdk_autoscaling::types::{Activity, ScalingActivityStatusCode as Status};

/// As many activities as one question asks for. AWS describes those in progress first (API Reference, DescribeScalingActivities), a
/// group has at most as many of them as instances are missing, and each dead instance is followed by its termination.
pub(super) const PAGE: i32 = 50;
/// How AWS describes the end of an instance; of a dead launch it goes well, and says nothing of why.
const TERMINATION: &str = "Terminating EC2 instance";

/// Why the newest launch that has ended went wrong, in AWS's words, and how long ago; nothing when it went well.
///
/// "If an attempt to launch instances failed, the StatusCode value is Failed or Cancelled and the StatusMessage element in the
/// response indicates the cause of the failure" (API Reference, DescribeScalingActivities): Failed when EC2 refused the launch,
/// Cancelled when the instance was started and died, as without a grant for the key of its volume ("Instance became unhealthy
/// while waiting for instance to be in InService state. Termination Reason: Client.InternalError: Client error on launch").
pub(super) fn failure(activities: &[Activity], now: i64) -> Option<String> {
    let started = |activity: &Activity| activity.start_time().map_or(0, |time| time.secs());
    let is_launch = |activity: &&Activity| !activity.description().unwrap_or_default().starts_with(TERMINATION);
    let (mut ended, mut under_way) = (Vec::new(), None::<i64>);
    for activity in activities.iter().filter(is_launch) {
        match activity.status_code() {
            Some(Status::Successful | Status::Failed | Status::Cancelled) => ended.push(activity),
            _ => under_way = under_way.max(Some(started(activity))),
        }
    }
    // Not in the order of the answer: of those that began in one second the first one counts.
    let newest = ended.into_iter().rev().max_by_key(|activity| started(activity))?;
    if newest.status_code() == Some(&Status::Successful) {
        return None;
    }
    let ago = match now.saturating_sub(started(newest)).max(0) {
        seconds if seconds < 120 => format!("{seconds} s ago"),
        seconds => format!("{} min ago", seconds / 60),
    };
    let again = under_way.is_some_and(|other| other >= started(newest));
    Some(format!(
        "{} ({}, {ago}{})",
        newest.status_message().unwrap_or("AWS says no reason"),
        newest.status_code().map_or("?", Status::as_str),
        if again { "; another try is under way" } else { "" }
    ))
}

#[cfg(test)]
mod tests {
    use aws_sdk_autoscaling::primitives::DateTime;

    use super::*;

    const NOW: i64 = 1_000_000;

    fn activity(ago: i64, status: Status, message: Option<&str>, description: &str) -> Activity {
        Activity::builder()
            .activity_id("a")
            .auto_scaling_group_name("g")
            .cause("c")
            .start_time(DateTime::from_secs(NOW - ago))
            .status_code(status)
            .set_status_message(message.map(str::to_owned))
            .description(description)
            .build()
    }

    fn launch(ago: i64, status: Status, message: Option<&str>) -> Activity {
        activity(ago, status, message, "Launching a new EC2 instance: i-0")
    }

    const QUOTA: &str = "You have requested more vCPU capacity than your current vCPU limit of 1 allows for the instance bucket that the specified instance type belongs to.";
    const DEAD: &str = "Instance became unhealthy while waiting for instance to be in InService state. Termination Reason: Client.InternalError: Client error on launch";

    #[test]
    fn the_newest_launch_that_has_ended_counts() {
        let none: Option<&str> = None;
        for (activities, expected) in [
            (vec![], None),
            (vec![launch(3, Status::Failed, Some(QUOTA))], Some(format!("{QUOTA} (Failed, 3 s ago)"))),
            // In progress comes first, whenever it began; what it is about is still open.
            (
                vec![launch(1, Status::PreInService, none), launch(9, Status::Cancelled, Some(DEAD))],
                Some(format!("{DEAD} (Cancelled, 9 s ago; another try is under way)")),
            ),
            (
                vec![launch(20, Status::InProgress, none), launch(9, Status::Failed, Some(QUOTA))],
                Some(format!("{QUOTA} (Failed, 9 s ago)")),
            ),
            // The end of the dead instance is newer, and goes well.
            (
                vec![
                    activity(2, Status::Successful, none, "Terminating EC2 instance: i-0"),
                    launch(200, Status::Cancelled, Some(DEAD)),
                ],
                Some(format!("{DEAD} (Cancelled, 3 min ago)")),
            ),
            (vec![launch(2, Status::Successful, none), launch(200, Status::Failed, Some(QUOTA))], None),
            (vec![launch(2, Status::InProgress, none), launch(5, Status::Successful, none)], None),
            (
                vec![launch(300, Status::Failed, Some("old")), launch(7, Status::Cancelled, None)],
                Some("AWS says no reason (Cancelled, 7 s ago)".to_owned()),
            ),
            // A clock that is behind AWS's.
            (vec![launch(-5, Status::Failed, Some(QUOTA))], Some(format!("{QUOTA} (Failed, 0 s ago)"))),
        ] {
            assert_eq!(failure(&activities, NOW), expected, "{activities:?}");
        }
    }

    #[test]
    fn of_two_that_began_at_once_the_first_of_the_answer_counts() {
        let both = [launch(4, Status::Failed, Some("first")), launch(4, Status::Failed, Some("second"))];
        assert_eq!(failure(&both, NOW).unwrap(), "first (Failed, 4 s ago)");
    }
}
