//! Lists in parts: how many items, and where a part begins.

use std::str::FromStr;

use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;

use crate::http::reply::Problem;

/// Most items of a page, and how many there are if nobody says.
pub const MOST_ITEMS: u32 = 1000;
const ITEMS: u32 = 200;

/// Which part of a list is wanted.
#[derive(Clone, Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Paging {
    /// Most items of this part.
    #[param(minimum = 1, maximum = 1000, default = 200)]
    limit: Option<u32>,
    /// `next` of the part before; none for the first part.
    cursor: Option<String>,
}

impl Paging {
    /// Most items.
    ///
    /// # Errors
    /// 400 when it is none or too many.
    pub fn limit(&self) -> Result<usize, Problem> {
        let limit = self.limit.unwrap_or(ITEMS);
        match (1..=MOST_ITEMS).contains(&limit) {
            true => Ok(limit as usize),
            false => Err(Problem::malformed(format!(
                "limit must be 1 to {MOST_ITEMS}"
            ))),
        }
    }

    /// What the cursor says: behind what the part begins.
    ///
    /// # Errors
    /// 400 when it is not one of ours.
    pub fn after(&self) -> Result<Option<String>, Problem> {
        let decode = |cursor: &String| {
            let decoded = BASE64URL_NOPAD.decode(cursor.as_bytes()).ok();
            let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
            // PostgreSQL takes no NUL.
            let decoded = decoded.filter(|text| !text.contains('\0') && !text.is_empty());
            decoded.ok_or_else(not_ours)
        };
        self.cursor.as_ref().map(decode).transpose()
    }

    /// The same of lists that are not in the order of texts.
    ///
    /// # Errors
    /// 400 when it is not one of ours.
    pub fn place<T: FromStr>(&self) -> Result<Option<T>, Problem> {
        let place = self.after()?.map(|text| text.parse());
        place.transpose().map_err(|_| not_ours())
    }
}

/// The cursor that says `after`.
pub fn cursor(after: &str) -> String {
    BASE64URL_NOPAD.encode(after.as_bytes())
}

fn not_ours() -> Problem {
    Problem::malformed("the cursor is not the 'next' of the part before")
}
