//! Parameters of statements.

/// A parameter of a statement; `None` is NULL.
#[derive(Clone, Debug)]
pub enum Value {
    /// BYTEA or BLOB.
    Bytes(Option<Vec<u8>>),
    /// BIGINT.
    Int(Option<i64>),
    /// TEXT.
    Text(Option<String>),
    /// BYTEA[]; PostgreSQL only, as the other lists.
    ManyBytes(Vec<Option<Vec<u8>>>),
    /// BIGINT[].
    ManyInts(Vec<Option<i64>>),
    /// TEXT[].
    ManyTexts(Vec<Option<String>>),
}

impl Value {
    /// Adds a value to a list of its kind. One of another kind is left out, and whoever gets lists of
    /// different lengths fails.
    pub(in crate::db) fn push(&mut self, value: Self) {
        match (self, value) {
            (Self::ManyBytes(list), Self::Bytes(value)) => list.push(value),
            (Self::ManyInts(list), Self::Int(value)) => list.push(value),
            (Self::ManyTexts(list), Self::Text(value)) => list.push(value),
            _ => {}
        }
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(Some(value))
    }
}

impl From<Option<i64>> for Value {
    fn from(value: Option<i64>) -> Self {
        Self::Int(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(Some(value.to_owned()))
    }
}

impl From<Option<String>> for Value {
    fn from(value: Option<String>) -> Self {
        Self::Text(value)
    }
}

impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Self {
        Self::Bytes(Some(value.to_vec()))
    }
}

impl From<&[u8; 16]> for Value {
    fn from(value: &[u8; 16]) -> Self {
        Self::Bytes(Some(value.to_vec()))
    }
}

impl From<Option<Vec<u8>>> for Value {
    fn from(value: Option<Vec<u8>>) -> Self {
        Self::Bytes(value)
    }
}
