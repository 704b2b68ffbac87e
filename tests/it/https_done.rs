//! What was done is answered as done, whatever others do with it at once.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use sealift::db::sql::Dialect;
use sealift::domain::node::AttributeUpdate;
use sealift::vfs::rename::Overwrite;

use crate::support::client::{paramiko, run, succeed};
use crate::support::dialects::on_both;
use crate::support::folder::TempFolder;
use crate::support::https_door::HttpsDoor;
use crate::support::world::{World, clean, path, put};

on_both!(what_a_change_made_is_told_out_of_the_change);

async fn what_a_change_made_is_told_out_of_the_change(dialect: Dialect) {
    let world = World::new(dialect).await;
    let (ann, bob) = (world.account("ann").await, world.account("bob").await);
    let (a, b, c, d) = (path("/a"), path("/b"), path("/c"), path("/d"));
    put(&ann, &a, b"one").await.unwrap();
    let (session, told) = ann.telling();
    session.rename(&a, &b, Overwrite::Forbid).await.unwrap();
    let now = ann.look(&b).await.unwrap();
    bob.remove_file(&b).await.unwrap();
    let moved = told.take().unwrap();
    assert_eq!(moved.entry, now.entry);
    assert_eq!((moved.rights, moved.sha256), (now.rights, now.sha256));
    assert!(told.take().is_none());

    put(&ann, &a, b"two").await.unwrap();
    session.copy_file(&a, &c, Overwrite::Forbid).await.unwrap();
    let copied = told.take().unwrap();
    assert_eq!(copied.entry, ann.look(&c).await.unwrap().entry);
    assert!(copied.sha256.is_some());
    let update = AttributeUpdate {
        mode: Some(0o600),
        ..AttributeUpdate::default()
    };
    session.set_attributes(&c, update).await.unwrap();
    assert_eq!(told.take().unwrap().entry.attributes.mode & 0o777, 0o600);
    session
        .make_folder(&d, AttributeUpdate::default())
        .await
        .unwrap();
    assert_eq!(
        told.take().unwrap().entry,
        ann.look(&d).await.unwrap().entry
    );
    session.remove_file(&c).await.unwrap();
    assert!(told.take().is_none());
    clean(&world).await;
}

const FILES: usize = 150;

#[test]
fn a_move_is_answered_as_done_when_the_file_is_picked_up_at_once() {
    let door = HttpsDoor::up();
    let folder = TempFolder::new();
    let post = format!("{}/{{}}", door.url("/api/v1"));
    let curl = |words: &[&str]| {
        let mut command = Command::new("curl");
        command
            .args([
                "--silent",
                "--show-error",
                "--insecure",
                "--user",
                &door.user(),
            ])
            .args(["--output", "/dev/null", "--write-out", "%{http_code}\n"])
            .args(words);
        succeed(&run(command, ""))
    };
    for name in ["in", "out", "taken"] {
        let url = post.replace("{}", &format!("folders/{name}"));
        assert_eq!(curl(&["-X", "POST", &url]), "201\n");
    }
    let local = folder.join("local");
    std::fs::write(&local, "some").unwrap();
    let files = post.replace("{}", &format!("files/in/[1-{FILES}]"));
    let put = curl(&["-T", local.to_str().unwrap(), &files]);
    assert_eq!(put.lines().filter(|code| *code == "201").count(), FILES);

    let words = ["/out", "/taken", &FILES.to_string()];
    let mut picker = paramiko("pick_up.py", &door.server, &words)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut output = BufReader::new(picker.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    let moves = folder.join("moves");
    write_moves(&moves, &post.replace("{}", "move"), &door.user());
    let codes = curl(&["--config", moves.to_str().unwrap()]);
    assert!(picker.wait().unwrap().success());
    let codes: Vec<_> = codes.lines().collect();
    assert_eq!(codes, vec!["200"; FILES]);
}

/// All moves by one connection.
fn write_moves(file: &Path, url: &str, user: &str) {
    let each = (1..=FILES).map(|number| {
        format!(
            "url = \"{url}\"\nsilent\ninsecure\nuser = \"{user}\"\noutput = \"/dev/null\"\n\
             write-out = \"%{{http_code}}\\n\"\nheader = \"Content-Type: application/json\"\n\
             data = \"{{\\\"from\\\":\\\"/in/{number}\\\",\\\"to\\\":\\\"/out/{number}\\\"}}\"\n"
        )
    });
    std::fs::write(file, each.collect::<Vec<_>>().join("next\n")).unwrap();
}
