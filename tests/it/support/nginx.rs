//! nginx before a server, as operators put it there.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};

use crate::support::client::cached;
use crate::support::folder::TempFolder;
use crate::support::wait::wait_for;

/// A proxy that ends TLS itself and begins it anew to the server; ended when dropped.
pub(crate) struct Nginx {
    child: Child,
    pub(crate) address: SocketAddr,
    _folder: TempFolder,
}

impl Nginx {
    pub(crate) fn before(server: SocketAddr) -> Self {
        let folder = TempFolder::new();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        fs::write(folder.join("cert.pem"), certificate.pem()).unwrap();
        fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let at = folder.path().display();
        let settings = format!(
            "user root;\nworker_processes 1;\ndaemon off;\npid {at}/pid;\nerror_log {at}/log;\n\
             events {{ worker_connections 256; }}\nhttp {{\n  access_log off;\n\
             client_body_temp_path {at}/body;\n  proxy_temp_path {at}/t1;\n  fastcgi_temp_path {at}/t2;\n\
             uwsgi_temp_path {at}/t3;\n  scgi_temp_path {at}/t4;\n  server {{\n    listen {address} ssl http2;\n\
             ssl_certificate {at}/cert.pem;\n    ssl_certificate_key {at}/key.pem;\n\
             client_max_body_size 0;\n    location / {{\n      proxy_pass https://{server};\n\
             proxy_http_version 1.1;\n      proxy_request_buffering off;\n      proxy_buffering off;\n\
             proxy_set_header Host $http_host;\n\
             proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n    }}\n  }}\n}}\n"
        );
        let config = folder.join("nginx.conf");
        fs::write(&config, settings).unwrap();
        let mut child = Command::new(cached("web-servers/usr/sbin/nginx"))
            .arg("-c")
            .arg(&config)
            .stdin(Stdio::null())
            .stderr(File::create(folder.join("output")).unwrap())
            .spawn()
            .unwrap();
        wait_for("nginx", Duration::from_secs(20), || {
            let ended = child.try_wait().unwrap();
            assert!(
                ended.is_none(),
                "nginx ended: {}",
                fs::read_to_string(folder.join("output")).unwrap()
            );
            TcpStream::connect(address).ok()
        });
        Self {
            child,
            address,
            _folder: folder,
        }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Asked, it ends its workers; killed, it leaves them.
        let _ = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        let _ = self.child.wait();
    }
}
