//! How programs log in, for the OpenAPI document: what generators of clients make logins of.

use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{OpenApi, RefOr, Server};

use crate::http::cookie;
use crate::http::origin::PAGE_TOKEN;

const BASIC: &str = "basic";
const PAGE: &str = "csrf";
const SESSION: &str = "session";
const TOKEN: &str = "token";

/// Says of a port where accounts log in what they log in with.
pub fn of_accounts(document: &mut OpenApi) {
    let password = HttpBuilder::new().scheme(HttpAuthScheme::Basic);
    let password = password.description(Some(
        "the name (USER@TENANT) and password with each request; not of accounts with a second factor",
    ));
    let page = "what POST /api/v1/sessions told as `csrf`: with the cookie, whatever changes something needs it";
    let schemes = [
        (BASIC, SecurityScheme::Http(password.build())),
        (
            PAGE,
            SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(
                PAGE_TOKEN.as_str(),
                page,
            ))),
        ),
        (
            SESSION,
            SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::with_description(
                cookie::NAME,
                "the session of a browser, which POST /api/v1/sessions begins",
            ))),
        ),
        (TOKEN, bearer("a token that POST /api/v1/tokens made")),
    ];
    let any = [
        one(TOKEN),
        one(BASIC),
        one(SESSION).add::<_, [&str; 0], _>(PAGE, []),
    ];
    declare(document, schemes, any);
}

/// Says of the port for operators what they log in with.
pub fn of_operators(document: &mut OpenApi) {
    let token = bearer("a token that 'sealift admin token create' made");
    declare(document, [(TOKEN, token)], [one(TOKEN)]);
}

/// Says of an operation of accounts what it needs, where that is less than all others do.
pub fn describe(operation: &mut Operation, method: &str, path: &str) {
    if is_open(method, path) {
        operation.security = Some(Vec::new());
    } else if ["get", "head"].contains(&method) {
        operation.security = Some(vec![one(TOKEN), one(BASIC), one(SESSION)]);
    }
}

/// Whether nobody has to log in: for logging in itself, for links, and to hear what uploads are like.
fn is_open(method: &str, path: &str) -> bool {
    let login = method == "post" && path.ends_with("/sessions");
    login || method == "options" || path.contains("/shared/")
}

fn declare<const SCHEMES: usize, const WAYS: usize>(
    document: &mut OpenApi,
    schemes: [(&str, SecurityScheme); SCHEMES],
    ways: [SecurityRequirement; WAYS],
) {
    let components = document.components.get_or_insert_default();
    for (name, scheme) in schemes {
        let all = &mut components.security_schemes;
        all.insert(name.to_owned(), RefOr::T(scheme));
    }
    document.security = Some(ways.into());
    // Whatever the host is called, its paths begin here.
    document.servers = Some(vec![Server::new("/")]);
}

fn bearer(what: &str) -> SecurityScheme {
    let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer);
    SecurityScheme::Http(token.description(Some(what)).build())
}

fn one(name: &str) -> SecurityRequirement {
    SecurityRequirement::new::<_, [&str; 0], _>(name, [])
}
