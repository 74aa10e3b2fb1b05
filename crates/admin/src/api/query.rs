//! Query parameters that an operation does not have, or that are given twice, are refused. Passed over, a misspelt
//! `dry_run` would apply, and `?tenant=` would seem to have been heard where there is none.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::extract::{MatchedPath, Query, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tollgate_core::Problems;
use utoipa::IntoResponses;
use utoipa::openapi::path::{Operation, ParameterIn, PathItem};
use utoipa::openapi::{OpenApi, RefOr};

use super::refusal::{ProblemDetails, Refusal};

/// Probes and scrapers may add to the paths beside it what they like.
const API: &str = "/api/";
/// A newer node may ask for more than this control plane knows of.
const FOR_NODES: &str = "/api/node/";

/// Names that are told to be wrong: a query may have thousands, and nobody has shown a token yet.
const MOST_TOLD: usize = 32;

/// The query parameters of every operation of the API, as they are documented.
#[derive(Clone)]
pub struct QueryParameters(Arc<HashMap<String, Vec<Known>>>);

/// What may stand in the query of one of a path's operations.
struct Known {
    method: Method,
    names: Vec<String>,
}

impl QueryParameters {
    /// Reads them, and adds their refusal to every operation that may answer it and says nothing of a 422 yet.
    pub fn of(document: &mut OpenApi) -> Self {
        let checked = document.paths.paths.iter_mut().filter(|(path, _)| is_checked(path));
        let parameters = checked.map(|(path, item)| {
            let known = operations(item).map(|(method, operation)| {
                document_refusal(operation);
                Known::of(method, operation)
            });
            (path.clone(), known.collect())
        });
        Self(Arc::new(parameters.collect()))
    }

    fn check(&self, request: &Request) -> Result<(), Refusal> {
        if request.uri().query().is_none() {
            return Ok(());
        }
        let path = request.extensions().get::<MatchedPath>();
        let operations = path.and_then(|path| self.0.get(path.as_str())).map_or(&[][..], Vec::as_slice);
        let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
        let Some(known) = operations.iter().find(|known| known.method == method) else { return Ok(()) };
        let Query(given) = Query::<Vec<(String, String)>>::try_from_uri(request.uri())
            .map_err(|error| Problems::one("", error.body_text()))?;
        let mut problems = Problems::default();
        let mut times: BTreeMap<&str, usize> = BTreeMap::new();
        for (name, _) in &given {
            *times.entry(name).or_default() += 1;
        }
        for (name, times) in times.into_iter().take(MOST_TOLD) {
            if !known.names.iter().any(|known| known == name) {
                problems.add(name, known.unknown());
            } else if times > 1 {
                problems.add(name, "is given twice");
            }
        }
        Ok(problems.finish(Some(()))?)
    }
}

pub async fn refuse_unknown(State(known): State<QueryParameters>, request: Request, next: Next) -> Response {
    match known.check(&request) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

fn is_checked(path: &str) -> bool {
    path.starts_with(API) && !path.starts_with(FOR_NODES)
}

/// What a query parameter that an operation does not have is answered with.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it documents; `Refusal` is what is sent")]
enum Unknown {
    /// A query parameter that is not known here.
    #[response(status = 422, content_type = "application/problem+json")]
    Parameter(ProblemDetails),
}

impl Known {
    fn of(method: Method, operation: &Operation) -> Self {
        let parameters = operation.parameters.iter().flatten().filter_map(|parameter| match parameter {
            RefOr::T(parameter) => Some(parameter),
            // Operations bring their parameters with them.
            RefOr::Ref(_) => None,
        });
        let in_query = parameters.filter(|parameter| parameter.parameter_in == ParameterIn::Query);
        Self { method, names: in_query.map(|parameter| parameter.name.clone()).collect() }
    }

    /// What is said of a name that is not among them.
    fn unknown(&self) -> String {
        if self.names.is_empty() {
            "is not known: there are no query parameters here".to_owned()
        } else {
            format!("is not known: the query parameters here are {}", self.names.join(", "))
        }
    }
}

fn document_refusal(operation: &mut Operation) {
    for (status, response) in Unknown::responses() {
        operation.responses.responses.entry(status).or_insert(response);
    }
}

pub fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    let all = [
        (Method::GET, &mut item.get),
        (Method::POST, &mut item.post),
        (Method::PUT, &mut item.put),
        (Method::PATCH, &mut item.patch),
        (Method::DELETE, &mut item.delete),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}
