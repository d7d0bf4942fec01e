//! The HTTP client below the stores.
//!
//! `object_store` repeats a request that has no answer, and reads on where the body of an object breaks off. It does not
//! repeat a request whose other answer breaks off (a page of a listing, the end of an upload); and it has no upload of parts
//! that fails on a taken name, though S3 does. Both are mended below it, so that its count of retries holds for all.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};
use object_store::{ClientOptions, HeaderValue};
use url::form_urlencoded;

/// Given with the beginning of an upload to S3: its end fails where the name is taken by then.
#[derive(Debug, Clone, Copy)]
pub struct IfAbsent;

/// Makes the clients of the stores.
#[derive(Debug)]
pub struct Connector;

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(Careful { client, exclusive: Mutex::default() }))
    }
}

#[derive(Debug)]
struct Careful {
    client: HttpClient,
    /// Uploads that began with [`IfAbsent`]: COPYs of this process, so they are few.
    exclusive: Mutex<HashSet<String>>,
}

impl Careful {
    fn exclusive(&self) -> MutexGuard<'_, HashSet<String>> {
        self.exclusive.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl HttpService for Careful {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let method = request.method().as_str();
        let query = request.uri().query().unwrap_or_default();
        let query = || form_urlencoded::parse(query.as_bytes());
        let posts = method == "POST";
        let is_object = method == "HEAD"
            || method == "GET"
                && !query().any(|(name, value)| name == "list-type" || name == "comp" && value == "list");
        let deletes = posts && query().any(|(name, value)| name == "delete" || name == "comp" && value == "batch");
        let begins = posts && query().any(|(name, _)| name == "uploads");
        let ends = query().find(|(name, _)| posts && name == "uploadId").map(|(_, upload)| upload.into_owned());

        let begins_exclusive = begins && request.extensions().get::<IfAbsent>().is_some();
        if ends.is_some_and(|upload| self.exclusive().contains(&upload)) {
            request.headers_mut().insert("if-none-match", HeaderValue::from_static("*"));
        }
        let failed = |error: HttpError| match deletes {
            // What is deleted may be deleted again, which `object_store` does not know of this request.
            true => HttpError::new(HttpErrorKind::Request, error),
            false => error,
        };
        let response = self.client.execute(request).await.map_err(failed)?;
        if is_object && response.status().is_success() {
            return Ok(response);
        }
        let (head, body) = response.into_parts();
        let broken = |error| failed(HttpError::new(HttpErrorKind::Interrupted, error));
        let body = body.bytes().await.map_err(broken)?;
        if begins_exclusive && let Some(upload) = upload_id(&body) {
            self.exclusive().insert(upload);
        }
        Ok(HttpResponse::from_parts(head, body.into()))
    }
}

/// The upload that an answer begins.
fn upload_id(body: &[u8]) -> Option<String> {
    let body = std::str::from_utf8(body).ok()?;
    let (_, rest) = body.split_once("<UploadId>")?;
    rest.split_once("</UploadId>").map(|(id, _)| id.to_owned())
}
