//! Which request goes where.

use std::sync::Arc;

use axum::http::{Method, StatusCode, header};
use axum::middleware;
use axum::routing::get;
use axum::{Extension, Router};
use bytes::Bytes;
use utoipa::OpenApi;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::Type;
use utoipa::openapi::{
    ContentBuilder, Object, ObjectBuilder, Ref, RefOr, Required, ResponseBuilder,
};
use utoipa_axum::router::OpenApiRouter;

use crate::http::account::{activity, keys, password, sessions, tokens};
use crate::http::admin::operator::{AtOperators, Operator};
use crate::http::admin::power::Measuring;
use crate::http::admin::routes as admin;
use crate::http::dav::routes as dav;
use crate::http::files::routes as files;
use crate::http::links::routes as links;
use crate::http::page::Page;
use crate::http::queries::{self, Queries};
use crate::http::reply::Problem;
use crate::http::uploads::{answer, routes as uploads};
use crate::http::web::{API, Web};
use crate::http::webhooks::routes as webhooks;
use crate::http::{
    counted, guard, headers, health, held, leftover, me, metrics, once, origin, security, tally,
};

/// The OpenAPI document: the operations come from the code that serves them.
#[derive(OpenApi)]
#[openapi(info(
    title = "Sealift",
    description = "Files, accounts and administration of a Sealift server.",
    license(name = "Apache-2.0", identifier = "Apache-2.0")
))]
struct Document;

/// The OpenAPI document of the port for operators.
#[derive(OpenApi)]
#[openapi(info(
    title = "Sealift administration",
    description = "What operators of a Sealift server do: tenants, accounts, rights, keys, sessions, deleted files, audit logs. A request with an Idempotency-Key is refused.",
    license(name = "Apache-2.0", identifier = "Apache-2.0")
))]
struct OperatorsDocument;

/// For whom a port is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Port {
    Operators,
    Public,
}

/// What everybody reaches over TLS.
pub fn public(web: Web) -> Router {
    whole(
        web,
        Document::openapi(),
        operations(),
        dav::routes(),
        Port::Public,
    )
}

/// What operators reach, at a port of their own; no account does.
pub fn operators(web: Web) -> Router {
    let operations = admin::of_operators().nest("/tenants/{tenant}", webhooks::routes());
    let may = middleware::from_extractor_with_state::<Operator<Measuring>, Web>(web.clone());
    let figures = metrics::routes().route_layer(may);
    let document = OperatorsDocument::openapi();
    whole(web, document, operations, figures, Port::Operators).layer(Extension(AtOperators))
}

/// Operations with their description, what stands `beside` them at this port, and what does at every port.
fn whole(
    web: Web,
    document: utoipa::openapi::OpenApi,
    operations: OpenApiRouter<Web>,
    beside: Router<Web>,
    port: Port,
) -> Router {
    let (api, document) = OpenApiRouter::with_openapi(document)
        .nest(API, operations)
        .split_for_parts();
    let queries = Arc::new(Queries::of(&document));
    let document = described(document, port);
    let page = serde_json::to_value(&document).map(|document| Page::of(&document));
    let page = page.ok();
    let show = get(move || async move { page.as_ref().map(Page::answer).ok_or(nothing().await) });
    // As text, which is what is sent, and takes less memory than the structure.
    let text = serde_json::to_vec(&document).map(Bytes::from).ok();
    let json = [(header::CONTENT_TYPE, "application/json")];
    let tell = get(move || async move { text.map(|text| (json, text)).ok_or(nothing().await) });
    api.route("/api/v1/openapi.json", tell)
        .route("/api/v1/", show.clone())
        .route(API, show)
        .merge(health::routes())
        .merge(beside)
        .fallback(nothing)
        .method_not_allowed_fallback(not_that)
        .layer(middleware::from_fn_with_state(
            queries,
            queries::refuse_unknown,
        ))
        .layer(middleware::from_fn_with_state(web.clone(), once::carry_out))
        .layer(middleware::from_fn(held::hold))
        .layer(middleware::from_fn_with_state(web.clone(), counted::count))
        .layer(middleware::from_fn(origin::keep_off))
        .layer(middleware::from_fn(guard::unambiguous))
        .layer(middleware::from_fn(answer::sign))
        .layer(middleware::from_fn(guard::challenge))
        .layer(middleware::from_fn_with_state(web.clone(), leftover::read))
        .layer(middleware::from_fn(guard::protect))
        .layer(middleware::from_fn_with_state(web.clone(), guard::insist))
        .layer(middleware::from_fn(tally::count))
        .with_state(web)
}

/// The document with paths as OpenAPI writes them: it has no parameters that take the rest of a path. And with
/// a name for each operation, which generators make functions or types of: those of our functions are not
/// unique.
fn described(mut document: utoipa::openapi::OpenApi, port: Port) -> utoipa::openapi::OpenApi {
    match port {
        Port::Operators => security::of_operators(&mut document),
        Port::Public => security::of_accounts(&mut document),
    }
    let paths = std::mem::take(&mut document.paths.paths);
    let paths = paths.into_iter();
    document.paths.paths = paths
        .map(|(path, mut item)| {
            if once::is_meant(&Method::POST, &path)
                && let Some(post) = &mut item.post
            {
                match port {
                    // Whose keys they are accounts say, and no operator is one.
                    Port::Operators => fails(post, "400", "the request is malformed"),
                    Port::Public => keyed(post),
                }
            }
            for (method, operation) in operations_of(&mut item) {
                operation.operation_id = Some(name(method, &path));
                if !["get", "head", "options"].contains(&method) {
                    let description = "the body comes in a transfer coding other than chunked";
                    fails(operation, "501", description);
                }
                // The first piece may follow, and most methods that this may stand for have no body.
                if let Some(RefOr::T(body)) = &mut operation.request_body
                    && method == "post"
                    && answer::is_upload(&path)
                {
                    body.required = Some(Required::False);
                }
                if queries::is_strict(&path) {
                    fails(operation, "400", "the request is malformed");
                }
                if port == Port::Public {
                    let description = "the connection was made for another tenant's host";
                    fails(operation, "421", description);
                    security::describe(operation, method, &path);
                }
                headers::describe(operation, method, &path);
                if path.contains("{tenant}") {
                    operation
                        .parameters
                        .get_or_insert_default()
                        .push(tenant().into());
                }
            }
            (path.replace("{*", "{"), item)
        })
        .collect();
    headers::explain(&mut document);
    document
}

fn operations_of(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let operations = [
        ("get", &mut item.get),
        ("put", &mut item.put),
        ("post", &mut item.post),
        ("delete", &mut item.delete),
        ("options", &mut item.options),
        ("head", &mut item.head),
        ("patch", &mut item.patch),
    ];
    let there = operations.into_iter();
    there.filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// An operation's name: its method, and the words of its path.
fn name(method: &str, path: &str) -> String {
    let words = path.strip_prefix(API).unwrap_or(path);
    let words = words.split(|c: char| !c.is_ascii_alphanumeric());
    let words = words.filter(|word| !word.is_empty());
    let name: Vec<_> = [method].into_iter().chain(words).collect();
    name.join("_")
}

/// Says of an operation that it is carried out once for each key.
fn keyed(operation: &mut Operation) {
    let text = ObjectBuilder::new().schema_type(Type::String).build();
    let key = ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .description(Some(
            "names this request: sent again within 24 hours it is answered as before, and not carried out \
             again",
        ))
        .schema(Some(text))
        .build();
    operation
        .parameters
        .get_or_insert_default()
        .push(key.into());
    for response in operation.responses.responses.values_mut() {
        headers::add(response, headers::REPLAYED);
    }
    for (status, description) in [
        ("400", "the request is malformed"),
        ("408", "the body did not come"),
        (
            "409",
            "what is there does not allow it, or the request is being carried out",
        ),
        ("413", "the body is too long"),
        ("422", "the key belongs to another request"),
    ] {
        fails(operation, status, description);
    }
    if let Some(response) = operation.responses.responses.get_mut("409") {
        headers::add(response, headers::RETRY_AFTER);
    }
}

/// Says of an operation how it may fail, unless it says so itself.
fn fails(operation: &mut Operation, status: &str, description: &str) {
    let responses = &mut operation.responses.responses;
    responses.entry(status.to_owned()).or_insert_with(|| {
        let problem = Ref::from_schema_name("ProblemDetails");
        let problem = ContentBuilder::new().schema(Some(problem)).build();
        let response = ResponseBuilder::new().description(description);
        let response = response.content("application/problem+json", problem);
        response.build().into()
    });
}

/// The parameter of paths below a tenant: what is below is written once, also where no path names one.
fn tenant() -> Parameter {
    ParameterBuilder::new()
        .name("tenant")
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some("the tenant's name"))
        .schema(Some(Object::with_type(Type::String)))
        .build()
}

/// Every area of the API.
fn operations() -> OpenApiRouter<Web> {
    me::routes()
        .merge(sessions::routes())
        .merge(tokens::routes())
        .merge(password::routes())
        .merge(keys::routes())
        .merge(activity::routes())
        .merge(files::routes())
        .merge(uploads::routes())
        .merge(links::routes())
        .merge(webhooks::routes())
        .nest("/admin", admin::of_administrators())
}

async fn nothing() -> Problem {
    let detail = "there is nothing at this address; /api/v1/openapi.json lists what there is";
    Problem::new(StatusCode::NOT_FOUND, "no-such-address", detail)
}

async fn not_that() -> Problem {
    let detail =
        "this address does not take this method; the header Allow says which ones it takes";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail)
}
