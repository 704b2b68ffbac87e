//! Refuses parameters behind `?` that an operation does not know: one that is misspelt would be left out without a word.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{MatchedPath, Query, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use utoipa::openapi::path::{Operation, ParameterIn, PathItem};
use utoipa::openapi::{OpenApi, RefOr};

use crate::http::reply::Problem;
use crate::http::web::API;

/// Which parameters each operation takes, by path and method, as the OpenAPI document has them.
pub struct Queries(HashMap<String, Vec<(Method, Vec<String>)>>);

impl Queries {
    /// Of all operations of a document whose paths are those of the router.
    pub fn of(document: &OpenApi) -> Self {
        let paths = document.paths.paths.iter();
        let strict = paths.filter(|(path, _)| is_strict(path));
        Self(
            strict
                .map(|(path, item)| (path.clone(), all(item)))
                .collect(),
        )
    }

    /// Fails for the first parameter that is not known.
    fn check(&self, request: &Request) -> Result<(), Problem> {
        let path = request.extensions().get::<MatchedPath>();
        let operations = path.and_then(|path| self.0.get(path.as_str()));
        let method = match *request.method() {
            Method::HEAD => &Method::GET,
            ref method => method,
        };
        let mut operations = operations.into_iter().flatten();
        let Some((_, known)) = operations.find(|(of, _)| of == method) else {
            return Ok(());
        };
        // One that cannot be read is refused by who reads it.
        let Ok(Query(said)) = Query::<Vec<(String, String)>>::try_from_uri(request.uri()) else {
            return Ok(());
        };
        let unknown = said.iter().find(|(name, _)| !known.contains(name));
        let Some((name, _)) = unknown else {
            return Ok(());
        };
        let cure = match known.is_empty() {
            true => "it takes none".to_owned(),
            false => format!("it takes {}", known.join(", ")),
        };
        Err(Problem::malformed(format!(
            "this request takes no parameter '{name}' behind '?'; {cure}"
        )))
    }
}

/// Refuses a request with a parameter that is not known; nothing has been looked at by then.
pub async fn refuse_unknown(
    State(queries): State<Arc<Queries>>,
    request: Request,
    next: Next,
) -> Response {
    match queries.check(&request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// Whether parameters must be known at a path. People open links, to which others add theirs on the way, and the
/// standard of tus leaves what stands behind its addresses to its clients.
pub fn is_strict(path: &str) -> bool {
    let area = path.strip_prefix(API).unwrap_or_default();
    let area = area.split('/').nth(1);
    !matches!(area, None | Some("shared" | "uploads"))
}

fn all(item: &PathItem) -> Vec<(Method, Vec<String>)> {
    let operations = [
        (Method::GET, &item.get),
        (Method::PUT, &item.put),
        (Method::POST, &item.post),
        (Method::DELETE, &item.delete),
        (Method::PATCH, &item.patch),
    ];
    let there = operations.into_iter();
    let there = there.filter_map(|(method, operation)| Some((method, operation.as_ref()?)));
    there
        .map(|(method, operation)| (method, names(operation)))
        .collect()
}

fn names(operation: &Operation) -> Vec<String> {
    let all = operation.parameters.iter().flatten();
    let own = all.filter_map(|parameter| match parameter {
        RefOr::T(parameter) => Some(parameter),
        RefOr::Ref(_) => None,
    });
    let behind = own.filter(|parameter| parameter.parameter_in == ParameterIn::Query);
    behind.map(|parameter| parameter.name.clone()).collect()
}
