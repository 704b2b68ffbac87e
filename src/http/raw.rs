//! Bytes, as the document of the API calls them.

use utoipa::ToSchema;

/// Bytes as they are.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
pub struct Raw(pub Vec<u8>);
