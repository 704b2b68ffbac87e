//! Properties that clients keep with files and folders and that mean nothing to us.

/// A property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    /// The namespace of its name; empty for none.
    pub space: String,
    /// The name in it.
    pub name: String,
    /// The whole element, as XML that needs no declaration around it.
    pub value: String,
}
