//! Integration tests: real parts, real clients.

/// What the tests stand on: real servers, started and stopped here.
#[cfg(test)]
mod support {
    pub(crate) mod admin_door;
    pub(crate) mod balancer;
    pub(crate) mod careful;
    pub(crate) mod client;
    pub(crate) mod cloud;
    pub(crate) mod dav;
    pub(crate) mod dialects;
    pub(crate) mod folder;
    pub(crate) mod frames;
    pub(crate) mod ftp_client;
    pub(crate) mod ftp_door;
    pub(crate) mod ftp_peer;
    pub(crate) mod ftp_raw;
    pub(crate) mod ground;
    pub(crate) mod hold;
    pub(crate) mod hooked;
    pub(crate) mod https_door;
    pub(crate) mod installation;
    pub(crate) mod kms;
    pub(crate) mod line;
    pub(crate) mod links;
    pub(crate) mod listeners;
    pub(crate) mod lossy;
    pub(crate) mod meddler;
    pub(crate) mod mount;
    pub(crate) mod nginx;
    pub(crate) mod nobody;
    pub(crate) mod pebble;
    pub(crate) mod placing;
    pub(crate) mod postgres;
    pub(crate) mod proxy;
    pub(crate) mod receiver;
    pub(crate) mod s3;
    pub(crate) mod scraped;
    pub(crate) mod seaweed;
    pub(crate) mod server;
    pub(crate) mod serving;
    pub(crate) mod site;
    pub(crate) mod testssl;
    pub(crate) mod transcript;
    pub(crate) mod tus;
    pub(crate) mod two;
    pub(crate) mod wait;
    pub(crate) mod web_client;
    pub(crate) mod web_line;
    pub(crate) mod world;
}

#[cfg(test)]
mod accounts;
#[cfg(test)]
mod acme;
#[cfg(test)]
mod addressed;
#[cfg(test)]
mod asleep;
#[cfg(test)]
mod asyncssh;
#[cfg(test)]
mod audit_doors;
#[cfg(test)]
mod audit_log;
#[cfg(test)]
mod chaos;
#[cfg(test)]
mod cli_admin;
#[cfg(test)]
mod cli_checks;
#[cfg(test)]
mod cli_cloud;
#[cfg(test)]
mod cli_database;
#[cfg(test)]
mod cli_keys;
#[cfg(test)]
mod cli_regions;
#[cfg(test)]
mod cli_up;
#[cfg(test)]
mod complaints;
#[cfg(test)]
mod copy_trees;
#[cfg(test)]
mod copying;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod crossing;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod deleted;
#[cfg(test)]
mod deleted_doors;
#[cfg(test)]
mod differential;
#[cfg(test)]
mod exec;
#[cfg(test)]
mod feeding;
#[cfg(test)]
mod ftp_attributes;
#[cfg(test)]
mod ftp_balancer;
#[cfg(test)]
mod ftp_certificates;
#[cfg(test)]
mod ftp_clients;
#[cfg(test)]
mod ftp_curl;
#[cfg(test)]
mod ftp_cuts;
#[cfg(test)]
mod ftp_data;
#[cfg(test)]
mod ftp_deflate;
#[cfg(test)]
mod ftp_demands;
#[cfg(test)]
mod ftp_ends;
#[cfg(test)]
mod ftp_floods;
#[cfg(test)]
mod ftp_going_on;
#[cfg(test)]
mod ftp_hostile;
#[cfg(test)]
mod ftp_instances;
#[cfg(test)]
mod ftp_lftp;
#[cfg(test)]
mod ftp_names;
#[cfg(test)]
mod ftp_policies;
#[cfg(test)]
mod ftp_python;
#[cfg(test)]
mod ftp_rclone;
#[cfg(test)]
mod ftp_strays;
#[cfg(test)]
mod ftp_sums;
#[cfg(test)]
mod ftp_tls;
#[cfg(test)]
mod ftp_transcripts;
#[cfg(test)]
mod full_disk;
#[cfg(test)]
mod ghosts;
#[cfg(test)]
mod haproxy;
#[cfg(test)]
mod hashing;
#[cfg(test)]
mod host_keys;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod https;
#[cfg(test)]
mod https_admin;
#[cfg(test)]
mod https_admin_certificates;
#[cfg(test)]
mod https_admin_places;
#[cfg(test)]
mod https_admin_rules;
#[cfg(test)]
mod https_admin_sessions;
#[cfg(test)]
mod https_admin_tenant;
#[cfg(test)]
mod https_admin_tokens;
#[cfg(test)]
mod https_archives;
#[cfg(test)]
mod https_balancer;
#[cfg(test)]
mod https_bodies;
#[cfg(test)]
mod https_conditions;
#[cfg(test)]
mod https_cuts;
#[cfg(test)]
mod https_dav;
#[cfg(test)]
mod https_dav_changes;
#[cfg(test)]
mod https_dav_clients;
#[cfg(test)]
mod https_dav_locks;
#[cfg(test)]
mod https_done;
#[cfg(test)]
mod https_files;
#[cfg(test)]
mod https_headers;
#[cfg(test)]
mod https_hostile;
#[cfg(test)]
mod https_idempotency;
#[cfg(test)]
mod https_nginx;
#[cfg(test)]
mod https_openapi;
#[cfg(test)]
mod https_outage;
#[cfg(test)]
mod https_own;
#[cfg(test)]
mod https_parents;
#[cfg(test)]
mod https_requests;
#[cfg(test)]
mod https_rules;
#[cfg(test)]
mod https_schema;
#[cfg(test)]
mod https_sessions;
#[cfg(test)]
mod https_shares;
#[cfg(test)]
mod https_shares_bounds;
#[cfg(test)]
mod https_shares_instances;
#[cfg(test)]
mod https_slow;
#[cfg(test)]
mod https_strangers;
#[cfg(test)]
mod https_streams;
#[cfg(test)]
mod https_tokens;
#[cfg(test)]
mod https_tus;
#[cfg(test)]
mod https_tus_clients;
#[cfg(test)]
mod https_tus_crash;
#[cfg(test)]
mod https_tus_instances;
#[cfg(test)]
mod kept;
#[cfg(test)]
mod key_care;
#[cfg(test)]
mod key_copies;
#[cfg(test)]
mod kms;
#[cfg(test)]
mod lftp;
#[cfg(test)]
mod link_rules;
#[cfg(test)]
mod listing;
#[cfg(test)]
mod locked;
#[cfg(test)]
mod logins;
#[cfg(test)]
mod logins_doors;
#[cfg(test)]
mod logins_lines;
#[cfg(test)]
mod logins_ssh;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod metrics_strain;
#[cfg(test)]
mod migrations;
#[cfg(test)]
mod model;
#[cfg(test)]
mod openssh;
#[cfg(test)]
mod outages;
#[cfg(test)]
mod outages_lines;
#[cfg(test)]
mod outages_regions;
#[cfg(test)]
mod owners;
#[cfg(test)]
mod paramiko;
#[cfg(test)]
mod parity;
#[cfg(test)]
mod pieces;
#[cfg(test)]
mod places;
#[cfg(test)]
mod places_doors;
#[cfg(test)]
mod purging;
#[cfg(test)]
mod rclone;
#[cfg(test)]
mod region_settings;
#[cfg(test)]
mod regions;
#[cfg(test)]
mod rekey;
#[cfg(test)]
mod reput;
#[cfg(test)]
mod restic;
#[cfg(test)]
mod resume;
#[cfg(test)]
mod row_locks;
#[cfg(test)]
mod s3;
#[cfg(test)]
mod s3_check;
#[cfg(test)]
mod scp;
#[cfg(test)]
mod scp_raw;
#[cfg(test)]
mod selecting;
#[cfg(test)]
mod sftp_crossing;
#[cfg(test)]
mod sftp_extensions;
#[cfg(test)]
mod sftp_limits;
#[cfg(test)]
mod sftp_order;
#[cfg(test)]
mod sftp_raw;
#[cfg(test)]
mod ssh_audit;
#[cfg(test)]
mod ssh_exchange;
#[cfg(test)]
mod sshfs;
#[cfg(test)]
mod storage;
#[cfg(test)]
mod stranded;
#[cfg(test)]
mod superseded;
#[cfg(test)]
mod syslog;
#[cfg(test)]
mod telemetry;
#[cfg(test)]
mod ticket_keys;
#[cfg(test)]
mod tls_server;
#[cfg(test)]
mod told_lengths;
#[cfg(test)]
mod trace;
#[cfg(test)]
mod vectors;
#[cfg(test)]
mod vfs;
#[cfg(test)]
mod visits;
#[cfg(test)]
mod webhooks;
#[cfg(test)]
mod webhooks_api;
#[cfg(test)]
mod webhooks_crash;
#[cfg(test)]
mod webhooks_delivery;
#[cfg(test)]
mod webhooks_instances;
#[cfg(test)]
mod webhooks_outbox;
#[cfg(test)]
mod winscp;
#[cfg(test)]
mod writers;
#[cfg(test)]
mod wrong_clocks;
#[cfg(test)]
mod x509;
#[cfg(test)]
mod x509_lists;
