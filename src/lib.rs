//! Sealift: a secure multi-tenant file transfer server.
//!
//! A tenant's tree is a log of changes in the database; file content lives in write-once, sealed
//! blobs under random ids. Imports point down this list; siblings do not know each other.

/// No I/O: ids, paths, nodes, principals and rights, changes, errors, clock.
pub mod domain {
    pub mod audit_kind;
    pub mod change;
    pub mod clock;
    pub mod content;
    pub mod error;
    pub mod host;
    pub mod id;
    pub mod link;
    pub mod lock;
    pub mod long_name;
    pub mod measures;
    pub mod news;
    pub mod node;
    pub mod path;
    pub mod pattern;
    pub mod principal;
    pub mod property;
    pub mod random;
    pub mod reserve;
    pub mod rights;
    pub mod role;
    pub mod scope;
    pub mod secret;
    pub mod shown;
    pub mod spans;
    pub mod sum;
    pub mod temporary;
    pub mod thread;
    pub mod topic;
    pub mod traffic;
    pub mod turns;
}

/// The sealed format, the key ring, password hashes.
pub mod crypto {
    pub mod keyring;
    pub mod kms;
    pub mod kms_envelope;
    pub mod kms_error;
    pub mod kms_probe;
    pub mod local_key;
    pub mod open;
    pub mod password;
    pub mod seal;
    pub mod small_secret;
    pub mod totp;
    pub mod webhook_signature;
}

/// Blob store trait; local disk, S3, memory; one wrapper per concern.
pub mod storage {
    pub mod breaker;
    pub mod disk;
    pub mod disk_root;
    pub mod faulty;
    pub mod local;
    pub mod measured;
    pub mod memory;
    pub mod open_files;
    pub mod proven;
    pub mod refusal;
    pub mod regions;
    pub mod s3;
    pub mod s3_blob;
    pub mod s3_bucket;
    pub mod s3_check;
    pub mod s3_error;
    pub mod s3_key;
    pub mod s3_marker;
    pub mod s3_notes;
    pub mod s3_place;
    pub mod s3_read;
    pub mod s3_settings;
    pub mod s3_writer;
    pub mod store;
}

/// Pools, transactions, changes, one file per kind of record.
pub mod db {
    pub mod account_certificates;
    pub mod account_office;
    pub mod accounts;
    pub mod acme;
    pub mod addressed;
    pub mod api_tokens;
    pub mod approach;
    pub mod attempt;
    pub mod audit;
    pub mod audit_search;
    pub mod authorities;
    pub mod blobs;
    pub mod clocks;
    pub mod commit;
    pub mod contents;
    pub mod copies;
    pub mod data_keys;
    pub mod database;
    pub mod deleted;
    pub mod deliveries;
    pub mod detached;
    pub mod entries;
    pub mod folders;
    pub mod grants;
    pub mod groups;
    pub mod in_place;
    pub mod installation;
    pub mod instances;
    pub mod kept;
    pub mod key_copies;
    pub mod known;
    pub mod leases;
    pub mod link_downloads;
    pub mod links;
    pub mod live_sessions;
    pub mod locks;
    pub mod login_guard;
    pub mod migrate;
    pub mod once;
    pub mod operation;
    pub mod operators;
    pub mod orphans;
    pub mod outbox;
    pub mod own_keys;
    pub mod placement;
    pub mod plan;
    pub mod postgres;
    pub mod properties;
    #[cfg(test)]
    mod query_plan;
    pub mod queue;
    pub mod regions;
    pub mod second_factors;
    pub mod server_role;
    pub mod sql;
    pub mod sqlite;
    pub mod superseded;
    pub mod syslog_cursors;
    pub mod tenant_hosts;
    pub mod tenants;
    pub mod ticket_keys;
    pub mod timekeeper;
    pub mod together;
    pub mod told_folders;
    pub mod upload_edits;
    pub mod uploads;
    pub mod usage;
    pub mod value;
    pub mod web_sessions;
    pub mod webhooks;
    pub mod x509;
}

/// Listeners, TLS certificates, connection limits, the buffer budget, readiness.
pub mod net {
    pub mod acme;
    pub mod budget;
    pub mod certificates;
    pub mod challenges;
    pub mod cloud;
    pub mod limit;
    pub mod listen;
    pub mod network;
    pub mod outgoing;
    pub mod post;
    pub mod proxy_protocol;
    pub mod reach;
    pub mod read_ahead;
    pub mod readiness;
    pub mod shutters;
    pub mod tickets;
    pub mod tls;
    pub mod tls_server;
}

/// Sessions, access, content, reading, writing, history: all that can be done to files.
pub mod vfs {
    pub mod access;
    pub mod addressed;
    pub mod addressed_join;
    pub mod addressed_piece;
    pub mod admission;
    pub mod apart;
    pub mod attributes;
    pub mod blob_reader;
    pub mod broken_off;
    pub mod chunks;
    pub mod claim;
    pub mod condition;
    pub mod copy_file;
    pub mod copy_folder;
    pub mod copy_tree;
    pub mod copying;
    pub mod damage;
    pub mod deleted;
    pub mod draft;
    pub mod early;
    pub mod feed;
    pub mod finishing;
    pub mod frames;
    pub mod gather;
    pub mod hasher;
    pub mod held;
    pub mod history;
    pub mod key_cache;
    pub mod key_care;
    pub mod key_copies;
    pub mod key_destroy;
    pub mod key_opening;
    pub mod keys;
    pub mod landing;
    pub mod leaving;
    pub mod leftover;
    pub mod listing;
    pub mod locks;
    pub mod look;
    pub mod make_folder;
    pub mod news;
    pub mod opening;
    pub mod options;
    pub mod original;
    pub mod own_view;
    pub mod piece;
    pub mod piece_memory;
    pub mod pieces;
    pub mod prefix;
    pub mod properties;
    pub mod publish;
    pub mod published;
    pub mod read;
    pub mod recycled;
    pub mod remove;
    pub mod rename;
    pub mod reserving;
    pub mod resume;
    pub mod sealers;
    pub mod search;
    pub mod seen;
    pub mod selection;
    pub mod senders;
    pub mod service;
    pub mod session;
    pub mod sink;
    pub mod source;
    pub mod space;
    pub mod spare;
    pub mod start;
    pub mod stranded;
    pub mod sums;
    pub mod target;
    pub mod upload;
    pub mod walk;
    pub mod write;
}

/// Metrics, traces and logs on their way out of the process.
pub mod telemetry {
    pub mod collector;
    pub mod exposition;
    pub mod otlp;
    pub mod parent;
    pub mod queue;
    pub mod scrape;
    pub mod settings;
    pub mod start;
    pub mod syslog_log;
    pub mod syslog_message;
}

/// Logging in, managing tenants and accounts.
pub mod accounts {
    pub mod attempt;
    pub mod bearer;
    pub mod cache;
    pub mod caller;
    pub mod certificate;
    pub mod confirmation;
    pub mod door;
    pub mod home;
    pub mod link_downloads;
    pub mod links;
    pub mod live;
    pub mod lockout;
    pub mod login;
    pub mod manage;
    pub mod manage_accounts;
    pub mod manage_alter;
    pub mod manage_audit;
    pub mod manage_authorities;
    pub mod manage_doors;
    pub mod manage_grants;
    pub mod manage_groups;
    pub mod manage_links;
    pub mod manage_logins;
    pub mod manage_placement;
    pub mod manage_sessions;
    pub mod manage_tenants;
    pub mod manage_tokens;
    pub mod manage_webhooks;
    pub mod manage_x509;
    pub mod methods;
    pub mod once;
    pub mod operators;
    pub mod own_account;
    pub mod own_links;
    pub mod own_sessions;
    pub mod own_tokens;
    pub mod places;
    pub mod presence;
    pub mod public_key;
    pub mod second_factor;
    pub mod secrets;
    pub mod sessions;
    pub mod ticket;
    pub mod told_failures;
    pub mod verify;
    pub mod webhook_secrets;
    pub mod webhook_views;
    pub mod x509;
    pub mod x509_lists;
    pub mod x509_verify;
}

/// FTP and FTPS: parses requests, calls `vfs` and `accounts`, renders replies.
pub mod ftp {
    pub mod argument;
    pub mod ascii;
    pub mod charset;
    pub mod core;
    pub mod cuts;
    pub mod data_connection;
    pub mod data_tls;
    pub mod deflate;
    pub mod ending;
    pub mod facts;
    pub mod files;
    pub mod intake;
    pub mod kin;
    pub mod line;
    pub mod listing;
    pub mod login;
    pub mod opened;
    pub mod options;
    pub mod outlet;
    pub mod passive;
    pub mod reply;
    pub mod running;
    pub mod server;
    pub mod session;
    pub mod settings;
    pub mod state;
    pub mod transfer;
    pub mod unique;
    pub mod verb;
    pub mod waiting;
    pub mod wire;
    pub mod work;

    /// The commands, a few lines each.
    pub mod verbs {
        pub mod abor;
        pub mod acct;
        pub mod allo;
        pub mod auth;
        pub mod avbl;
        pub mod ccc;
        pub mod cdup;
        pub mod client;
        pub mod cwd;
        pub mod dele;
        pub mod epsv;
        pub mod feat;
        pub mod hash;
        pub mod host;
        pub mod list;
        pub mod login;
        pub mod mkd;
        pub mod mlst;
        pub mod noop;
        pub mod opts;
        pub mod port;
        pub mod prot;
        pub mod pwd;
        pub mod rename;
        pub mod rest;
        pub mod retr;
        pub mod rmd;
        pub mod site;
        pub mod size;
        pub mod stat;
        pub mod stor;
        pub mod structure;
        pub mod table;
        pub mod times;
    }
}

pub mod http;

/// SSH and SFTP: parses requests, calls `vfs` and `accounts`, renders replies.
pub mod sftp {
    pub mod algorithms;
    pub mod attrs;
    pub mod complaints;
    pub mod connection;
    pub mod context;
    pub mod decode;
    pub mod environment;
    pub mod exec;
    pub mod exec_sums;
    pub mod extensions;
    pub mod fields;
    pub mod folders;
    pub mod gate;
    pub mod handler;
    pub mod handles;
    pub mod hold;
    pub mod host_keys;
    pub mod ledger;
    pub mod login;
    pub mod opened;
    pub mod outlet;
    pub mod packet;
    pub mod paths;
    pub mod pipe;
    pub mod reads;
    pub mod refusal;
    pub mod reply;
    pub mod request;
    pub mod room;
    pub mod scp;
    pub mod scp_line;
    pub mod scp_options;
    pub mod scp_sink;
    pub mod scp_source;
    pub mod server;
    pub mod session;
    pub mod settings;
    pub mod sums;
    pub mod words;
    pub mod writes;
}

/// Purge, accounting, clean-up and checks: leased, idempotent, retried.
pub mod jobs {
    pub mod clock_watch;
    pub mod copies;
    pub mod expire;
    pub mod fsck;
    pub mod fsck_damage;
    pub mod fsck_report;
    pub mod fsck_stores;
    pub mod hash;
    pub mod leaps;
    pub mod mend;
    pub mod operator_watch;
    pub mod orphans;
    pub mod purge;
    pub mod runner;
    pub mod settle;
    pub mod sweep;
    pub mod syslog_audit;
    pub mod webhook_attempt;
    pub mod webhook_care;
    pub mod webhook_settings;
    pub mod webhooks;
}

/// Watching over an instance: whether what it depends on answers.
pub mod ops {
    pub mod census;
    pub mod gauges;
    pub mod health;
    pub mod own_process;
}

/// Settings: a file, the environment, and all that may be wrong with them.
pub mod config {
    pub mod ftp;
    pub mod http;
    pub mod reader;
    pub mod region_values;
    pub mod regions;
    pub mod settings;
    pub mod sftp;
    pub mod source;
    pub mod telemetry;
    pub mod tls;
    pub mod value;
    pub mod webhooks;
}

/// What a server process needs of its system: memory, signals, logs, a lock.
pub mod process {
    mod allocator;
    pub mod files;
    pub mod lock;
    pub mod logging;
    pub mod signals;
}

/// Puts the parts of an installation together, makes what is missing, serves and drains.
pub mod server {
    pub mod acme;
    pub mod bootstrap;
    pub mod checks;
    pub mod doors;
    pub mod folders;
    pub mod gauges;
    pub mod health;
    pub mod installation;
    pub mod keys;
    pub mod outlets;
    pub mod own_keys;
    pub mod owners;
    pub mod ready;
    pub mod run;
    pub mod shown_keys;
    pub mod stores;
    pub mod tickets;
    pub mod tls;
}

/// The commands.
pub mod cli {
    pub mod account;
    pub mod account_certificate;
    pub mod account_key;
    pub mod account_login;
    pub mod account_token;
    pub mod account_totp;
    pub mod admin;
    pub mod arguments;
    pub mod audit;
    pub mod check_config;
    pub mod deleted;
    pub mod fsck;
    pub mod ftp_options;
    pub mod grant;
    pub mod group;
    pub mod keys;
    pub mod migrate;
    pub mod observed;
    pub mod output;
    pub mod password;
    pub mod place;
    pub mod root;
    pub mod serve;
    pub mod tenant;
    pub mod tenant_ca;
    pub mod tenant_host;
    pub mod tenant_place;
    pub mod tenant_x509;
    pub mod up;
    pub mod webhook;
    pub mod webhook_deliveries;
}
