//! Which certificates a registry is believed by, and which one it is shown.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use error::{Doing as _, Refused, Result};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use rustls::sign::CertifiedKey;

use super::access::Certificates;
use super::tls::Shown;

/// Where distributions have the certificates that a host trusts, in one file: Debian, Fedora, openSUSE, Alpine.
const SYSTEM_FILES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// The largest file of certificates, in bytes.
const LARGEST: u64 = 16 << 20;

/// What one registry is believed by and shown.
#[derive(Default)]
pub(super) struct OfHost {
    /// The certificates that count besides those that the host trusts.
    authorities: Vec<CertificateDer<'static>>,
    /// The certificate that is shown when it asks for one.
    pub(super) client: Option<Shown>,
}

impl Certificates {
    /// All that the registry of this host is believed by.
    pub(super) fn trusted(&self, of_host: &OfHost) -> Result<Vec<CertificateDer<'static>>> {
        let mut trusted = self.system()?;
        trusted.extend(of_host.authorities.iter().cloned());
        Ok(trusted)
    }

    fn system(&self) -> Result<Vec<CertificateDer<'static>>> {
        if self.system_file.is_none() && self.system_folder.is_none() {
            let usual = SYSTEM_FILES.iter().map(Path::new).find(|path| path.is_file());
            return usual.map_or_else(|| Ok(Vec::new()), der);
        }
        let mut found = Vec::new();
        if let Some(file) = &self.system_file {
            found.extend(der(file)?);
        }
        for folder in self.system_folder.iter() {
            let files = files(folder)?;
            // Such a folder holds other files too.
            found.extend(files.iter().filter_map(|file| der(file).ok()).flatten());
        }
        Ok(found)
    }

    /// What stands in the folders of this registry.
    pub(super) fn of_host(&self, host: &str, provider: &CryptoProvider) -> Result<OfHost> {
        let mut of_host = OfHost::default();
        for folder in self.folders.iter().map(|folder| folder.join(host)).filter(|folder| folder.is_dir()) {
            let files = files(&folder)?;
            let ending = |file: &Path, ending: &str| file.extension().is_some_and(|found| found == ending);
            for file in files.iter().filter(|file| ending(file, "crt")) {
                of_host.authorities.extend(der(file)?);
            }
            for file in files.iter().filter(|file| ending(file, "cert")) {
                of_host.client = Some(client(file, provider)?);
            }
            if let Some(key) =
                files.iter().find(|file| ending(file, "key") && !files.contains(&file.with_extension("cert")))
            {
                let hint = format!("name it {}", key.with_extension("cert").display());
                return Err(Refused::new("the key", key.display().to_string(), "has no certificate beside it")
                    .hint(hint)
                    .into());
            }
        }
        Ok(of_host)
    }
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let doing = || format!("list {}", folder.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).doing(doing)? {
        files.push(entry.doing(doing)?.path());
    }
    files.retain(|file| file.is_file());
    files.sort();
    Ok(files)
}

fn bytes(file: &Path) -> Result<Vec<u8>> {
    let size = fs::metadata(file).doing(|| format!("look at {}", file.display()))?.len();
    if size > LARGEST {
        return Err(Refused::new("the file", file.display().to_string(), "is too large for certificates").into());
    }
    fs::read(file).doing(|| format!("read {}", file.display()))
}

fn der(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let bytes = bytes(file)?;
    let refused = |reason| Refused::new("the file", file.display().to_string(), reason);
    let found: Vec<_> = CertificateDer::pem_slice_iter(&bytes)
        .collect::<std::result::Result<_, _>>()
        .map_err(|_| refused("holds a certificate that is not valid PEM"))?;
    if found.is_empty() {
        return Err(refused("holds no certificate in PEM").into());
    }
    Ok(found)
}

/// The certificate of a file and the key beside it, which belong together.
fn client(file: &Path, provider: &CryptoProvider) -> Result<Shown> {
    let beside = file.with_extension("key");
    let refused = |reason| Refused::new("the key", beside.display().to_string(), reason);
    if !beside.is_file() {
        let hint = "the key of a client's certificate lies beside it";
        return Err(refused("is missing").hint(hint).into());
    }
    let chain = der(file)?;
    let pem = bytes(&beside)?;
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| refused("holds no private key in PEM"))?;
    CertifiedKey::from_der(chain.clone(), key.clone_key(), provider)
        .map_err(|error| refused("does not belong to the certificate beside it").hint(error.to_string()))?;
    Ok((chain, key))
}

/// The cryptography: named here, so that no other part of the program chooses it.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
