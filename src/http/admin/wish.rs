//! What a change says of a field: nothing, null, or a value.

use serde::{Deserialize, Deserializer};

use crate::accounts::manage::Limit;
use crate::http::reply::Problem;

/// A limit: none when it is null. What is not said is left by `#[serde(default)]`.
///
/// # Errors
/// What the number is instead.
pub fn limit<'a, D: Deserializer<'a>>(from: D) -> Result<Limit<u64>, D::Error> {
    Ok(match Option::deserialize(from)? {
        Some(limit) => Limit::Set(limit),
        None => Limit::Lift,
    })
}

/// A value: `Some(None)` when it is null. What is not said is left by `#[serde(default)]`.
///
/// # Errors
/// What the value is instead.
pub fn nullable<'a, D, T>(from: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'a>,
    T: Deserialize<'a>,
{
    Option::deserialize(from).map(Some)
}

/// What a change says of a field that cannot be none.
///
/// # Errors
/// 400 when it is null.
pub fn never_null<T>(field: &str, said: Option<Option<T>>) -> Result<Option<T>, Problem> {
    match said {
        Some(None) => Err(Problem::malformed(format!(
            "'{field}' cannot be null; leave it out, so that it stays as it is"
        ))),
        Some(value) => Ok(value),
        None => Ok(None),
    }
}
