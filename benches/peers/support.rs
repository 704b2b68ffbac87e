//! What the tests stand on, where it serves here too.

#[path = "../../tests/it/support/folder.rs"]
pub(crate) mod folder;
#[path = "../../tests/it/support/postgres.rs"]
pub(crate) mod postgres;
#[path = "../../tests/it/support/wait.rs"]
pub(crate) mod wait;
#[path = "../../tests/it/support/world.rs"]
pub(crate) mod world;
