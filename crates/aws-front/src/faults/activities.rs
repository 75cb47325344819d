//! Activities of Auto Scaling groups that a rehearsal invents: the emulator has none that fail.

use futuswarm_local_api::faults::Activity;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::form::Form;
use crate::xml::{Element, leaf, node, push};

/// As many as one answer has at most, and when nothing is asked for.
const PAGE: usize = 100;

/// The result of DescribeScalingActivities, a page at a time, in the order of the list.
pub(super) fn described(activities: &[Activity], form: &Form, now: OffsetDateTime) -> Vec<Element> {
    let group = form.get("AutoScalingGroupName").unwrap_or_default();
    let number = |field: &str| form.get(field).and_then(|text| text.parse::<usize>().ok());
    let (skipped, most) = (number("NextToken").unwrap_or(0), number("MaxRecords").unwrap_or(PAGE).min(PAGE));
    let meant = activities.iter().filter(|one| one.group.as_deref().is_none_or(|of| group.is_empty() || of == group));
    let meant: Vec<&Activity> = meant.collect();
    let page = meant.iter().enumerate().skip(skipped).take(most);
    let mut described = vec![node("Activities", page.map(|(index, activity)| member(activity, index, group, now)))];
    if skipped + most < meant.len() {
        described.push(leaf("NextToken", (skipped + most).to_string()));
    }
    described
}

fn member(activity: &Activity, index: usize, group: &str, now: OffsetDateTime) -> Element {
    let started = now - time::Duration::seconds(activity.started_seconds_ago);
    let started = started.format(&Rfc3339).unwrap_or_default();
    let (is_over, status) = (activity.status.is_over(), activity.status.as_str());
    let cause = format!(
        "At {started} an instance was started in response to a difference between desired and actual capacity."
    );
    let mut member = node(
        "member",
        [
            leaf("ActivityId", format!("00000000-0000-4000-8000-{index:012x}")),
            leaf("AutoScalingGroupName", activity.group.as_deref().unwrap_or(group)),
            leaf("Description", activity.description.as_deref().unwrap_or("Launching a new EC2 instance")),
            leaf("Cause", cause),
            leaf("StartTime", started.as_str()),
            leaf("StatusCode", status),
            leaf("Progress", if is_over { "100" } else { "30" }),
        ],
    );
    if is_over {
        push(&mut member, leaf("EndTime", started));
    }
    if let Some(message) = &activity.message {
        push(&mut member, leaf("StatusMessage", message));
    }
    member
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::write;

    #[test]
    fn a_page_has_what_was_asked_for_in_the_order_of_the_list() {
        let activities: Vec<Activity> = serde_json::from_str(
            r#"[{"status":"InProgress"},
                {"status":"Cancelled","message":"a & b","started_seconds_ago":60},
                {"status":"Failed","group":"other"},
                {"status":"Successful","description":"Terminating EC2 instance: i-1"}]"#,
        )
        .unwrap();
        let ask =
            |text: &str| write(&node("R", described(&activities, &Form::parse(text), OffsetDateTime::UNIX_EPOCH)));
        let statuses = |xml: &str| -> Vec<String> {
            let parts = xml.split("<StatusCode>").skip(1);
            parts.map(|part| part.split('<').next().unwrap_or_default().to_owned()).collect()
        };
        let mine = ask("AutoScalingGroupName=mine");
        assert_eq!(statuses(&mine), ["InProgress", "Cancelled", "Successful"]);
        assert!(mine.contains("<StatusMessage>a &amp; b</StatusMessage>"), "{mine}");
        assert!(mine.contains("<StartTime>1969-12-31T23:59:00Z</StartTime>"), "{mine}");
        assert_eq!(mine.matches("<EndTime>").count(), 2, "what is in progress has no end");
        assert_eq!(statuses(&ask("")), ["InProgress", "Cancelled", "Failed", "Successful"]);
        let first = ask("AutoScalingGroupName=mine&MaxRecords=2");
        assert!(
            statuses(&first) == ["InProgress", "Cancelled"] && first.contains("<NextToken>2</NextToken>"),
            "{first}"
        );
        let rest = ask("AutoScalingGroupName=mine&MaxRecords=2&NextToken=2");
        assert!(statuses(&rest) == ["Successful"] && !rest.contains("NextToken"), "{rest}");
    }
}
