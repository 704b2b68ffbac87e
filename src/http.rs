//! HTTPS: the API; parses requests, calls `vfs` and `accounts`, renders answers.

/// What an account does for itself: sessions, tokens, password, keys.
pub mod account {
    pub mod activity;
    pub mod keys;
    pub mod owner;
    pub mod password;
    pub mod pending;
    pub mod sessions;
    pub mod tokens;
}
/// What operators do, and administrators of tenants.
pub mod admin {
    pub mod account_view;
    pub mod accounts;
    pub mod acting;
    pub mod audit;
    pub mod credentials;
    pub mod data_keys;
    pub mod deleted;
    pub mod grants;
    pub mod groups;
    pub mod hosts;
    pub mod links;
    pub mod operator;
    pub mod own_tenant;
    pub mod power;
    pub mod regions;
    pub mod routes;
    pub mod sessions;
    pub mod ssh_authorities;
    pub mod tenants;
    pub mod tokens;
    pub mod version;
    pub mod wish;
    pub mod x509_authorities;
}
pub mod ahead;
pub mod basic;
pub mod clear;
pub mod cookie;
pub mod counted;
pub mod extract;
pub mod failures;
pub mod guard;
pub mod headers;
pub mod health;
pub mod held;
pub mod holders;
pub mod hosts;
pub mod leftover;
pub mod me;
pub mod metrics;
pub mod misfit;
pub mod once;
pub mod origin;
pub mod page;
pub mod paging;
pub mod peer;
pub mod portions;
pub mod queries;
pub mod raw;
pub mod reply;
pub mod router;
pub mod security;
pub mod server;
pub mod settings;
pub mod stall;
pub mod standing;
pub mod tags;
pub mod taken;
pub mod tally;
pub mod visitor;
pub mod visits;
pub mod web;
/// Telling others what happens: a tenant's webhooks.
pub mod webhooks {
    pub mod deliveries;
    pub mod routes;
    pub mod temporary;
    pub mod wanted;
}

/// WebDAV: the same files as drives and programs see them.
pub mod dav {
    pub mod asked;
    pub mod body;
    pub mod condition;
    pub mod copy;
    pub mod fault;
    pub mod live;
    pub mod locking;
    pub mod place;
    pub mod propfind;
    pub mod proppatch;
    pub mod routes;
    pub mod token;
    pub mod transfer;
    pub mod tree;
    pub mod xml;
}

/// Files and folders: one noun each.
pub mod files {
    pub mod archive;
    pub mod bundle;
    pub mod condition;
    pub mod digest;
    pub mod disposition;
    pub mod download;
    pub mod entries;
    pub mod folders;
    pub mod media;
    pub mod moves;
    pub mod place;
    pub mod pump;
    pub mod range;
    pub mod routes;
    pub mod search;
    pub mod tar;
    pub mod upload;
    pub mod view;
    pub mod zip;
}

/// Links by which people come who have no account.
pub mod links {
    pub mod guests;
    pub mod info;
    pub mod outsider;
    pub mod own;
    pub mod read;
    pub mod routes;
    pub mod send;
    pub mod veil;
}

/// Uploads that are addressed by an id and go on after a break: tus 1.0.
pub mod uploads {
    pub mod answer;
    pub mod checksum;
    pub mod create;
    pub mod desk;
    pub mod metadata;
    pub mod receive;
    pub mod request;
    pub mod routes;
}
