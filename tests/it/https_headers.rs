//! The headers of answers against the description of the API: whatever comes, the document names it for that status.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::admin_door::{self, AdminDoor};
use crate::support::https_door::{Answer, HttpsDoor, ask};
use crate::support::links::{Link, SHARES};
use crate::support::tus::{PIECE, SPEAK, Tus, UPLOADS, location, to};

/// What comes with every answer, or says how the bytes come.
const USUAL: [&str; 12] = [
    "cache-control",
    "connection",
    "content-length",
    "content-security-policy",
    "content-type",
    "cross-origin-resource-policy",
    "date",
    "permissions-policy",
    "referrer-policy",
    "strict-transport-security",
    "x-content-type-options",
    "x-frame-options",
];

/// A description of the API.
struct Document(Value);

impl Document {
    /// The one of a port.
    fn of(url: &str) -> Self {
        Self(ask(&[], &format!("{url}/api/v1/openapi.json")).json())
    }

    /// Checks that an answer has no other headers than are named for it, and all of `sure`.
    #[track_caller]
    fn check(&self, method: &str, path: &str, status: u16, answer: &Answer, sure: &[&str]) {
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        let operation = &self.0["paths"][format!("/api/v1{path}")][method];
        let described = &operation["responses"][status.to_string()];
        assert!(described.is_object(), "{method} {path}: {status}");
        let named = described["headers"].as_object();
        let named: BTreeSet<_> = named
            .into_iter()
            .flatten()
            .map(|(name, _)| name.to_ascii_lowercase())
            .collect();
        let sent: BTreeSet<_> = answer
            .headers
            .iter()
            .map(|(name, _)| name.clone())
            .filter(|name| !USUAL.contains(&name.as_str()))
            .collect();
        let unnamed: Vec<_> = sent.difference(&named).collect();
        assert!(unnamed.is_empty(), "{method} {path} {status}: {unnamed:?}");
        let sure: BTreeSet<_> = sure.iter().map(|name| (*name).to_owned()).collect();
        let missing: Vec<_> = sure.difference(&sent).collect();
        assert!(missing.is_empty(), "{method} {path} {status}: {missing:?}");
    }

    /// Which headers an operation reads.
    #[track_caller]
    fn read(&self, method: &str, path: &str) -> Vec<&str> {
        let operation = &self.0["paths"][format!("/api/v1{path}")][method];
        let parameters = operation["parameters"].as_array().unwrap().iter();
        let headers = parameters.filter(|parameter| parameter["in"] == "header");
        headers.map(|one| one["name"].as_str().unwrap()).collect()
    }
}

#[test]
fn what_comes_with_files_is_in_the_document() {
    let door = HttpsDoor::up();
    let document = Document::of(&door.url(""));
    let (one, at) = ("/files/{path}", "/api/v1/files/dir/a.txt");
    let stored = door.put("/dir/a.txt?parents=true", "hello", &[]);
    document.check("put", one, 201, &stored, &["etag", "location"]);
    let tag = stored.header("etag").unwrap().to_owned();
    let again = door.put("/dir/a.txt", "hello", &[]);
    document.check("put", one, 200, &again, &["etag", "location"]);
    let stale = format!("If-Match: {tag}");
    let refused = door.put("/dir/a.txt", "hello", &["-H", &stale]);
    document.check("put", one, 412, &refused, &[]);
    let coded = ["-H", "Transfer-Encoding: gzip, chunked", "--http1.1"];
    let refused = door.put("/dir/a.txt", "hello", &coded);
    document.check("put", one, 501, &refused, &[]);

    let known = ["etag", "last-modified"];
    let whole = [
        &known[..],
        &["accept-ranges", "content-disposition", "repr-digest"],
    ]
    .concat();
    let part = [&whole[..], &["content-range"]].concat();
    for (method, word) in [("get", "--get"), ("head", "--head")] {
        let ask = |words: &[&str]| door.demo(&[&[word], words].concat(), at);
        let got = ask(&[]);
        document.check(method, one, 200, &got, &whole);
        let tag = format!("If-None-Match: {}", got.header("etag").unwrap());
        document.check(method, one, 304, &ask(&["-H", &tag]), &known);
        document.check(method, one, 412, &ask(&["-H", &stale]), &[]);
    }
    let get = |range: &str| door.demo(&["-H", range], at);
    let behind = get("Range: bytes=9-");
    document.check("get", one, 206, &get("Range: bytes=1-2"), &part);
    document.check("get", one, 416, &behind, &["content-range"]);
    let stranger = door.ask(&[], at);
    document.check("get", one, 401, &stranger, &["www-authenticate"]);

    let (folder, entry) = ("/folders/{path}", "/entries/{path}");
    let listed = door.demo(&[], "/api/v1/folders/dir");
    document.check("get", folder, 200, &listed, &[]);
    let made = door.demo(&["-X", "POST"], "/api/v1/folders/new");
    document.check("post", folder, 201, &made, &["etag", "location"]);
    let seen = door.demo(&[], "/api/v1/entries/dir/a.txt");
    document.check("get", entry, 200, &seen, &["etag"]);
    let way = r#"{"from":"/dir/a.txt","to":"/b.txt"}"#;
    let copied = door.send("POST", "/copy", way, &[]);
    document.check("post", "/copy", 201, &copied, &["etag", "location"]);
    let way = r#"{"from":"/dir/a.txt","to":"/c.txt"}"#;
    let once = ["-H", "Idempotency-Key: once"];
    let moved = door.send("POST", "/move", way, &once);
    document.check("post", "/move", 200, &moved, &["etag"]);
    let moved = door.send("POST", "/move", way, &once);
    let replayed = ["etag", "x-sealift-replayed"];
    document.check("post", "/move", 200, &moved, &replayed);
    let packed = door.demo(&[], "/api/v1/archive?path=/dir");
    document.check("get", "/archive", 200, &packed, &["content-disposition"]);
    let login = json!({ "login": "demo@demo", "password": door.server.password() });
    let logged_in = door.send("POST", "/sessions", &login.to_string(), &[]);
    document.check("post", "/sessions", 201, &logged_in, &["set-cookie"]);
}

/// Uploads by tus as one client sends them, at operations below `area`.
#[track_caller]
fn upload(document: &Document, area: &str, start: &Answer, tus: impl Fn(&[&str], &str) -> Answer) {
    let (all, one) = (format!("{area}/uploads"), format!("{area}/uploads/{{id}}"));
    let began = ["location", "tus-resumable", "upload-expires"];
    document.check("post", &all, 201, start, &began);
    let at = location(start);
    let speak = ["-H", SPEAK];
    let piece = |offset: &str, text: &str| {
        let offset = format!("Upload-Offset: {offset}");
        let words = ["-X", "PATCH", "-H", PIECE, "-H", &offset, "-d", text];
        tus(&[&speak[..], &words].concat(), &at)
    };
    let moved_on = ["tus-resumable", "upload-expires", "upload-offset"];
    document.check("patch", &one, 204, &piece("0", "he"), &moved_on);
    let standing = tus(&[&speak[..], &["--head"]].concat(), &at);
    let told = [&moved_on[..], &["upload-length", "upload-metadata"]].concat();
    document.check("head", &one, 200, &standing, &told);
    let elsewhere = ["tus-resumable", "upload-offset"];
    document.check("patch", &one, 409, &piece("0", "he"), &elsewhere);
    let versions = ["tus-resumable", "tus-version"];
    document.check("head", &one, 412, &tus(&["--head"], &at), &versions);
    document.check("patch", &one, 204, &piece("2", "llo"), &elsewhere);
    let can = tus(&["-X", "OPTIONS"], &at);
    let offers = [
        "tus-checksum-algorithm",
        "tus-extension",
        "tus-max-size",
        "tus-resumable",
        "tus-version",
    ];
    document.check("options", &one, 204, &can, &offers);
}

#[test]
fn what_comes_with_uploads_is_in_the_document() {
    let door = HttpsDoor::up();
    let document = Document::of(&door.url(""));
    let client = Tus::of(&door.server);
    let start = client.post(&["Upload-Length: 5", &to("/a.txt")]);
    upload(&document, "", &start, |words, at| door.demo(words, at));
    let coded = ["-H", "Transfer-Encoding: gzip, chunked", "--http1.1"];
    let words = [&["-X", "POST", "-H", SPEAK, "-H", PIECE], &coded[..]].concat();
    let refused = door.demo(&words, UPLOADS);
    document.check("post", "/uploads", 501, &refused, &["tus-resumable"]);

    door.demo(&["-X", "POST"], "/api/v1/folders/inbox");
    let wanted = json!({ "path": "/inbox", "kind": "upload" });
    let made = door.send("POST", "/shares", &wanted.to_string(), &[]);
    document.check("post", "/shares", 201, &made, &["location"]);
    let link: Link<'_> = door.link(&wanted);
    let name = "Upload-Metadata: filename YS50eHQ=";
    let words = ["-X", "POST", "-H", SPEAK];
    let words = [&words[..], &["-H", "Upload-Length: 5", "-H", name]].concat();
    let start = link.ask(&words, "/uploads");
    upload(&document, "/shared/{token}", &start, |words, at| {
        door.ask(words, at)
    });
    let sent = link.put("b.txt", "b", &[]);
    let named = ["x-sealift-name"];
    document.check("put", "/shared/{token}/files/{path}", 201, &sent, &named);
    let shown = door.demo(&[], &format!("{SHARES}/{}", link.id));
    document.check("get", "/shares/{id}", 200, &shown, &[]);
}

#[test]
fn what_comes_with_tenants_and_accounts_is_in_the_document() {
    let admin = AdminDoor::up();
    let document = Document::of(&admin.url(""));
    let shown = admin.root(&[], "/tenants/demo");
    document.check("get", "/tenants/{tenant}", 200, &shown, &["etag"]);
    let made = admin.done("POST", "/tenants", Some(r#"{"name":"acme"}"#));
    document.check("post", "/tenants", 201, &made, &["etag", "location"]);
    let stale = ["-H", "If-Match: \"0\""];
    let words = [&admin_door::json("PATCH", "{}")[..], &stale].concat();
    let refused = admin.root(&words, "/tenants/acme");
    document.check("patch", "/tenants/{tenant}", 412, &refused, &[]);
    let body = r#"{"user":"ann","password":"long-secret"}"#;
    let added = admin.done("POST", "/tenants/acme/accounts", Some(body));
    let accounts = "/tenants/{tenant}/accounts";
    document.check("post", accounts, 201, &added, &["etag"]);
    assert_eq!(
        document.read("patch", "/tenants/{tenant}"),
        ["If-Match"],
        "and no more"
    );
    let page = admin.root(&[], "/").text();
    assert!(page.contains("<a href=\"#audit-log\">audit log</a>"));
    assert!(page.contains("<h2 id=\"audit-log\">"));
    assert!(!page.contains('`'));
}

#[test]
fn the_document_names_what_is_read() {
    let door = HttpsDoor::up();
    let document = Document::of(&door.url(""));
    let sorted = |method: &str, path: &str| {
        let mut names = document.read(method, path);
        names.sort_unstable();
        names.join(" ")
    };
    let wanting = "If-Match If-Modified-Since If-None-Match If-Range If-Unmodified-Since Range";
    // Ranges mean nothing to HEAD.
    let looking = "If-Match If-Modified-Since If-None-Match If-Unmodified-Since".to_owned();
    let versions = "If-Match If-None-Match If-Unmodified-Since";
    for (method, path, names) in [
        ("get", "/files/{path}", wanting.to_owned()),
        ("head", "/files/{path}", looking.clone()),
        ("get", "/shared/{token}/file", wanting.to_owned()),
        ("head", "/shared/{token}/files/{path}", looking.clone()),
        (
            "put",
            "/files/{path}",
            format!("Content-Digest {versions} Repr-Digest X-Checksum-Sha256 X-Modified"),
        ),
        (
            "put",
            "/shared/{token}/files/{path}",
            "Content-Digest Repr-Digest X-Checksum-Sha256".to_owned(),
        ),
        ("delete", "/entries/{path}", versions.to_owned()),
        ("patch", "/entries/{path}", versions.to_owned()),
        ("post", "/move", format!("Idempotency-Key {versions}")),
        ("post", "/copy", format!("Idempotency-Key {versions}")),
        (
            "patch",
            "/uploads/{id}",
            "Tus-Resumable Upload-Checksum Upload-Length Upload-Offset".to_owned(),
        ),
        ("patch", "/admin/accounts/{user}", "If-Match".to_owned()),
    ] {
        assert_eq!(sorted(method, path), names, "{method} {path}");
    }
    let begun = sorted("post", "/uploads");
    for name in ["Upload-Defer-Length", "Upload-Metadata", "Upload-Concat"] {
        assert!(begun.contains(name), "{begun}");
    }
    let post = &document.0["paths"]["/api/v1/uploads"]["post"];
    assert_eq!(post["requestBody"]["required"], false);

    // Each header is described once, and nothing is described that is nowhere.
    let described = document.0["components"]["headers"].as_object().unwrap();
    let mut named = BTreeSet::new();
    for (path, item) in document.0["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let answers = operation["responses"].as_object().unwrap().values();
            for (name, header) in answers
                .flat_map(|answer| answer["headers"].as_object())
                .flatten()
            {
                let place = format!("#/components/headers/{name}");
                assert_eq!(header["$ref"], place, "{method} {path}");
                named.insert(name.clone());
            }
        }
    }
    let described: BTreeSet<_> = described.keys().cloned().collect();
    assert_eq!(named, described);

    let page = door.ask(&[], "/api/v1/").text();
    for words in ["If-Range", "href=\"#header-ETag\"", "id=\"header-ETag\""] {
        assert!(page.contains(words), "{words}");
    }
}
