//! Retries of calls that AWS makes as often as it is asked: only those that it has surely not made are sent again.

use aws_smithy_runtime_api::client::interceptors::context::InterceptorContext;
use aws_smithy_runtime_api::client::retries::classifiers::{
    ClassifyRetry, RetryAction, RetryClassifierPriority, RetryReason,
};
use aws_smithy_types::retry::ErrorKind;

/// For calls without a client token, such as CreateVpc: an answer that was lost, or a service that failed, says nothing about
/// whether the call was made, and the SDK's next attempt would make it a second time. Whoever asks has to list first. A call that
/// was throttled was not made, and is sent again.
#[derive(Debug, Default, Clone, Copy)]
pub struct NotTwice;

impl ClassifyRetry for NotTwice {
    fn classify_retry(&self, _: &InterceptorContext) -> RetryAction {
        RetryAction::NoActionIndicated
    }

    fn classify_retry_v2(&self, _: &InterceptorContext, previous: &RetryAction) -> RetryAction {
        match previous {
            RetryAction::RetryIndicated(RetryReason::RetryableError { kind: ErrorKind::ThrottlingError, .. }) => {
                RetryAction::NoActionIndicated
            }
            RetryAction::RetryIndicated(_) => RetryAction::RetryForbidden,
            _ => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "Not Twice"
    }

    /// After all others, which say why.
    fn priority(&self) -> RetryClassifierPriority {
        RetryClassifierPriority::run_after(RetryClassifierPriority::transient_error_classifier())
    }
}

#[cfg(test)]
mod tests {
    use aws_smithy_runtime_api::client::interceptors::context::Input;

    use super::*;

    #[test]
    fn only_what_was_surely_not_made_is_sent_again() {
        let context = InterceptorContext::new(Input::doesnt_matter());
        let says = |previous: &RetryAction| NotTwice.classify_retry_v2(&context, previous);
        for unsure in [RetryAction::transient_error(), RetryAction::server_error(), RetryAction::client_error()] {
            assert_eq!(says(&unsure), RetryAction::RetryForbidden, "{unsure}");
        }
        for sure in [RetryAction::throttling_error(), RetryAction::NoActionIndicated] {
            assert_eq!(says(&sure), RetryAction::NoActionIndicated, "{sure}");
        }
    }
}
