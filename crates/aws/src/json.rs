//! Services of AWS's JSON protocol that we ask so little that their generated crate is not worth a minute of compiling: a call is a
//! JSON document, and the SDK's own runtime signs, sends and repeats it.

mod endpoint;

use std::fmt;

use aws_config::{Region, SdkConfig};
use aws_runtime::auth::sigv4::{SCHEME_ID, SigV4AuthScheme};
use aws_runtime::auth::{SigV4OperationSigningConfig, SigningOptions};
use aws_runtime::invocation_id::InvocationIdInterceptor;
use aws_runtime::request_info::RequestInfoInterceptor;
use aws_runtime::retries::classifiers::AwsErrorCodeClassifier;
use aws_runtime::user_agent::{ApiMetadata, UserAgentInterceptor};
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime::client::retries::classifiers::{HttpStatusCodeClassifier, TransientErrorClassifier};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::auth::static_resolver::StaticAuthSchemeOptionResolver;
use aws_smithy_runtime_api::client::auth::{AuthSchemeOptionResolverParams, SharedAuthScheme};
use aws_smithy_runtime_api::client::identity::SharedIdentityResolver;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError, SensitiveOutput};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponentsBuilder;
use aws_smithy_runtime_api::client::runtime_plugin::StaticRuntimePlugin;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::Layer;
use aws_smithy_types::error::metadata::{ErrorMetadata, ProvideErrorMetadata};
use aws_types::SigningName;
use aws_types::region::SigningRegion;
use serde_json::Value;

use crate::{BehaviorVersion, Error, Failure};

/// A service, in the words of its API model.
#[derive(Debug)]
pub struct Service {
    /// Its `serviceId`, for example `SSM`; also names the section of a profile and the variable that change its endpoint.
    pub id: &'static str,
    /// Its `endpointPrefix` and `signingName`, for example `ssm`.
    pub name: &'static str,
    /// Its `targetPrefix`, for example `AmazonSSM`.
    pub target: &'static str,
}

/// AWS Systems Manager (API version 2014-11-06): parameters.
pub static SSM: Service = Service { id: "SSM", name: "ssm", target: "AmazonSSM" };

/// AWS Secrets Manager (API version 2017-10-17): passwords that AWS makes and changes.
pub static SECRETS_MANAGER: Service =
    Service { id: "Secrets Manager", name: "secretsmanager", target: "secretsmanager" };

/// A client of one such service.
#[derive(Debug, Clone)]
pub struct Json {
    service: &'static Service,
    sdk: SdkConfig,
}

/// What the service has refused.
#[derive(Debug)]
struct Refusal(ErrorMetadata);

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl std::error::Error for Refusal {}

impl ProvideErrorMetadata for Refusal {
    fn meta(&self) -> &ErrorMetadata {
        &self.0
    }
}

impl Json {
    /// A client with the settings that all clients share.
    #[must_use]
    pub fn new(service: &'static Service, sdk: &SdkConfig) -> Self {
        Self { service, sdk: sdk.clone() }
    }

    /// Makes one call; returns the members of the answer.
    ///
    /// # Errors
    /// When AWS refuses or does not answer.
    pub async fn call(&self, operation: &'static str, input: Value) -> Result<Value, Error> {
        let Some(region) = self.sdk.region().cloned() else {
            let message = "no region is known: set AWS_REGION".to_owned();
            return Err(Failure { operation, code: None, message, request_id: None, status: None }.into());
        };
        let outcome = self.operation(operation, region).invoke(input).await;
        outcome.map_err(|error| Error::new(operation, error))
    }

    fn operation(&self, name: &'static str, region: Region) -> Operation<Value, Value, Refusal> {
        let target = format!("{}.{name}", self.service.target);
        let mut builder = Operation::builder()
            .service_name(self.service.id)
            .operation_name(name)
            .behavior_version(self.sdk.behavior_version().unwrap_or_else(BehaviorVersion::latest))
            .endpoint_url(&endpoint::of(self.service, &self.sdk, &region))
            .retry_classifier(HttpStatusCodeClassifier::default())
            .retry_classifier(TransientErrorClassifier::<Refusal>::new())
            .retry_classifier(AwsErrorCodeClassifier::<Refusal>::new())
            .interceptor(RequestInfoInterceptor::new())
            .interceptor(UserAgentInterceptor::new())
            .interceptor(InvocationIdInterceptor::new())
            .with_connection_poisoning()
            .runtime_plugin(self.settings(region));
        if let Some(retries) = self.sdk.retry_config() {
            builder = builder.standard_retry(retries);
        }
        if let Some(timeouts) = self.sdk.timeout_config() {
            builder = builder.timeout_config(timeouts.clone());
        }
        builder.serializer(move |input: Value| request(&target, &input)).deserializer(answer).build()
    }

    /// What the builder of an operation has no words for: who asks, and how it is signed.
    fn settings(&self, region: Region) -> StaticRuntimePlugin {
        let mut layer = Layer::new("settings");
        layer.store_put(AuthSchemeOptionResolverParams::new(()));
        layer.store_put(ApiMetadata::new(self.service.name, env!("CARGO_PKG_VERSION")));
        layer.store_put(SigV4OperationSigningConfig {
            region: Some(SigningRegion::from(region)),
            name: Some(SigningName::from_static(self.service.name)),
            signing_options: SigningOptions::default(),
            ..SigV4OperationSigningConfig::default()
        });
        // Some answers are passwords: no log of the runtime has any.
        layer.store_put(SensitiveOutput);
        if let Some(name) = self.sdk.app_name() {
            layer.store_put(name.clone());
        }
        let mut components = RuntimeComponentsBuilder::new("settings")
            .with_auth_scheme(SharedAuthScheme::new(SigV4AuthScheme::new()))
            .with_auth_scheme_option_resolver(Some(StaticAuthSchemeOptionResolver::new(vec![SCHEME_ID])))
            .with_http_client(self.sdk.http_client())
            .with_sleep_impl(self.sdk.sleep_impl())
            .with_time_source(self.sdk.time_source())
            .with_identity_cache(self.sdk.identity_cache());
        if let Some(credentials) = self.sdk.credentials_provider() {
            components.set_identity_resolver(SCHEME_ID, SharedIdentityResolver::new(credentials));
        }
        StaticRuntimePlugin::new().with_config(layer.freeze()).with_runtime_components(components)
    }
}

fn request(target: &str, input: &Value) -> Result<HttpRequest, BoxError> {
    let request = http::Request::builder()
        .method(http::Method::POST)
        .uri("/")
        .header(http::header::CONTENT_TYPE, "application/x-amz-json-1.1")
        .header("x-amz-target", target);
    Ok(request.body(SdkBody::from(input.to_string()))?.try_into()?)
}

fn answer(response: &HttpResponse) -> Result<Value, OrchestratorError<Refusal>> {
    let body = response.body().bytes().unwrap_or_default();
    if !response.status().is_success() {
        return Err(OrchestratorError::operation(Refusal(refusal(response, body))));
    }
    serde_json::from_slice(body).map_err(|error| OrchestratorError::response(error.into()))
}

/// The error's code and message ("AWS JSON 1.1 protocol", Operation error serialization, Smithy): the code stands in the body or in a
/// header, with the namespace of its shape before it and perhaps a URI after it.
fn refusal(response: &HttpResponse, body: &[u8]) -> ErrorMetadata {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |names: [&str; 2]| names.iter().find_map(|name| body[*name].as_str());
    let code = response.headers().get("x-amzn-errortype").or_else(|| text(["__type", "code"]));
    let code =
        code.map(|code| code.split(':').next().unwrap_or(code)).map(|code| code.rsplit('#').next().unwrap_or(code));
    let mut metadata = ErrorMetadata::builder();
    if let Some(code) = code {
        metadata = metadata.code(code);
    }
    if let Some(message) = text(["message", "Message"]) {
        metadata = metadata.message(message);
    }
    metadata.build()
}

#[cfg(test)]
mod tests;
