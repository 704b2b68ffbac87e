//! Settings of regions: what they mean, and what is told when they are wrong.

use std::path::Path;

use sealift::config::regions::{MAIN, StoreSettings};
use sealift::config::settings::Settings;
use sealift::storage::s3_settings::Encryption;

fn overlaid(file: &str, variables: &[(&str, &str)]) -> Result<Settings, Vec<String>> {
    let variables = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let overlaid = Settings::served().overlaid(Some(file), variables);
    overlaid.map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

fn problems(file: &str) -> Vec<String> {
    overlaid(file, &[]).err().unwrap_or_default()
}

#[test]
fn without_sections_there_is_one_folder() {
    let settings = overlaid("[storage]\npath = \"/srv/blobs\"\n", &[]).unwrap();
    let [only] = settings.regions.as_slice() else {
        panic!("{:?}", settings.regions);
    };
    assert_eq!((only.name.as_str(), settings.home.as_str()), (MAIN, MAIN));
    assert!(matches!(&only.store, StoreSettings::Local(path) if path == Path::new("/srv/blobs")));
}

#[test]
fn a_region_is_put_together_from_file_and_environment() {
    let file = "[region.eu-west]\nbucket = \"files\"\nprefix = \"a/\"\n\
                endpoint = \"https://s3.example:9000\"\npath_style = true\n\
                encryption = \"aws:kms:alias/files\"\nkms_key = \"alias/eu\"\n";
    let variables = [
        ("SEALIFT__REGION__EU_WEST__ACCESS_KEY", "me"),
        ("SEALIFT__REGION__EU_WEST__SECRET_KEY", "hunter2"),
    ];
    let settings = overlaid(file, &variables).unwrap();
    assert_eq!(settings.home, "eu-west");
    let region = settings.region("eu-west").unwrap();
    let StoreSettings::S3(bucket) = &region.store else {
        panic!("{region:?}");
    };
    assert_eq!(bucket.s3.bucket, "files");
    assert!(bucket.s3.path_style);
    let encryption = Encryption::Kms(Some("alias/files".to_owned()));
    assert_eq!(bucket.s3.encryption, encryption);
    let login = bucket.cloud.access_key.as_ref().unwrap();
    assert_eq!(login.secret.expose(), b"hunter2");
    assert!(!format!("{settings:?}").contains("hunter2"));
    // The login of another maker's S3 says nothing to a key service at AWS.
    let service = region.key_service.as_ref().unwrap();
    assert!(service.cloud.access_key.is_none() && service.cloud.endpoint.is_none());
}

#[test]
fn a_key_service_with_an_address_of_its_own_shares_the_login() {
    let file = "[region.eu]\nbucket = \"files\"\nendpoint = \"http://a:1\"\n\
                access_key = \"me\"\nsecret_key = \"it\"\nca_file = \"/ca.pem\"\n\
                kms_key = \"alias/eu\"\nkms_endpoint = \"https://b:2\"\n";
    let settings = overlaid(file, &[]).unwrap();
    let service = settings.region("eu").unwrap().key_service.clone().unwrap();
    assert_eq!(service.cloud.endpoint.as_deref(), Some("https://b:2"));
    assert!(service.cloud.access_key.is_some() && service.cloud.ca_file.is_some());
}

#[test]
fn the_folder_of_storage_is_that_of_a_local_main_region() {
    let file = "[storage]\npath = \"/srv\"\nregion = \"eu\"\n\
                [region.main]\nkind = \"local\"\n[region.eu]\nbucket = \"files\"\n";
    let settings = overlaid(file, &[]).unwrap();
    let main = settings.region(MAIN).unwrap();
    assert!(matches!(&main.store, StoreSettings::Local(path) if path == Path::new("/srv")));
    assert_eq!(settings.home, "eu");
}

#[test]
fn what_is_wrong_with_regions_is_told_with_its_line() {
    for (file, told) in [
        (
            "[region.EU]\nbucket = \"files\"\n[region.us]\nbucket = \"files\"\n",
            "line 1: region.EU: \"EU\" is no name; write a letter",
        ),
        ("[region]\n", "line 1: region: name the region, as in"),
        (
            "[region]\nkind = \"s3\"\n",
            "line 2: region.kind: stands below no name; write it below a [region.NAME]",
        ),
        (
            "[regions.eu]\nbucket = \"files\"\n",
            "line 1: regions.eu: there is no section [regions]; did you mean region?",
        ),
        (
            "\n[region.eu]\nkind = \"s3\"\n",
            "line 2: region.eu.bucket: is missing; name the bucket",
        ),
        ("[region.eu]\n", "line 1: region.eu.bucket: is missing"),
        (
            "[region.eu]\nbuckte = \"files\"\nbucket = \"files\"\n",
            "line 2: region.eu.buckte: there is no such setting; did you mean bucket?",
        ),
        (
            "[region.eu]\nbucket = \"s3://files\"\n",
            "line 2: region.eu.bucket: \"s3://files\" is not right; write the bucket's name",
        ),
        (
            "[region.eu]\nkind = \"local\"\n",
            "line 1: region.eu.path: is missing; name the folder",
        ),
        (
            "[region.eu]\nkind = \"local\"\npath = \"/a\"\nbucket = \"files\"\n",
            "line 4: region.eu.bucket: is for kind = \"s3\"; a folder has a path",
        ),
        (
            "[region.eu]\nbucket = \"files\"\npath = \"/a\"\n",
            "line 3: region.eu.path: is for kind = \"local\"; a bucket has a prefix",
        ),
        (
            "[region.eu]\nbucket = \"files\"\naccess_key = \"me\"\n",
            "line 3: region.eu.access_key: needs secret_key beside it",
        ),
        (
            "[region.eu]\nbucket = \"files\"\nkms_endpoint = \"https://a\"\n",
            "line 3: region.eu.kms_endpoint: needs kms_key beside it",
        ),
        (
            "[region.eu]\nbucket = \"files\"\nkms_key = \"alias/eu\"\nkms_endpoint = \"http://192.0.2.1:80\"\n",
            "line 4: region.eu.kms_endpoint: \"http://192.0.2.1:80\" is not right; write https://host",
        ),
        (
            "[region.eu]\nbucket = \"files\"\nendpoint = \"s3.example\"\n",
            "line 3: region.eu.endpoint: \"s3.example\" is not right; write https://host",
        ),
        (
            "[region.eu]\nbucket = \"files\"\nencryption = \"aes\"\n",
            "line 3: region.eu.encryption: \"aes\" is not right; write \"AES256\"",
        ),
        (
            "[region.eu]\nbucket = \"files\"\n[region.us]\nbucket = \"files\"\n\
             [storage]\nregion = \"eu\"\n",
            "line 4: region.us.bucket: names the same place as region eu",
        ),
        (
            "[storage]\npath = \"/srv\"\n[region.eu]\nbucket = \"files\"\n",
            "line 2: storage.path: stands beside regions",
        ),
        (
            "[storage]\npath = \"/srv\"\n[region.main]\nkind = \"local\"\npath = \"/a\"\n",
            "line 5: region.main.path: names the folder that storage.path names",
        ),
        (
            "[storage]\nregion = \"us\"\n[region.eu]\nbucket = \"files\"\n",
            "line 2: storage.region: there is no [region.us]; there are eu",
        ),
        (
            "[region.eu]\nbucket = \"files\"\n[region.us]\nbucket = \"other\"\n",
            "storage.region: name the region of new tenants; there are eu, us",
        ),
        (
            "[keys]\nkind = \"aws-kms\"\n[region.eu]\nbucket = \"files\"\n",
            "line 3: region.eu.kms_key: is missing: keys.kind is \"aws-kms\"",
        ),
    ] {
        let found = problems(file);
        assert_eq!(found.len(), 1, "{file}: {found:?}");
        assert!(found[0].starts_with(told), "{file}: {found:?}");
    }
}

#[test]
fn a_wrong_variable_is_told_by_its_name_and_no_secret_is_repeated() {
    let wrong = [
        ("SEALIFT__REGION__EU", "x"),
        ("SEALIFT__REGION__EU__BUCKTE", "x"),
    ];
    let told = overlaid("[region.eu]\nbucket = \"files\"\n", &wrong).unwrap_err();
    assert_eq!(
        told,
        [
            "SEALIFT__REGION__EU: write the name as SEALIFT__REGION__NAME__KEY",
            "SEALIFT__REGION__EU__BUCKTE: there is no such setting; did you mean bucket?",
        ]
    );
    let told = problems("[region.eu]\nbucket = \"files\"\nsecret_key = \"hunter2\"\n");
    assert!(told[0].contains("needs access_key"), "{told:?}");
    assert!(!told[0].contains("hunter2"));
}

#[test]
fn a_key_service_is_spoken_to_in_the_clear_on_this_machine_only() {
    let file = |endpoint: &str| {
        format!(
            "[region.eu]\nbucket = \"files\"\nkms_key = \"alias/eu\"\nkms_endpoint = \"{endpoint}\"\n"
        )
    };
    for here in [
        "http://127.0.0.1:8080",
        "http://localhost",
        "http://[::1]:80/",
        "https://kms.example",
    ] {
        assert_eq!(problems(&file(here)), Vec::<String>::new(), "{here}");
    }
    for elsewhere in [
        "http://127.0.0.1.example:80",
        "http://localhost.example",
        "http://[2001:db8::1]:80",
        "http://kms.example",
    ] {
        assert_eq!(problems(&file(elsewhere)).len(), 1, "{elsewhere}");
    }
}
