//! RebootInstances: the emulator only says yes; the machines' reconciler hears of it here.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use http::Response;

use super::request::{OperationRequest, Outcome, whole};
use crate::form::Form;
use crate::server::Body;

/// Instances that are to start again.
#[derive(Clone, Default)]
pub struct Reboots(Arc<Mutex<BTreeSet<String>>>);

impl Reboots {
    /// The instances that somebody has asked for since the last time.
    pub fn take(&self) -> BTreeSet<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn note(&self, form: &Form) {
        let instances = form.list("InstanceId").into_iter().map(str::to_owned);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(instances);
    }

    /// Notes the instances of a call that the emulator accepts.
    pub async fn reboot(&self, asked: &OperationRequest<'_>) -> Outcome<Option<Response<Body>>> {
        let (head, body) = asked.forward_unchanged().await?;
        if head.status.is_success() {
            self.note(&asked.call.form);
        }
        Ok(Some(whole(head, body)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instance_of_a_call_is_taken_once() {
        let reboots = Reboots::default();
        reboots.note(&Form::parse("Action=RebootInstances&InstanceId.1=i-1&InstanceId.2=i-2&Version=2016-11-15"));
        reboots.note(&Form::parse("Action=RebootInstances&InstanceId.1=i-2"));
        assert_eq!(reboots.take(), ["i-1", "i-2"].map(str::to_owned).into());
        assert!(reboots.take().is_empty());
    }
}
