//! What kind of content a file seems to hold, by its name alone.

/// What browsers may do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Showing {
    /// It may be shown: nothing in it runs.
    Inline,
    /// It is only to be stored: it could run, or we do not know.
    Never,
}

const TYPES: [(&str, &str, Showing); 52] = [
    ("7z", "application/x-7z-compressed", Showing::Never),
    ("aac", "audio/aac", Showing::Inline),
    ("avif", "image/avif", Showing::Inline),
    ("avi", "video/x-msvideo", Showing::Inline),
    ("bmp", "image/bmp", Showing::Inline),
    ("bz2", "application/x-bzip2", Showing::Never),
    ("css", "text/css; charset=utf-8", Showing::Never),
    ("csv", "text/csv; charset=utf-8", Showing::Never),
    ("doc", "application/msword", Showing::Never),
    (
        "docx",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        Showing::Never,
    ),
    ("eml", "message/rfc822", Showing::Never),
    ("epub", "application/epub+zip", Showing::Never),
    ("flac", "audio/flac", Showing::Inline),
    ("gif", "image/gif", Showing::Inline),
    ("gz", "application/gzip", Showing::Never),
    ("htm", "text/html", Showing::Never),
    ("html", "text/html", Showing::Never),
    ("ico", "image/x-icon", Showing::Inline),
    ("ics", "text/calendar; charset=utf-8", Showing::Never),
    ("jpeg", "image/jpeg", Showing::Inline),
    ("jpg", "image/jpeg", Showing::Inline),
    ("js", "text/javascript; charset=utf-8", Showing::Never),
    ("json", "application/json", Showing::Never),
    ("log", "text/plain; charset=utf-8", Showing::Inline),
    ("m4a", "audio/mp4", Showing::Inline),
    ("md", "text/markdown; charset=utf-8", Showing::Never),
    ("mjs", "text/javascript; charset=utf-8", Showing::Never),
    ("mov", "video/quicktime", Showing::Inline),
    ("mp3", "audio/mpeg", Showing::Inline),
    ("mp4", "video/mp4", Showing::Inline),
    (
        "odt",
        "application/vnd.oasis.opendocument.text",
        Showing::Never,
    ),
    ("ogg", "audio/ogg", Showing::Inline),
    ("pdf", "application/pdf", Showing::Never),
    ("png", "image/png", Showing::Inline),
    ("ppt", "application/vnd.ms-powerpoint", Showing::Never),
    (
        "pptx",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        Showing::Never,
    ),
    ("rtf", "application/rtf", Showing::Never),
    ("svg", "image/svg+xml", Showing::Never),
    ("tar", "application/x-tar", Showing::Never),
    ("tif", "image/tiff", Showing::Inline),
    ("tiff", "image/tiff", Showing::Inline),
    ("txt", "text/plain; charset=utf-8", Showing::Inline),
    ("wav", "audio/wav", Showing::Inline),
    ("webm", "video/webm", Showing::Inline),
    ("webp", "image/webp", Showing::Inline),
    ("xhtml", "application/xhtml+xml", Showing::Never),
    ("xls", "application/vnd.ms-excel", Showing::Never),
    (
        "xlsx",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        Showing::Never,
    ),
    ("xml", "application/xml", Showing::Never),
    ("xz", "application/x-xz", Showing::Never),
    ("zip", "application/zip", Showing::Never),
    ("zst", "application/zstd", Showing::Never),
];

/// The media type of a file of this name, and what browsers may do with it.
pub fn kind(name: &str) -> (&'static str, Showing) {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending);
    let known = TYPES
        .iter()
        .find(|(known, ..)| ending.is_some_and(|ending| ending.eq_ignore_ascii_case(known)));
    known.map_or(
        ("application/octet-stream", Showing::Never),
        |(_, kind, showing)| (*kind, *showing),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_run_is_never_shown() {
        for name in [
            "a.html", "a.SVG", "a.xml", "a.js", "a.xhtml", "a.pdf", "a", "a.exe", ".html",
        ] {
            assert_eq!(kind(name).1, Showing::Never, "{name}");
        }
        assert_eq!(kind("x.tar.GZ").0, "application/gzip");
        assert_eq!(kind("photo.JPG"), ("image/jpeg", Showing::Inline));
    }
}
