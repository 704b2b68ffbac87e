//! What the tests stand on, where it serves here too.

#[path = "../../tests/it/support/client.rs"]
pub(crate) mod client;
#[path = "../../tests/it/support/cloud.rs"]
pub(crate) mod cloud;
#[path = "../../tests/it/support/folder.rs"]
pub(crate) mod folder;
#[path = "../../tests/it/support/ftp_peer.rs"]
pub(crate) mod ftp_peer;
#[path = "../../tests/it/support/ftp_raw.rs"]
pub(crate) mod ftp_raw;
#[path = "../../tests/it/support/kms.rs"]
pub(crate) mod kms;
#[path = "../../tests/it/support/postgres.rs"]
pub(crate) mod postgres;
#[path = "../../tests/it/support/proxy.rs"]
pub(crate) mod proxy;
#[path = "../../tests/it/support/seaweed.rs"]
pub(crate) mod seaweed;
#[path = "../../tests/it/support/server.rs"]
pub(crate) mod server;
#[path = "../../tests/it/support/wait.rs"]
pub(crate) mod wait;
#[path = "../../tests/it/support/world.rs"]
pub(crate) mod world;
