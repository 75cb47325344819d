//! The spec in the bucket, where nodes and the next operator find it.

use futuswarm_converge::Resource;
use futuswarm_model::keys;
use futuswarm_spec::Spec;
use serde_json::Value;

use super::bucket;
use crate::error::{Error, incomplete};
use crate::field::{Changed, Field, Fields};
use crate::{Aws, Run, components};

pub(crate) struct SpecObject;

/// Every value of a document by its dotted path.
pub(super) fn flatten(prefix: &str, value: &Value, fields: Fields) -> Fields {
    let inner = |key: &str| if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") };
    match value {
        Value::Object(map) => map.iter().fold(fields, |fields, (key, value)| flatten(&inner(key), value, fields)),
        Value::Null => fields,
        Value::String(text) => fields.with(Field::SpecValue(prefix.to_owned()), text),
        other => fields.with(Field::SpecValue(prefix.to_owned()), other),
    }
}

impl Resource<Run> for SpecObject {
    type Observed = Value;

    fn kind(&self) -> &'static str {
        "spec"
    }

    fn name(&self, run: &Run) -> String {
        bucket::object_name(&run.cluster, keys::SPEC)
    }

    fn component(&self) -> String {
        components::SPEC.to_owned()
    }

    fn depends_on(&self) -> Vec<String> {
        vec![components::BUCKET.to_owned()]
    }

    fn holds_data(&self) -> bool {
        true
    }

    async fn observe(&self, aws: &Aws, run: &Run) -> Result<Option<Value>, Error> {
        match bucket::object::<Value>(aws, run, keys::SPEC).await {
            Ok(observed) => Ok(observed.map(|observed| observed.value)),
            // Somebody wrote something else there.
            Err(futuswarm_store::Error::Malformed { .. }) => Ok(Some(Value::Null)),
            Err(error) => Err(error.into()),
        }
    }

    fn id(&self, _: &Value) -> String {
        components::SPEC.to_owned()
    }

    fn desired(&self, run: &Run) -> Result<Fields, Error> {
        let spec: &Spec = &run.cluster.spec;
        let value = serde_json::to_value(spec).map_err(|_| incomplete("PutObject", "spec")())?;
        Ok(flatten("", &value, Fields::new()))
    }

    fn current(&self, _: &Run, observed: &Value) -> Fields {
        flatten("", observed, Fields::new())
    }

    async fn create(&self, aws: &Aws, run: &Run) -> Result<String, Error> {
        aws.store.put(keys::SPEC, &run.cluster.spec).await?;
        Ok(components::SPEC.to_owned())
    }

    async fn update(&self, aws: &Aws, run: &Run, _: &Value, _: &Changed) -> Result<(), Error> {
        self.create(aws, run).await.map(|_| ())
    }

    async fn delete(&self, aws: &Aws, _: &Run, _: &Value) -> Result<(), Error> {
        Ok(aws.store.delete(keys::SPEC).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_spec_is_shown_key_by_key() {
        let old = serde_json::json!({ "groups": { "workers": { "max": 2, "zones": ["a"] } }, "account": null });
        let new = serde_json::json!({ "groups": { "workers": { "max": 3, "zones": ["a"] } }, "account": "1" });
        let fields = |value: &Value| flatten("", value, Fields::new());
        let texts: Vec<String> =
            fields(&new).differences(&fields(&old)).for_people().iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["account: 1 is missing", "groups.workers.max: 2 → 3"]);
    }

    #[test]
    fn nodes_find_the_networks_of_their_firewall_in_it() {
        let text = include_str!("../../../../clusters/example.toml")
            .replace("# allowed_cidrs = []", "allowed_cidrs = [\"203.0.113.7/32\"]");
        let spec = Spec::parse("example", &text).unwrap();
        let networks = futuswarm_firewall::Networks::of_specification(serde_json::to_value(&spec).unwrap()).unwrap();
        assert_eq!(networks.vpc, [spec.network.cidr]);
        assert_eq!((&networks.nodes, networks.nodes.len()), (&spec.network.public_subnets, 3));
        assert_eq!(networks.ssh, ["203.0.113.7/32".parse().unwrap()]);
        assert!(!networks.internal_balancer);
    }
}
