//! Integration tests: real parts, real clients.

/// What the tests stand on: real servers, started and stopped here.
#[cfg(test)]
mod support {
    pub(crate) mod postgres;
    pub(crate) mod wait;
}
