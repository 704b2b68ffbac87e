//! Headers, for the OpenAPI document: operations name those that they read and send; what each is, and which come with
//! all answers of a kind, is said here, once.

use std::collections::BTreeSet;

use utoipa::IntoParams;
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::Operation;
use utoipa::openapi::response::Response;
use utoipa::openapi::schema::Type;
use utoipa::openapi::{Object, OpenApi, Ref, RefOr};

use crate::http::uploads::answer::is_upload;

/// Which part of a file is wanted (RFC 9110 sections 13.1.5 and 14).
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct Partly {
    /// One part of the file: `bytes=0-1023`, `bytes=1024-` or `bytes=-1024`. Several at once are answered with the
    /// whole.
    #[param(rename = "Range", required = false)]
    pub range: String,
    /// An entity tag: the part that `Range` names is sent of this version only, and of another the whole. A date fits
    /// no version.
    #[param(rename = "If-Range", required = false)]
    pub if_range: String,
}

/// What a client has of a file.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct Since {
    /// A date: 304 if the file was not changed since. `If-None-Match` counts before it.
    #[param(rename = "If-Modified-Since", required = false)]
    pub if_modified_since: String,
}

/// On which versions a request depends (RFC 9110 section 13).
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct Versions {
    /// Entity tags, or `*`: 412 unless what is there is one of these versions, or anything.
    #[param(rename = "If-Match", required = false)]
    pub if_match: String,
    /// Entity tags, or `*`: if what is there is one of these versions, or anything, reading is answered with 304 and
    /// changing with 412.
    #[param(rename = "If-None-Match", required = false)]
    pub if_none_match: String,
    /// A date: 412 if what is there was changed since. `If-Match` counts before it.
    #[param(rename = "If-Unmodified-Since", required = false)]
    pub if_unmodified_since: String,
}

/// On which version of an account or a tenant a change depends.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct Version {
    /// The entity tag of the version that the client knows: 412 if it is another by now.
    #[param(rename = "If-Match", required = false)]
    pub if_match: String,
}

/// What the bytes that come are compared with.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct Sums {
    /// The SHA-256 of the file, as RFC 9530 writes it: `sha-256=:` base64 `:`.
    #[param(rename = "Repr-Digest", required = false)]
    pub repr_digest: String,
    /// The same.
    #[param(rename = "Content-Digest", required = false)]
    pub content_digest: String,
    /// The same, as 64 hex digits.
    #[param(rename = "X-Checksum-Sha256", required = false)]
    pub x_checksum_sha256: String,
}

/// Which version of tus a client speaks.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct Tus {
    /// `1.0.0`.
    #[param(rename = "Tus-Resumable")]
    pub tus_resumable: String,
}

/// How an upload begins.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct Beginning {
    /// How long the file is, in bytes.
    #[param(rename = "Upload-Length", required = false)]
    pub upload_length: u64,
    /// `1`: the length is said later, if whoever takes the file takes any number of bytes.
    #[param(rename = "Upload-Defer-Length", required = false)]
    pub upload_defer_length: String,
    /// `partial`, or `final;` and the addresses of the parts.
    #[param(rename = "Upload-Concat", required = false)]
    pub upload_concat: String,
    /// An algorithm and the sum of the body in base64, if a first piece comes.
    #[param(rename = "Upload-Checksum", required = false)]
    pub upload_checksum: String,
    /// `POST`, or nothing.
    #[param(rename = "X-HTTP-Method-Override", required = false)]
    pub method: String,
}

/// What a piece of an upload is.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct Piece {
    /// How far the upload is.
    #[param(rename = "Upload-Offset")]
    pub upload_offset: u64,
    /// How long it will be, if that was not said before.
    #[param(rename = "Upload-Length", required = false)]
    pub upload_length: u64,
    /// An algorithm and the sum of the body in base64.
    #[param(rename = "Upload-Checksum", required = false)]
    pub upload_checksum: String,
}

/// What another method is, for clients that can send nothing but POST.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct Instead {
    /// `PATCH`, `HEAD` or `DELETE`.
    #[param(rename = "X-HTTP-Method-Override")]
    pub method: String,
    /// How far the upload is, for `PATCH`.
    #[param(rename = "Upload-Offset", required = false)]
    pub upload_offset: u64,
    /// How long it will be, for `PATCH`, if that was not said before.
    #[param(rename = "Upload-Length", required = false)]
    pub upload_length: u64,
    /// An algorithm and the sum of the body in base64, for `PATCH`.
    #[param(rename = "Upload-Checksum", required = false)]
    pub upload_checksum: String,
}

/// Says that an answer was given before.
pub const REPLAYED: &str = "X-Sealift-Replayed";
/// When to ask again.
pub const RETRY_AFTER: &str = "Retry-After";

/// What comes with answers, beside what comes with all.
const SENT: [(&str, Type, &str); 23] = [
    (
        "Accept-Ranges",
        Type::String,
        "`bytes`: parts can be asked for by `Range`",
    ),
    (
        "Content-Disposition",
        Type::String,
        "the name under which it is stored, and whether browsers may show it",
    ),
    (
        "Content-Range",
        Type::String,
        "which bytes follow, and of how many; `bytes */` and the length of the file if there are none",
    ),
    (
        "ETag",
        Type::String,
        "names this version, for `If-Match`, `If-None-Match` and `If-Range`",
    ),
    (
        "Last-Modified",
        Type::String,
        "when the content was last changed, to the second",
    ),
    ("Location", Type::String, "where it is from now on"),
    (
        "Repr-Digest",
        Type::String,
        "the SHA-256 of the whole file, if it is known: `sha-256=:` base64 `:`",
    ),
    (
        RETRY_AFTER,
        Type::Integer,
        "in how many seconds to ask again, if that is known",
    ),
    (
        "Set-Cookie",
        Type::String,
        "the cookie that the browser is to keep, or to forget",
    ),
    (
        "Tus-Checksum-Algorithm",
        Type::String,
        "the algorithms that `Upload-Checksum` may name",
    ),
    ("Tus-Extension", Type::String, "what is done of tus"),
    (
        "Tus-Max-Size",
        Type::Integer,
        "how long a file may be, in bytes",
    ),
    (
        "Tus-Resumable",
        Type::String,
        "the version of tus that is spoken: `1.0.0`",
    ),
    (
        "Tus-Version",
        Type::String,
        "the versions of tus that are known",
    ),
    (
        "Upload-Concat",
        Type::String,
        "`partial`, or `final;` and the parts; not of whole uploads",
    ),
    (
        "Upload-Defer-Length",
        Type::String,
        "`1`: it was not said yet how long the file is",
    ),
    (
        "Upload-Expires",
        Type::String,
        "when the upload is discarded unless it goes on",
    ),
    (
        "Upload-Length",
        Type::Integer,
        "how long the file is, in bytes",
    ),
    (
        "Upload-Metadata",
        Type::String,
        "what was said when the upload was begun",
    ),
    (
        "Upload-Offset",
        Type::Integer,
        "how many bytes are durable: where to go on",
    ),
    ("WWW-Authenticate", Type::String, "how to log in"),
    (
        "X-Sealift-Name",
        Type::String,
        "the name that the file got, once it is complete; percent-encoded",
    ),
    (
        REPLAYED,
        Type::String,
        "`true`: this was the answer to the same request before",
    ),
];

/// Adds a header to an answer.
pub fn add(response: &mut RefOr<Response>, name: &str) {
    if let RefOr::T(response) = response {
        let place = RefOr::Ref(Ref::new(format!("#/components/headers/{name}")));
        response.headers.insert(name.to_owned(), place);
    }
}

/// Adds the headers that come with all answers of a kind.
pub fn describe(operation: &mut Operation, method: &str, path: &str) {
    for (status, response) in &mut operation.responses.responses {
        match status.as_str() {
            "401" => add(response, "WWW-Authenticate"),
            "429" | "503" => add(response, RETRY_AFTER),
            _ => {}
        }
        if !is_upload(path) {
            continue;
        }
        add(response, "Tus-Resumable");
        match (method, status.as_str()) {
            (_, "412") => add(response, "Tus-Version"),
            ("patch", "409") => add(response, "Upload-Offset"),
            _ => {}
        }
    }
}

/// Says of each header that an answer names what it is.
pub fn explain(document: &mut OpenApi) {
    let mut named = BTreeSet::new();
    for item in document.paths.paths.values_mut() {
        let operations = [
            &mut item.get,
            &mut item.put,
            &mut item.post,
            &mut item.delete,
            &mut item.options,
            &mut item.head,
            &mut item.patch,
        ];
        for operation in operations.into_iter().flatten() {
            for response in operation.responses.responses.values_mut() {
                let RefOr::T(inner) = &*response else {
                    continue;
                };
                let names: Vec<_> = inner.headers.keys().cloned().collect();
                for name in names {
                    add(response, &name);
                    named.insert(name);
                }
            }
        }
    }
    let components = document.components.get_or_insert_default();
    for (name, kind, what) in SENT {
        if named.contains(name) {
            let header: Header = HeaderBuilder::new()
                .schema(Some(Object::with_type(kind)))
                .description(Some(what))
                .build();
            components.headers.insert(name.to_owned(), header.into());
        }
    }
}
