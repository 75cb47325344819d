//! A vault in memory that opens nothing with another key or under another context, as KMS does, for tests of the rules above it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futuswarm_faults::Faults;

use crate::kms::legacy_failed;
use crate::{
    Context, DataKey, DataKeys, DocumentContext, Error, LegacyKey, LegacyKeys, Secret, Vault, damaged,
    damaged_document, service,
};

/// Keys are their names: every vault in memory has the same. It hides nothing.
#[derive(Debug, Clone)]
pub struct MemoryVault {
    faults: Faults,
}

impl MemoryVault {
    /// A vault whose calls fail as `faults` say.
    #[must_use]
    pub fn new(faults: Faults) -> Self {
        Self { faults }
    }
}

impl Vault for MemoryVault {
    async fn seal(&self, key: &str, context: &Context, secret: &Secret) -> Result<String, Error> {
        let seal = || async { Ok(STANDARD.encode(format!("{}{}", lid(key, context), secret.expose()))) };
        let failed = |reason: &str| service(key, context, failure("Encrypt", None, reason));
        self.faults.around(self.faults.draw(), seal, failed).await
    }

    async fn open(&self, key: &str, context: &Context, sealed: &str) -> Result<Secret, Error> {
        let open = || async {
            let bytes = STANDARD.decode(sealed).map_err(|_| damaged(context, "it is not base64"))?;
            let text = String::from_utf8(bytes).map_err(|_| damaged(context, "it is not text"))?;
            let refused = || service(key, context, failure("Decrypt", Some("InvalidCiphertextException"), "no"));
            text.strip_prefix(&lid(key, context)).map(|text| Secret::new(text.to_owned())).ok_or_else(refused)
        };
        let failed = |reason: &str| service(key, context, failure("Decrypt", None, reason));
        self.faults.around(self.faults.draw(), open, failed).await
    }
}

impl DataKeys for MemoryVault {
    async fn generate(&self, key: &str, context: &DocumentContext) -> Result<(DataKey, String), Error> {
        let generate = || async {
            let mut bytes = [0; DataKey::BYTES];
            aws_lc_rs::rand::fill(&mut bytes).map_err(|_| damaged_document(context, "there is no randomness"))?;
            let sealed = STANDARD.encode([document_lid(key, context).as_bytes(), &bytes].concat());
            DataKey::from_bytes(&bytes).map(|key| (key, sealed)).ok_or_else(|| damaged_document(context, "no key"))
        };
        let failed = |reason: &str| document_failed(key, context, failure("GenerateDataKey", None, reason));
        self.faults.around(self.faults.draw(), generate, failed).await
    }

    async fn open_data_key(&self, key: &str, context: &DocumentContext, sealed: &str) -> Result<DataKey, Error> {
        let open = || async {
            let bytes = STANDARD.decode(sealed).map_err(|_| damaged_document(context, "its data key is not base64"))?;
            let lid = document_lid(key, context);
            let refused =
                || document_failed(key, context, failure("Decrypt", Some("InvalidCiphertextException"), "no"));
            bytes.strip_prefix(lid.as_bytes()).and_then(DataKey::from_bytes).ok_or_else(refused)
        };
        let failed = |reason: &str| document_failed(key, context, failure("Decrypt", None, reason));
        self.faults.around(self.faults.draw(), open, failed).await
    }
}

impl LegacyKeys for MemoryVault {
    /// A wrapped key is the key's ARN, a line's end, and the bytes.
    async fn open_legacy_key(&self, key: &str, wrapped: &[u8]) -> Result<LegacyKey, Error> {
        let open = || async {
            let refused = || legacy_failed(key, failure("Decrypt", Some("InvalidCiphertextException"), "no"));
            let bytes = wrapped.strip_prefix(key.as_bytes()).and_then(|rest| rest.strip_prefix(b"\n"));
            bytes.and_then(LegacyKey::from_bytes).ok_or_else(refused)
        };
        let failed = |reason: &str| legacy_failed(key, failure("Decrypt", None, reason));
        self.faults.around(self.faults.draw(), open, failed).await
    }
}

fn document_lid(key: &str, context: &DocumentContext) -> String {
    format!("{key} {:?}\n", context.pairs())
}

fn document_failed(key: &str, context: &DocumentContext, source: futuswarm_aws::Error) -> Error {
    Error::Document { what: context.to_string(), key: key.to_owned(), source }
}

fn lid(key: &str, context: &Context) -> String {
    format!("{key} {} {} {}\n", context.cluster, context.kind, context.name)
}

fn failure(operation: &'static str, code: Option<&str>, message: &str) -> futuswarm_aws::Error {
    let status = code.map(|_| 400);
    let (code, message) = (code.map(str::to_owned), message.to_owned());
    futuswarm_aws::Failure { operation, code, message, request_id: None, status }.into()
}

#[cfg(test)]
mod tests {
    use futuswarm_faults::Fault;

    use super::*;

    fn context(cluster: &str, kind: &str, name: &str) -> Context {
        Context { cluster: cluster.to_owned(), kind: kind.to_owned(), name: name.to_owned() }
    }

    #[tokio::test]
    async fn a_secret_opens_only_with_its_key_and_under_its_context() {
        let vault = MemoryVault::new(Faults::none());
        let right = context("prod", "join-token", "worker");
        let sealed = vault.seal("alias/a", &right, &Secret::new("SWMTKN".to_owned())).await.unwrap();
        assert_eq!(vault.open("alias/a", &right, &sealed).await.unwrap().expose(), "SWMTKN");
        for (key, context) in [
            ("alias/b", right.clone()),
            ("alias/a", context("dev", "join-token", "worker")),
            ("alias/a", context("prod", "password", "worker")),
            ("alias/a", context("prod", "join-token", "manager")),
        ] {
            let error = vault.open(key, &context, &sealed).await.err().unwrap();
            assert!(!error.is_transient() && !error.to_string().contains("SWMTKN"), "{error}");
        }
        let damaged = vault.open("alias/a", &right, "?").await.err().unwrap();
        assert!(damaged.to_string().contains("is damaged: it is not base64"), "{damaged}");
    }

    #[tokio::test]
    async fn a_vault_that_does_not_answer_may_answer_later() {
        let vault = MemoryVault::new(Faults::script([Fault::Fail]));
        let context = context("prod", "join-token", "worker");
        let error = vault.seal("alias/a", &context, &Secret::new("SWMTKN".to_owned())).await.err().unwrap();
        assert!(error.is_transient(), "{error}");
        assert!(vault.seal("alias/a", &context, &Secret::new("SWMTKN".to_owned())).await.is_ok());
    }
}
