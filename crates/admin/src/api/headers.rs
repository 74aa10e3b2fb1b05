//! Header fields, and the answers that go with them, in the `OpenAPI` document: those of whole kinds of operations.

use std::collections::BTreeSet;

use axum::http::Method;
use utoipa::IntoResponses;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{Object, Type};
use utoipa::openapi::{OpenApi, RefOr, Required, Response};

use super::query::operations;
use super::refusal::ProblemDetails;

const IF_MATCH: &str = "If-Match";

/// What any operation that takes a token may answer.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "the variants document; `Refusal` is what is sent")]
enum Authorized {
    /// There is more than one `Authorization`.
    #[response(status = 400, content_type = "application/problem+json")]
    SeveralTokens(ProblemDetails),
    /// Too many tokens that are none from this address.
    #[response(status = 429, content_type = "application/problem+json")]
    TooManyFailures(ProblemDetails),
}

/// What showing a resource may answer.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "the variant documents; the layer of `version` sends it")]
enum Known {
    /// It is as `If-None-Match` says.
    #[response(status = 304)]
    AsBefore,
}

/// Adds them to the operations.
pub fn document(document: &mut OpenApi) {
    let versioned: BTreeSet<String> = document
        .paths
        .paths
        .iter()
        .filter(|(_, item)| item.put.as_ref().is_some_and(is_conditional))
        .map(|(path, _)| path.clone())
        .collect();
    let is_kind = |path: &str| {
        let mut below = versioned.iter().filter_map(|one| one.strip_prefix(path));
        below.any(|rest| rest.starts_with("/{"))
    };
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            if is_conditional(operation) {
                add_parameter(
                    operation,
                    "If-None-Match",
                    "412 where it names the present version, or is `*`",
                );
                add_header(operation, "200", "ETag", "Of the answer; `If-Match` takes it");
            }
            if method == Method::GET && versioned.contains(path) {
                add_parameter(operation, "If-None-Match", "The `ETag` of an answer that is there already");
                add_header(operation, "200", "ETag", "Of the answer; `If-Match` takes it");
                add_responses::<Known>(operation);
                add_header(operation, "304", "ETag", "The one that was sent");
            }
            add_header(operation, "201", "Location", "Where it is");
            if is_kind(path) {
                add_header(operation, "201", "ETag", "Of the answer; `If-Match` takes it");
            }
            if operation.responses.responses.contains_key("401") {
                add_responses::<Authorized>(operation);
            }
            add_header(operation, "401", "WWW-Authenticate", "How to sign in (RFC 6750)");
            add_header(operation, "429", "Retry-After", "In seconds");
            if path.starts_with("/api/") {
                add_header(operation, "503", "Retry-After", "In seconds");
            }
        }
    }
}

fn is_conditional(operation: &Operation) -> bool {
    operation.parameters.iter().flatten().any(|parameter| match parameter {
        RefOr::T(parameter) => parameter.name == IF_MATCH,
        // Operations bring their parameters with them.
        RefOr::Ref(_) => false,
    })
}

fn add_parameter(operation: &mut Operation, name: &str, description: &str) {
    let parameter: Parameter = ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(Object::with_type(Type::String)))
        .build();
    operation.parameters.get_or_insert_default().push(parameter.into());
}

/// Nothing where there is no such answer.
fn add_header(operation: &mut Operation, status: &str, name: &str, description: &str) {
    let Some(RefOr::T(Response { headers, .. })) = operation.responses.responses.get_mut(status) else {
        return;
    };
    let text = Object::with_type(Type::String);
    let header = HeaderBuilder::new().schema(Some(text)).description(Some(description)).build();
    headers.insert(name.to_owned(), RefOr::T(header));
}

/// Those that it says nothing of yet.
fn add_responses<R: IntoResponses>(operation: &mut Operation) {
    for (status, response) in R::responses() {
        operation.responses.responses.entry(status).or_insert(response);
    }
}
