//! What WebDAV looks at in the very change that it makes: versions, locks and limits. Refused is all of it.

use std::fs;

use crate::support::dav::Dav;
use crate::support::https_door::HttpsDoor;

fn demo(door: &HttpsDoor) -> Dav {
    Dav::of(door.address(), &door.user())
}

#[test]
fn properties_that_would_grow_when_they_are_kept_are_refused() {
    let door = HttpsDoor::up();
    let dav = demo(&door);
    dav.put("/f", "f", &[]);
    let (space, long) = ("n".repeat(30_000), "m".repeat(1_001));
    let grown = format!(
        "<a xmlns='x'><b xmlns='{space}'>{}</b></a>",
        "<c/>".repeat(5_000)
    );
    let many = format!(
        "<a xmlns='x' xmlns:y='{space}'>{}</a>",
        "<c y:d=''/>".repeat(2_000)
    );
    let named = format!("<a xmlns='{long}'/>");
    let file = door.server.data().join("patch");
    for property in [grown, many, named] {
        let patch = format!(
            "<D:propertyupdate xmlns:D='DAV:'><D:set><D:prop>{property}</D:prop></D:set></D:propertyupdate>"
        );
        fs::write(&file, patch).unwrap();
        let patch = format!("@{}", file.display());
        let refused = dav.ask("PROPPATCH", "/f", &["--data-binary", &patch]);
        assert_eq!(refused.status, 400, "{}", refused.text());
    }
}
