//! Of routes that HAProxy refuses together, those that it refuses: they are left out, and all others are served.

use std::future::Future;

use crate::routes::{Refusal, Route};

/// Splits routes into those that are accepted together and those that are refused, each with HAProxy's reason. `check` says why
/// HAProxy refuses some routes; it is asked once when all is well, and a few times per culprit otherwise.
///
/// # Errors
/// With the first failure of `check` itself.
pub async fn without_culprits<E, F: Future<Output = Result<Option<String>, E>>>(
    routes: Vec<Route>,
    mut check: impl FnMut(Vec<Route>) -> F,
) -> Result<(Vec<Route>, Vec<Refusal>), E> {
    let (mut good, mut refused): (Vec<Route>, _) = (Vec::new(), Vec::new());
    let mut parts = vec![routes];
    while let Some(mut part) = parts.pop() {
        // Together with those that are good: two may be refused only beside each other.
        let together = [good.as_slice(), part.as_slice()].concat();
        let Some(reason) = check(together.clone()).await? else {
            good = together;
            continue;
        };
        match part.len() {
            0 => {}
            1 => refused.extend(part.pop().map(|route| Refusal { service: route.service, reason })),
            half => {
                let rest = part.split_off(half / 2);
                parts.extend([rest, part]);
            }
        }
    }
    good.sort_by(|a, b| (&a.service, a.destination).cmp(&(&b.service, b.destination)));
    Ok((good, refused))
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::*;

    fn routes(count: usize) -> Vec<Route> {
        let route = |index| Route { service: format!("s{index:03}"), ..Route::default() };
        (0..count).map(route).collect()
    }

    fn names(routes: &[Route]) -> Vec<&str> {
        routes.iter().map(|route| route.service.as_str()).collect()
    }

    #[tokio::test]
    async fn only_the_culprits_are_left_out() {
        let mut checks = 0;
        let (good, refused) = without_culprits(routes(100), |some| {
            checks += 1;
            let bad = some.iter().find(|route| ["s007", "s042"].contains(&route.service.as_str()));
            ready(Ok::<_, ()>(bad.map(|route| format!("{} is bad", route.service))))
        })
        .await
        .unwrap();
        assert_eq!(good.len(), 98);
        assert_eq!(
            refused.iter().map(|one| (one.service.as_str(), one.reason.as_str())).collect::<Vec<_>>(),
            [("s007", "s007 is bad"), ("s042", "s042 is bad")]
        );
        assert!(checks < 30, "{checks} checks");
    }

    #[tokio::test]
    async fn one_check_is_enough_when_all_is_well() {
        let mut checks = 0;
        let (good, refused) = without_culprits(routes(5), |_| {
            checks += 1;
            ready(Ok::<_, ()>(None))
        })
        .await
        .unwrap();
        assert_eq!((names(&good), refused.len(), checks), (vec!["s000", "s001", "s002", "s003", "s004"], 0, 1));
    }

    #[tokio::test]
    async fn of_two_that_do_not_go_together_one_is_served() {
        let both = |some: &[Route]| ["s001", "s002"].iter().all(|name| names(some).contains(name));
        let (good, refused) =
            without_culprits(routes(4), |some| ready(Ok::<_, ()>(both(&some).then(|| "not both".to_owned()))))
                .await
                .unwrap();
        assert_eq!((good.len(), refused.len()), (3, 1));
    }

    #[tokio::test]
    async fn a_check_that_cannot_be_made_refuses_nobody() {
        assert_eq!(without_culprits(routes(4), |_| ready(Err("no haproxy"))).await, Err("no haproxy"));
    }

    #[tokio::test]
    async fn when_everything_is_refused_nobody_is_served_and_it_ends() {
        let (good, refused) = without_culprits(routes(3), |_| ready(Ok::<_, ()>(Some("no".to_owned())))).await.unwrap();
        assert_eq!((good.len(), refused.len()), (0, 3));
    }
}
