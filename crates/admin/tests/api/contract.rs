//! What is answered, beside what the `OpenAPI` document says of it.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use serde_json::Value;

use crate::gateway::Answer;

/// The same of every gateway.
static DOCUMENT: OnceLock<Value> = OnceLock::new();

/// Fields of the message: the document is of those that an operation gives its answer.
const OF_MESSAGES: [&str; 5] = ["connection", "content-length", "content-type", "date", "transfer-encoding"];

/// Whether the document says that an operation may answer so. Of what is none it says nothing.
#[track_caller]
pub fn check(document: impl FnOnce() -> Value, method: &str, path: &str, answer: &Answer) {
    let document = DOCUMENT.get_or_init(document);
    let Some(operation) = operation(document, method, path) else { return };
    let response = &operation["responses"][answer.status.to_string()];
    assert!(response.is_object(), "{method} {path} is answered with {}: {}", answer.status, answer.text);
    let sent = answer.headers.keys().map(|name| name.as_str().to_owned());
    let sent: BTreeSet<String> = sent.filter(|name| !OF_MESSAGES.contains(&name.as_str())).collect();
    let said = response["headers"].as_object().into_iter().flatten();
    let said: BTreeSet<String> = said.map(|(name, _)| name.to_ascii_lowercase()).collect();
    assert_eq!(
        sent, said,
        "header fields that are sent, and that are said, of {method} {path}, {}",
        answer.status
    );
}

fn operation<'d>(document: &'d Value, method: &str, path: &str) -> Option<&'d Value> {
    let path = path.split('?').next()?;
    let paths = document["paths"].as_object()?;
    let item = paths.get(path).or_else(|| {
        let found = paths.iter().find(|(template, _)| is_of(path, template));
        found.map(|(_, item)| item)
    })?;
    let method = if method == "HEAD" { "get".to_owned() } else { method.to_lowercase() };
    item.get(method)
}

fn is_of(path: &str, template: &str) -> bool {
    let (path, template): (Vec<_>, Vec<_>) = (path.split('/').collect(), template.split('/').collect());
    path.len() == template.len()
        && path.iter().zip(&template).all(|(name, wanted)| wanted.starts_with('{') || name == wanted)
}
