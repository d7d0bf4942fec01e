//! Object stores by URL: the same for SQL and for the jobs over files.
//!
//! `s3://bucket/...` (and compatibles), `gs://bucket/...`, `az://container/...` or
//! `abfss://container@account.dfs.core.windows.net/...`, `http(s)://host/...` to read from, and the files of this machine.
//! Credentials come from the environment as each provider's own tools read them, or from the machine's identity.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use datafusion::common::Result as EngineResult;
use datafusion::execution::object_store::ObjectStoreRegistry;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::http::HttpBuilder;
use object_store::{ClientConfigKey, ClientOptions, ObjectStore, RetryConfig};
use url::{Position, Url};

use super::client::Connector;
use super::disk::Disk;
use super::named::Named;
use crate::{Error, Result};

/// How stores are reached, beyond what the environment says.
#[derive(Debug, Clone)]
pub struct Access {
    /// Settings by name, as `object_store` names them: `aws_endpoint`, `google_service_account`, `timeout`.
    pub settings: Vec<(String, String)>,
    /// How often a request that fails for a passing reason is repeated.
    pub retries: usize,
    /// And for how long.
    pub retry_timeout: Duration,
    /// Whether a file of this machine is forced to the disk before it appears, so that it is whole after a loss of power
    /// too. After the death of a process it is whole in any case.
    pub sync: bool,
}

impl Default for Access {
    fn default() -> Self {
        let RetryConfig { max_retries, retry_timeout, .. } = RetryConfig::default();
        Self { settings: Vec::new(), retries: max_retries, retry_timeout, sync: false }
    }
}

/// The stores of a process; each is opened once, when its first URL comes.
pub struct Stores {
    access: Access,
    /// By scheme, host and port.
    opened: Mutex<HashMap<String, Arc<dyn ObjectStore>>>,
}

impl Stores {
    /// Nothing is opened yet. A setting that no store knows is an error.
    pub fn new(access: Access) -> Result<Self> {
        for (name, _) in &access.settings {
            let known = name.parse::<AmazonS3ConfigKey>().is_ok()
                || name.parse::<GoogleConfigKey>().is_ok()
                || name.parse::<AzureConfigKey>().is_ok()
                || name.parse::<ClientConfigKey>().is_ok();
            if !known {
                return Err(Error::Invalid(format!(
                    "store option `{name}` is unknown: aws_endpoint, aws_region, allow_http and timeout are some"
                )));
            }
        }
        let local: Arc<dyn ObjectStore> = Arc::new(Disk::new(access.sync));
        Ok(Self { access, opened: Mutex::new(HashMap::from([("file://".to_owned(), local)])) })
    }

    /// The store of a URL.
    pub fn of(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        let mut opened = self.opened();
        let key = key(url);
        if let Some(store) = opened.get(&key) {
            return Ok(Arc::clone(store));
        }
        let store = self.open(url)?;
        opened.insert(key, Arc::clone(&store));
        Ok(store)
    }

    fn opened(&self) -> MutexGuard<'_, HashMap<String, Arc<dyn ObjectStore>>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        let Access { retries, retry_timeout, .. } = self.access;
        let retry = RetryConfig { max_retries: retries, retry_timeout, ..RetryConfig::default() };
        let settings = &self.access.settings;
        let opened: object_store::Result<Arc<dyn ObjectStore>> = match url.scheme() {
            "s3" | "s3a" => {
                let builder =
                    settings.iter().fold(AmazonS3Builder::from_env(), |builder, (name, value)| match name.parse() {
                        Ok(key) => builder.with_config(key, value),
                        Err(_) => builder,
                    });
                let value = |key| builder.get_config_value(&key);
                let endpoint = value(AmazonS3ConfigKey::S3Endpoint).or_else(|| value(AmazonS3ConfigKey::Endpoint));
                check_encrypted(url, endpoint, value(AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp)))?;
                let builder = builder.with_url(url.as_str()).with_retry(retry).with_http_connector(Connector);
                builder.build().map(|store| Arc::new(store) as _)
            }
            "gs" => {
                let builder = settings.iter().fold(GoogleCloudStorageBuilder::from_env(), |builder, (name, value)| {
                    match name.parse() {
                        Ok(key) => builder.with_config(key, value),
                        Err(_) => builder,
                    }
                });
                let builder = builder.with_url(url.as_str()).with_retry(retry).with_http_connector(Connector);
                builder.build().map(|store| Arc::new(store) as _)
            }
            "az" | "adl" | "azure" | "abfs" | "abfss" => {
                let builder = settings.iter().fold(MicrosoftAzureBuilder::from_env(), |builder, (name, value)| {
                    match name.parse() {
                        Ok(key) => builder.with_config(key, value),
                        Err(_) => builder,
                    }
                });
                let builder = builder.with_url(url.as_str()).with_retry(retry).with_http_connector(Connector);
                builder.build().map(|store| Arc::new(store) as _)
            }
            "http" | "https" => {
                // Whoever writes http:// means it.
                let options = ClientOptions::new().with_allow_http(url.scheme() == "http");
                let options = settings.iter().fold(options, |options, (name, value)| match name.parse() {
                    Ok(key) => options.with_config(key, value),
                    Err(_) => options,
                });
                let builder = HttpBuilder::new().with_url(&url[..Position::BeforePath]).with_retry(retry);
                let builder = builder.with_client_options(options).with_http_connector(Connector);
                builder.build().map(|store| Arc::new(store) as _)
            }
            scheme => {
                return Err(Error::file(
                    url.as_str(),
                    format!(
                        "the store `{scheme}` is unknown: local paths, s3, gs, az, abfss, http and https are known"
                    ),
                ));
            }
        };
        let store = opened.map_err(|error| Error::store(url.as_str(), "cannot be reached", &error))?;
        Ok(Arc::new(Named::new(store, &key(url), retries, retry_timeout)))
    }
}

/// An error where keys would go over an endpoint without encryption and nobody has said that they may.
fn check_encrypted(url: &Url, endpoint: Option<String>, allowed: Option<String>) -> Result<()> {
    match endpoint {
        Some(endpoint) if endpoint.starts_with("http://") && allowed.as_deref() != Some("true") => {
            let message = format!(
                "the endpoint {endpoint} is not encrypted: --store-option allow_http=true or AWS_ALLOW_HTTP=true allows it"
            );
            Err(Error::file(url.as_str(), message))
        }
        _ => Ok(()),
    }
}

/// Whether the store at a URL can complete an upload of parts only where its name is free.
pub(super) fn completes_if_absent(url: &Url) -> bool {
    matches!(url.scheme(), "s3" | "s3a" | "file")
}

/// Scheme, user (a container of Azure), host and port.
fn key(url: &Url) -> String {
    url[..Position::BeforePath].to_owned()
}

impl fmt::Debug for Stores {
    /// Without the settings, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.opened().keys()).finish()
    }
}

impl ObjectStoreRegistry for Stores {
    fn register_store(&self, url: &Url, store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        self.opened().insert(key(url), store)
    }

    fn get_store(&self, url: &Url) -> EngineResult<Arc<dyn ObjectStore>> {
        Ok(self.of(url)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_are_opened_once_by_scheme_and_host() {
        let settings = [("aws_region", "x"), ("aws_access_key_id", "a"), ("aws_secret_access_key", "b")];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let stores = Stores::new(Access { settings, ..Access::default() }).unwrap();
        let of = |text: &str| stores.of(&Url::parse(text).unwrap());
        let first = of("s3://bucket/a/b.parquet").unwrap();
        assert!(Arc::ptr_eq(&first, &of("s3://bucket/c").unwrap()));
        assert!(!Arc::ptr_eq(&first, &of("s3://other/c").unwrap()));
        of("file:///tmp/x").unwrap();
        of("https://host.example/x.parquet").unwrap();
        let error = of("hdfs://host/x").unwrap_err().to_string();
        assert!(error.contains("hdfs://host/x: the store `hdfs` is unknown"), "{error}");
        assert!(!format!("{stores:?}").contains("secret"));
    }

    #[test]
    fn an_endpoint_without_encryption_must_be_allowed() {
        let open = |allow: &str| {
            let settings = [
                ("aws_endpoint", "http://127.0.0.1:9"),
                ("allow_http", allow),
                ("aws_access_key_id", "a"),
                ("aws_secret_access_key", "b"),
            ];
            let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
            let stores = Stores::new(Access { settings, ..Access::default() }).unwrap();
            stores.of(&Url::parse("s3://bucket/x").unwrap()).map(drop)
        };
        open("true").unwrap();
        let error = open("false").unwrap_err().to_string();
        assert!(error.contains("s3://bucket/x: the endpoint http://127.0.0.1:9 is not encrypted"), "{error}");
    }

    #[test]
    fn a_misspelt_setting_is_an_error() {
        let settings = vec![("aws_endpiont".to_owned(), "http://127.0.0.1:9000".to_owned())];
        let error = Stores::new(Access { settings, ..Access::default() }).unwrap_err().to_string();
        assert!(error.contains("`aws_endpiont` is unknown"), "{error}");
    }
}
