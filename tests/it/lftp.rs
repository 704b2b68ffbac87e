//! lftp mirrors a folder to the server and back.

use std::process::Command;

use crate::support::client::{SshOptions, quote, run, succeed, write_odd_files};
use crate::support::folder::{TempFolder, sums, write_random};
use crate::support::server::{DEMO, Server};

#[test]
fn a_folder_is_mirrored_both_ways_with_new_keys_on_the_way() {
    let folder = TempFolder::new();
    let server = Server::up(&folder.join("data"));
    let options = SshOptions::with_new_key(&server, folder.path()).with("RekeyLimit=16M");
    let (out, back) = (folder.folder("out"), folder.folder("back"));
    write_odd_files(&folder.folder("out/odd"));
    for (index, size) in [0, 1, 65_536, 3_000_000, 40_000_000]
        .into_iter()
        .enumerate()
    {
        write_random(&out.join(format!("file {index}")), size);
    }
    // lftp splits this at spaces and knows no quotes in it; the folders have none.
    let connect = format!("ssh -a -x {}", options.words().join(" "));
    let script = format!(
        "set sftp:connect-program \"{connect}\"\n\
         set sftp:auto-confirm yes\nset cmd:fail-exit yes\n\
         set net:max-retries 1\nset net:timeout 60\n\
         set mirror:parallel-transfer-count 3\n\
         open -u {DEMO},none -p {} sftp://127.0.0.1\n\
         mirror -R {} there\nmirror there {}\nmirror -R --delete {} there\nrm -r there\n",
        server.port(),
        quote(&out),
        quote(&back),
        quote(&out),
    );
    let mut command = Command::new("lftp");
    command
        .args(["--norc", "-f"])
        .arg(write(&folder, &script))
        .env("LFTP_HOME", folder.path())
        .env("LC_ALL", "C.UTF-8");
    succeed(&run(command, ""));
    assert_eq!(sums(&out), sums(&back));
    server.stop();
}

fn write(folder: &TempFolder, script: &str) -> std::path::PathBuf {
    let path = folder.join("script");
    std::fs::write(&path, script).unwrap();
    path
}
