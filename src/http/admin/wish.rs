//! What a change says of a field: nothing, null, or a value.

use serde::{Deserialize, Deserializer};

use crate::accounts::manage::Limit;

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
