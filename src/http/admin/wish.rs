//! What a change says of a field: nothing, null, or a value.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::accounts::manage::Limit;
use crate::http::reply::Problem;

/// Highest limit: what a database's whole numbers hold.
const MOST: u64 = i64::MAX.cast_unsigned();

/// A limit: none when it is null. What is not said is left by `#[serde(default)]`.
///
/// # Errors
/// What the number is instead, or that it is more than can be stored.
pub fn limit<'a, D: Deserializer<'a>>(from: D) -> Result<Limit<u64>, D::Error> {
    Ok(match most(from)? {
        Some(limit) => Limit::Set(limit),
        None => Limit::Lift,
    })
}

/// A limit that may be left out, with `#[serde(default)]`.
///
/// # Errors
/// What the number is instead, or that it is more than can be stored.
pub fn most<'a, D: Deserializer<'a>>(from: D) -> Result<Option<u64>, D::Error> {
    let limit = Option::<u64>::deserialize(from)?;
    match limit.is_some_and(|limit| limit > MOST) {
        true => Err(D::Error::custom(format!(
            "a limit is at most {MOST}; null is none"
        ))),
        false => Ok(limit),
    }
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

/// What a change says of a list that limits: none of it lifts the limit, which only null asks for. Whoever means that
/// nothing is allowed would otherwise have allowed everything.
///
/// # Errors
/// 400 when there is nothing in it; `lifted` is what would be so without a limit.
pub fn never_empty<T>(
    field: &str,
    said: Option<Option<Vec<T>>>,
    lifted: &str,
) -> Result<Option<Vec<T>>, Problem> {
    match said {
        Some(Some(list)) if list.is_empty() => Err(Problem::malformed(format!(
            "'{field}' has nothing in it; null lifts the limit, so that {lifted}"
        ))),
        Some(list) => Ok(Some(list.unwrap_or_default())),
        None => Ok(None),
    }
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
