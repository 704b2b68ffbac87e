//! Regions: where blobs are kept, and by what keys of a key service, as the settings name them.

use std::path::PathBuf;

use crate::config::reader::Reader;
use crate::config::region_values;
use crate::config::source::NAMED;
use crate::config::value::{KeyKind, StoreKind};
use crate::domain::secret::Secret;
use crate::net::cloud::{AccessKey, CloudSettings};
use crate::storage::s3_settings::{Encryption, S3Settings};

/// The region of an installation whose settings name none, and of all that was stored before
/// there were regions.
pub const MAIN: &str = "main";

/// A region.
#[derive(Clone, Debug)]
pub struct RegionSettings {
    /// Its name.
    pub name: String,
    /// Where its blobs are.
    pub store: StoreSettings,
    /// What wraps the data keys of its tenants; none is the installation's key file.
    pub key_service: Option<KeyServiceSettings>,
}

/// Where blobs are.
#[derive(Clone, Debug)]
pub enum StoreSettings {
    /// Below a folder of this machine.
    Local(PathBuf),
    /// In a bucket.
    S3(BucketSettings),
}

/// A bucket.
#[derive(Clone, Debug)]
pub struct BucketSettings {
    /// How it is reached.
    pub cloud: CloudSettings,
    /// Which it is, and how it is used.
    pub s3: S3Settings,
}

/// A key service.
#[derive(Clone, Debug)]
pub struct KeyServiceSettings {
    /// How it is reached.
    pub cloud: CloudSettings,
    /// The key of tenants that have none of their own: an id, an ARN or an alias.
    pub key: String,
}

impl StoreSettings {
    /// Where it is, as far as the settings and this machine tell places apart; the marker in each place tells
    /// the rest.
    fn place(&self) -> Option<[String; 3]> {
        match self {
            Self::Local(folder) if folder.as_os_str().is_empty() => None,
            Self::Local(folder) => {
                let folder = region_values::plain_folder(folder);
                Some([folder.display().to_string(), String::new(), String::new()])
            }
            Self::S3(bucket) if bucket.s3.bucket.is_empty() => None,
            Self::S3(bucket) => {
                let endpoint = bucket.cloud.endpoint.as_deref().unwrap_or_default();
                let endpoint = region_values::plain_endpoint(endpoint);
                let (name, prefix) = (bucket.s3.bucket.clone(), bucket.s3.prefix.clone());
                Some([format!("s3 {endpoint}"), name, prefix])
            }
        }
    }
}

impl RegionSettings {
    /// A folder, and the installation's key file.
    pub fn local(name: &str, folder: PathBuf) -> Self {
        Self {
            name: name.to_owned(),
            store: StoreSettings::Local(folder),
            key_service: None,
        }
    }
}

/// The section of a region.
pub fn section(name: &str) -> String {
    format!("{NAMED}.{name}")
}

/// Reads all regions. Where the settings name none, there is one, in the folder that `[storage]`
/// names.
pub fn read(folder: PathBuf, from: &mut Reader) -> Vec<RegionSettings> {
    let names = from.names(region_values::check_name);
    if names.is_empty() {
        return vec![RegionSettings::local(MAIN, folder)];
    }
    let regions: Vec<_> = names
        .iter()
        .map(|name| read_one(name, &folder, from))
        .collect();
    let mut main = regions.iter().filter(|region| region.name == MAIN);
    let takes_folder = main.any(|region| matches!(region.store, StoreSettings::Local(_)));
    if from.is_given("storage", "path") && !takes_folder {
        from.report_at(
            "storage",
            "path",
            "stands beside regions, none of which keeps anything there; add [region.main] with \
             kind = \"local\", or remove it",
        );
    }
    apart(&regions, from);
    regions
}

/// What one region keeps must not look like somebody else's leavings to another.
fn apart(regions: &[RegionSettings], from: &mut Reader) {
    let places: Vec<_> = regions.iter().map(|region| region.store.place()).collect();
    for (at, (region, place)) in regions.iter().zip(&places).enumerate() {
        let before = places.iter().take(at).position(|other| other == place);
        let before = before.and_then(|at| regions.get(at));
        if let (Some(before), Some(_)) = (before, place) {
            let key = match region.store {
                StoreSettings::Local(_) => "path",
                StoreSettings::S3(_) => "bucket",
            };
            let message = format!("names the same place as region {}", before.name);
            from.report_at(&section(&region.name), key, message);
        }
    }
}

/// The region of new tenants: the only one, unless `[storage]` names one.
pub fn home(regions: &[RegionSettings], from: &mut Reader) -> String {
    let named = from.take("storage", "region", String::new());
    let all: Vec<_> = regions.iter().map(|region| region.name.as_str()).collect();
    match (named.as_str(), all.as_slice()) {
        ("", [only]) => (*only).to_owned(),
        ("", _) => {
            let all = all.join(", ");
            let message = format!("name the region of new tenants; there are {all}");
            from.report_at("storage", "region", message);
            named
        }
        (_, all) if all.contains(&named.as_str()) => named,
        _ => {
            let shown = named.escape_debug();
            let message = format!("there is no [region.{shown}]; there are {}", all.join(", "));
            from.report_at("storage", "region", message);
            named
        }
    }
}

type Check = fn(&str) -> Result<(), String>;

/// Reads one region; `folder` is that of `[storage]`.
pub fn read_one(name: &str, folder: &std::path::Path, from: &mut Reader) -> RegionSettings {
    let section = section(name);
    let mut text = |key| from.take(&section, key, String::new());
    let (profile, access_key, secret_key) =
        (text("profile"), text("access_key"), text("secret_key"));
    let (path, ca_file, kms_key) = (text("path"), text("ca_file"), text("kms_key"));
    let kind = from.take(&section, "kind", StoreKind::S3);
    let mut checked = |key, default: &str, check: Check| {
        let default = default.to_owned();
        from.checked(&section, key, default, |text: &String| check(text))
    };
    let endpoint = checked("endpoint", "", region_values::check_url);
    let kms_endpoint = checked("kms_endpoint", "", region_values::check_kms_url);
    let bucket = checked("bucket", "", region_values::check_bucket);
    let prefix = checked("prefix", "", region_values::check_prefix);
    let aws_region = checked("aws_region", "us-east-1", region_values::check_aws_region);
    let encryption = checked("encryption", "", |text| {
        let wanted = "write \"AES256\", \"aws:kms\" or \"aws:kms:KEY-ID\", or nothing";
        let found = region_values::encryption(text);
        found.map(drop).ok_or_else(|| wanted.to_owned())
    });
    let path_style = from.take(&section, "path_style", false);

    let cloud = CloudSettings {
        aws_region,
        endpoint: given(endpoint),
        ca_file: given(ca_file).map(PathBuf::from),
        profile: given(profile),
        access_key: login(&section, access_key, secret_key, from),
    };
    let key_service = key_service(&section, &cloud, kms_key, kms_endpoint, from);
    let store = match kind {
        StoreKind::Local => StoreSettings::Local(local(name, path, folder, from)),
        StoreKind::S3 => {
            if from.is_given(&section, "path") {
                let message = "is for kind = \"local\"; a bucket has a prefix";
                from.report_at(&section, "path", message);
            }
            if bucket.is_empty() && !from.is_wrong(&section, "bucket") {
                from.report_at(&section, "bucket", "is missing; name the bucket");
            }
            StoreSettings::S3(BucketSettings {
                cloud,
                s3: S3Settings {
                    bucket,
                    prefix,
                    path_style,
                    encryption: region_values::encryption(&encryption).unwrap_or(Encryption::None),
                },
            })
        }
    };
    RegionSettings {
        name: name.to_owned(),
        store,
        key_service,
    }
}

/// The folder of a local region; that of `[storage]` is the main region's.
fn local(name: &str, path: String, folder: &std::path::Path, from: &mut Reader) -> PathBuf {
    let section = section(name);
    for key in ["bucket", "prefix", "endpoint", "path_style", "encryption"] {
        if from.is_given(&section, key) {
            from.report_at(&section, key, "is for kind = \"s3\"; a folder has a path");
        }
    }
    match (given(path), name) {
        (Some(_), MAIN) if from.is_given("storage", "path") => {
            let message = "names the folder that storage.path names; keep one of them";
            from.report_at(&section, "path", message);
            folder.to_owned()
        }
        (Some(path), _) => PathBuf::from(path),
        (None, MAIN) => folder.to_owned(),
        (None, _) => {
            if !from.is_wrong(&section, "path") {
                from.report_at(&section, "path", "is missing; name the folder");
            }
            PathBuf::new()
        }
    }
}

fn login(
    section: &str,
    access_key: String,
    secret_key: String,
    from: &mut Reader,
) -> Option<AccessKey> {
    match (access_key.is_empty(), secret_key.is_empty()) {
        (true, true) => None,
        (false, true) => {
            let message = "needs secret_key beside it; give both, or none for the usual chain";
            from.report_at(section, "access_key", message);
            None
        }
        (true, false) => {
            let message = "needs access_key beside it; give both, or none for the usual chain";
            from.report_at(section, "secret_key", message);
            None
        }
        (false, false) => {
            if from.is_given(section, "profile") {
                let message = "and access_key are two logins; keep one of them";
                from.report_at(section, "profile", message);
            }
            Some(AccessKey {
                id: access_key,
                secret: Secret::new(secret_key),
            })
        }
    }
}

/// Another maker's S3 and AWS's own KMS have neither login nor certificates in common.
fn key_service(
    section: &str,
    cloud: &CloudSettings,
    key: String,
    endpoint: String,
    from: &mut Reader,
) -> Option<KeyServiceSettings> {
    if key.is_empty() {
        if !endpoint.is_empty() {
            let message = "needs kms_key beside it: the key that wraps the tenants' keys";
            from.report_at(section, "kms_endpoint", message);
        }
        return None;
    }
    let of_its_own = endpoint.is_empty() && cloud.endpoint.is_some();
    let cloud = match of_its_own {
        true => CloudSettings {
            aws_region: cloud.aws_region.clone(),
            profile: cloud.profile.clone(),
            ..CloudSettings::default()
        },
        false => CloudSettings {
            endpoint: given(endpoint),
            ..cloud.clone()
        },
    };
    Some(KeyServiceSettings { cloud, key })
}

fn given(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
/// New tenants must have something that wraps their keys.
pub fn check_keys(keys: KeyKind, regions: &[RegionSettings], home: &str, from: &mut Reader) {
    let home = regions.iter().find(|region| region.name == home);
    if let (KeyKind::AwsKms, Some(home)) = (keys, home)
        && home.key_service.is_none()
    {
        let section = section(&home.name);
        if !from.is_wrong(&section, "kms_key") {
            let message =
                "is missing: keys.kind is \"aws-kms\", and new tenants are in this region";
            from.report_at(&section, "kms_key", message);
        }
    }
}
