//! What object stores say, for people and for the exit code.

use std::error::Error as Cause;

use object_store::Error as Store;
use object_store::client::HttpError;

use super::Error;

/// What a store said of an object, with the object's URL: as such it finds its way through the engine.
#[derive(Debug, thiserror::Error)]
#[error("{url}: {said}")]
pub struct Refusal {
    url: String,
    said: String,
    passing: bool,
}

impl Refusal {
    /// Of an error that does not say the URL.
    pub fn new(url: String, error: &Store) -> Self {
        Self { url, said: said(error), passing: is_passing(error) }
    }

    /// Of what another try may mend.
    pub fn passing(url: String, said: &str) -> Self {
        Self { url, said: said.to_owned(), passing: true }
    }
}

/// An error of ours that came through a store.
pub fn ours(error: &Store) -> Option<&Error> {
    match error {
        Store::Generic { source, .. } => source.downcast_ref(),
        _ => None,
    }
}

fn refusal(error: &Store) -> Option<&Refusal> {
    match error {
        Store::Generic { source, .. } => source.downcast_ref(),
        _ => None,
    }
}

/// Whether a store failed for a reason that may pass: no connection, no answer in time, a server's own fault.
///
/// Stores report the rest (not found, not allowed, exists) as errors of their own; what is left is told by the status.
pub fn is_passing(error: &Store) -> bool {
    let Store::Generic { source, .. } = error else { return false };
    if let Some(refusal) = refusal(error) {
        return refusal.passing;
    }
    let mut cause: Option<&(dyn Cause + 'static)> = Some(source.as_ref());
    while let Some(error) = cause {
        if error.downcast_ref::<HttpError>().is_some() {
            return true;
        }
        cause = error.source();
    }
    // The error that holds the status is private to the crate.
    let text = source.to_string();
    let status = text.split("status code: ").nth(1).and_then(|rest| rest.get(..3));
    // 501: the store does not know the request, and will not tomorrow.
    let by_status =
        status.is_some_and(|status| status.starts_with('5') && status != "501" || status == "408" || status == "429");
    // S3 may say so in the body of a success.
    let in_body = ["Server returned error response", "(code: SlowDown)", "(code: InternalError)"];
    by_status || in_body.iter().any(|words| text.contains(words))
}

/// What a store said, without the path: whoever shows it names the file as the user did.
pub fn said(error: &Store) -> String {
    if let Some(refusal) = refusal(error) {
        return refusal.said.clone();
    }
    let (what, source) = match error {
        Store::Generic { source, .. } => return with_advice(one_line(&source.to_string())),
        Store::Precondition { .. } => {
            return "has changed while it was read: run the command again when nobody writes to it".to_owned();
        }
        Store::NotFound { source, .. } => ("there is no such file", source),
        Store::PermissionDenied { source, .. } => ("access is denied", source),
        Store::Unauthenticated { source, .. } => ("the credentials are refused", source),
        other => return one_line(&other.to_string()),
    };
    format!("{what}: {}", one_line(&source.to_string()))
}

/// Text about a machine that was asked for its own credentials, with what to set where it has none.
fn with_advice(text: String) -> String {
    let asked = [
        ("/latest/api/token", "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        ("/computeMetadata/v1/", "GOOGLE_APPLICATION_CREDENTIALS"),
        ("/metadata/identity/", "AZURE_STORAGE_ACCOUNT_KEY"),
    ];
    match asked.iter().find(|(path, _)| text.contains(path)) {
        Some((_, names)) => format!("no credentials are given ({names}), and this machine answers with none: {text}"),
        None => text,
    }
}

/// What a store said, with the path as far as it is known.
pub fn in_words(error: &Store) -> String {
    let path = match error {
        Store::Generic { .. } => match (ours(error), refusal(error)) {
            (Some(ours), _) => return ours.to_string(),
            (None, refusal) => refusal.map(|refusal| &refusal.url),
        },
        Store::Precondition { path, .. }
        | Store::NotFound { path, .. }
        | Store::PermissionDenied { path, .. }
        | Store::Unauthenticated { path, .. } => Some(path),
        _ => None,
    };
    path.map_or_else(|| said(error), |path| format!("{path}: {}", said(error)))
}

/// Text in one line; of an XML document in it only the code and the message that S3 and Azure put there.
fn one_line(text: &str) -> String {
    let (before, document) =
        text.find("<?xml").or_else(|| text.find("<Error>")).map_or((text, ""), |at| text.split_at(at));
    let element = |name: &str| {
        let (_, rest) = document.split_once(&format!("<{name}>"))?;
        rest.split_once(&format!("</{name}>")).map(|(inner, _)| inner)
    };
    let parts = before.split_whitespace().chain(element("Code")).chain(element("Message").map(str::trim));
    parts.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(text: &str) -> Store {
        Store::Generic { store: "S3", source: text.into() }
    }

    #[test]
    fn a_status_tells_whether_another_try_may_succeed() {
        let status = |status: &str| is_passing(&generic(&format!("Server returned non-2xx status code: {status}")));
        assert!(["500 Internal Server Error", "503 Slow Down", "429 Too Many Requests"].map(status) == [true; 3]);
        assert!(["400 Bad Request: SlowDown", "403 Forbidden", "501 Not Implemented"].map(status) == [false; 3]);
        assert!(is_passing(&generic("Server returned error response: <Error><Code>SlowDown</Code></Error>")));
        assert!(!is_passing(&generic("Missing SecretAccessKey")));
    }

    #[test]
    fn a_document_becomes_its_code_and_message() {
        let text = "status code: 403 Forbidden: <?xml version=\"1.0\"?>\n<Error><Code>AccessDenied</Code>\n\
                    <Message>Not yours\n</Message><RequestId>7</RequestId></Error>";
        assert_eq!(said(&generic(text)), "status code: 403 Forbidden: AccessDenied Not yours");
        assert_eq!(said(&generic("no document,\n two lines")), "no document, two lines");
    }

    #[test]
    fn a_refusal_within_comes_out_as_it_went_in() {
        let refusal = Refusal::new("s3://lake/x".to_owned(), &generic("status code: 503: slow"));
        let outer = Store::Generic { store: "S3", source: Box::new(refusal) };
        assert!(is_passing(&outer));
        assert_eq!(
            (said(&outer), in_words(&outer)),
            ("status code: 503: slow".into(), "s3://lake/x: status code: 503: slow".into())
        );
    }
}
