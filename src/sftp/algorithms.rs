//! Which algorithms of SSH are spoken, and which ways to log in.

use std::borrow::Cow;

use russh::keys::{Algorithm, EcdsaCurve, HashAlg};
use russh::{MethodKind, MethodSet, Preferred, cipher, compression, kex, mac};

use crate::accounts::methods::Method;

/// Which clients are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithms {
    /// Also those of the years before 2016 (JSch, gateways) and those bound to FIPS 140: NIST curves for
    /// key exchange and the host key, RSA host keys of 2048 bits, and authentication codes beside the
    /// encryption instead of over it. ssh-audit flags them.
    Compatible,
    /// Those with algorithms that nobody doubts.
    Strict,
}

/// The ways to log in. russh forgets them at a refusal that does not name them.
pub(crate) fn login_methods() -> MethodSet {
    methods(&[Method::PublicKey, Method::Interactive, Method::Password])
}

/// SSH's names for methods.
pub(crate) fn methods(methods: &[Method]) -> MethodSet {
    let kind = |method: &Method| match method {
        // SSH has no TLS.
        Method::Certificate => None,
        Method::Interactive => Some(MethodKind::KeyboardInteractive),
        Method::Password => Some(MethodKind::Password),
        Method::PublicKey => Some(MethodKind::PublicKey),
    };
    let kinds: Vec<_> = methods.iter().filter_map(kind).collect();
    MethodSet::from(kinds.as_slice())
}

/// Whether a signature of this kind is taken: all but RSA with SHA-1.
pub(crate) fn takes_signature(algorithm: &Algorithm) -> bool {
    !matches!(algorithm, Algorithm::Rsa { hash: None } | Algorithm::Dsa)
}

/// No SHA-1, no CBC, no compression. AES-128-GCM first: it is as safe for what a connection lives,
/// and the fastest.
pub(crate) fn preferred(algorithms: Algorithms) -> Preferred {
    let mut preferred = Preferred {
        kex: Cow::Borrowed(&[
            kex::MLKEM768X25519_SHA256,
            kex::CURVE25519,
            kex::CURVE25519_PRE_RFC_8731,
            kex::EXTENSION_SUPPORT_AS_SERVER,
            kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER,
        ]),
        key: Cow::Borrowed(&[
            Algorithm::Ed25519,
            Algorithm::Ecdsa {
                curve: EcdsaCurve::NistP256,
            },
            Algorithm::Rsa {
                hash: Some(HashAlg::Sha512),
            },
            Algorithm::Rsa {
                hash: Some(HashAlg::Sha256),
            },
            // There are no such host keys: these are only for those who log in (RFC 8308). Nor is
            // there an ECDSA host key unless clients of old are served.
            Algorithm::Ecdsa {
                curve: EcdsaCurve::NistP384,
            },
            Algorithm::Ecdsa {
                curve: EcdsaCurve::NistP521,
            },
            Algorithm::SkEd25519,
            Algorithm::SkEcdsaSha2NistP256,
        ]),
        cipher: Cow::Borrowed(&[
            cipher::AES_128_GCM,
            cipher::AES_256_GCM,
            cipher::CHACHA20_POLY1305,
            cipher::AES_256_CTR,
            cipher::AES_192_CTR,
            cipher::AES_128_CTR,
        ]),
        mac: Cow::Borrowed(&[mac::HMAC_SHA256_ETM, mac::HMAC_SHA512_ETM]),
        compression: Cow::Borrowed(&[compression::NONE]),
        ..Preferred::DEFAULT
    };
    if algorithms == Algorithms::Compatible {
        // No Diffie-Hellman groups: an exchange costs russh a hundred times what one by a curve does, and
        // a stranger next to nothing. All clients bound to FIPS have the curves too.
        preferred.kex.to_mut().extend([
            kex::ECDH_SHA2_NISTP256,
            kex::ECDH_SHA2_NISTP384,
            kex::ECDH_SHA2_NISTP521,
        ]);
        let beside = [mac::HMAC_SHA256, mac::HMAC_SHA512];
        preferred.mac.to_mut().extend(beside);
    }
    preferred
}
