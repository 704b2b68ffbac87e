//! Integration tests: real parts, real clients.
