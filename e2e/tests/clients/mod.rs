//! AWS clients of an emulated account's owner, for tests that use the crates' own code against it.

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use futuswarm_testkit::Account;

/// Settings for the SDK's clients.
pub async fn sdk(account: &Account) -> futuswarm_aws::SdkConfig {
    let setting = |key: &str| account.setting(key).to_owned();
    let credentials =
        Credentials::new(setting("AWS_ACCESS_KEY_ID"), setting("AWS_SECRET_ACCESS_KEY"), None, None, "local cloud");
    let sdk = futuswarm_aws::config(Some(&setting("AWS_REGION"))).await.into_builder();
    let sdk = sdk.endpoint_url(setting("AWS_ENDPOINT_URL"));
    futuswarm_aws::direct(sdk.credentials_provider(SharedCredentialsProvider::new(credentials)).build())
}
