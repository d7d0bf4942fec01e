//! What object stores say, for people and for the exit code.

use std::error::Error as Cause;

use object_store::Error as Store;
use object_store::client::HttpError;

use super::Error;

/// Whether a store failed for a reason that may pass: no connection, no answer in time, a server's own fault.
///
/// Stores report the rest (not found, not allowed, exists) as errors of their own; what is left is told by the status.
pub fn is_passing(error: &Store) -> bool {
    let Store::Generic { source, .. } = error else { return false };
    let mut cause: Option<&(dyn Cause + 'static)> = Some(source.as_ref());
    while let Some(error) = cause {
        if let Some(ours) = error.downcast_ref::<Error>() {
            return ours.is_passing();
        }
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
    let (what, source) = match error {
        Store::Generic { source, .. } => match source.downcast_ref::<Error>() {
            Some(Error::Unavailable { message, .. } | Error::File { message, .. }) => return message.clone(),
            _ => return with_advice(one_line(&source.to_string())),
        },
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

/// The path in a store's error.
pub fn path_of(error: &Store) -> Option<&str> {
    match error {
        Store::Generic { source, .. } => match source.downcast_ref::<Error>() {
            Some(Error::Unavailable { path, .. } | Error::File { path, .. }) => Some(path),
            _ => None,
        },
        Store::Precondition { path, .. }
        | Store::NotFound { path, .. }
        | Store::PermissionDenied { path, .. }
        | Store::Unauthenticated { path, .. } => Some(path),
        _ => None,
    }
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
    fn an_error_of_ours_within_comes_out_as_it_went_in() {
        let inner = Error::refusal("s3://lake/x".to_owned(), &generic("status code: 503: slow"));
        let outer = Store::Generic { store: "S3", source: Box::new(inner) };
        assert!(is_passing(&outer));
        assert_eq!((path_of(&outer), said(&outer).as_str()), (Some("s3://lake/x"), "status code: 503: slow"));
    }
}
