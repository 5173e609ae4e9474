//! Certificates of a run: one authority, servers and clients signed by it. Keys are P-256 and live as long as the run.

use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

/// A certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Authority").finish_non_exhaustive()
    }
}

/// A certificate with its private key, both PEM.
#[derive(Clone)]
pub struct Identity {
    /// The certificate.
    pub certificate_pem: String,
    /// The private key (PKCS #8).
    pub key_pem: String,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Identity").finish_non_exhaustive()
    }
}

/// Where an [`Identity`] was written.
#[derive(Clone, Debug)]
pub struct IdentityFiles {
    /// The certificate.
    pub certificate: PathBuf,
    /// The private key, readable by its owner only.
    pub key: PathBuf,
}

impl Authority {
    /// Makes a new self-signed authority.
    pub fn new(common_name: &str) -> Result<Self> {
        let key = KeyPair::generate().context("generate the authority's key")?;
        let mut parameters = parameters(common_name, None)?;
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        let certificate = parameters.self_signed(&key).context("sign the authority's certificate")?;
        Ok(Self { certificate_pem: certificate.pem(), issuer: Issuer::new(parameters, key) })
    }

    /// The authority's certificate.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The authority's private key, for the controller-manager, which signs certificates with it.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// A certificate for a server that is reached by these names and addresses.
    pub fn server(&self, common_name: &str, names: &[&str], addresses: &[IpAddr]) -> Result<Identity> {
        let mut parameters = parameters(common_name, None)?;
        for name in names {
            let name = (*name).try_into().with_context(|| format!("{name:?} is not a DNS name"))?;
            parameters.subject_alt_names.push(SanType::DnsName(name));
        }
        parameters.subject_alt_names.extend(addresses.iter().copied().map(SanType::IpAddress));
        // A MySQL server is also a client, of its source.
        self.sign(parameters, vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth])
    }

    /// A certificate that a client shows. Kubernetes reads the user from the common name, the group from the organization
    /// (several would be allowed; rcgen writes one).
    pub fn client(&self, common_name: &str, organization: Option<&str>) -> Result<Identity> {
        self.sign(parameters(common_name, organization)?, vec![ExtendedKeyUsagePurpose::ClientAuth])
    }

    fn sign(
        &self,
        mut parameters: CertificateParams,
        purposes: Vec<ExtendedKeyUsagePurpose>,
    ) -> Result<Identity> {
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = purposes;
        // Verifiers may look the issuer up by this identifier.
        parameters.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().context("generate a key")?;
        let certificate = parameters.signed_by(&key, &self.issuer).context("sign a certificate")?;
        Ok(Identity { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }
}

impl Identity {
    /// Writes `<name>.crt` and `<name>.key` into `folder`.
    pub fn write(&self, folder: &Path, name: &str) -> Result<IdentityFiles> {
        let files = IdentityFiles {
            certificate: folder.join(format!("{name}.crt")),
            key: folder.join(format!("{name}.key")),
        };
        write_private(&files.certificate, &self.certificate_pem)?;
        write_private(&files.key, &self.key_pem)?;
        Ok(files)
    }
}

/// A key pair that signs service account tokens.
pub fn signing_key() -> Result<(String, String)> {
    let key = KeyPair::generate().context("generate the service account key")?;
    Ok((key.serialize_pem(), key.public_key_pem()))
}

/// Writes a file that only its owner can read.
pub fn write_private(path: &Path, content: &str) -> Result<()> {
    use std::io::Write as _;
    std::fs::OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(content.as_bytes()))
        .with_context(|| format!("write {}", path.display()))
}

fn parameters(common_name: &str, organization: Option<&str>) -> Result<CertificateParams> {
    let mut parameters = CertificateParams::new(Vec::new()).context("certificate parameters")?;
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, common_name);
    if let Some(organization) = organization {
        parameters.distinguished_name.push(DnType::OrganizationName, organization);
    }
    // rcgen's default validity runs from 1975 to 4096, which needs no clock.
    Ok(parameters)
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::Arc;

    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
    use rustls::server::WebPkiClientVerifier;
    use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

    use super::*;

    fn chain(identity: &Identity) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let certificate = CertificateDer::from_pem_slice(identity.certificate_pem.as_bytes()).unwrap();
        (vec![certificate], PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).unwrap())
    }

    fn roots(authority: &Authority) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.certificate_pem().as_bytes()).unwrap()).unwrap();
        Arc::new(roots)
    }

    /// A handshake in memory; both sides show a certificate.
    fn handshake(
        trusted: &Authority,
        server: &Identity,
        client: &Identity,
        reached_as: &str,
    ) -> Result<(), rustls::Error> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (certificates, key) = chain(server);
        let verifier = WebPkiClientVerifier::builder(roots(trusted)).build().unwrap();
        let server = ServerConfig::builder()
            .with_client_cert_verifier(verifier)
            .with_single_cert(certificates, key)?;
        let (certificates, key) = chain(client);
        let client = ClientConfig::builder()
            .with_root_certificates(roots(trusted))
            .with_client_auth_cert(certificates, key)?;
        let name = ServerName::try_from(reached_as.to_owned()).unwrap();
        let mut client = ClientConnection::new(Arc::new(client), name)?;
        let mut server = ServerConnection::new(Arc::new(server))?;
        while client.is_handshaking() || server.is_handshaking() {
            let mut bytes = Vec::new();
            client.write_tls(&mut bytes).unwrap();
            server.read_tls(&mut bytes.as_slice()).unwrap();
            server.process_new_packets()?;
            let mut bytes = Vec::new();
            server.write_tls(&mut bytes).unwrap();
            client.read_tls(&mut bytes.as_slice()).unwrap();
            client.process_new_packets()?;
        }
        Ok(())
    }

    #[test]
    fn certificates_hold_for_their_names_and_their_authority_only() {
        let (authority, other) = (Authority::new("one").unwrap(), Authority::new("other").unwrap());
        let address = "127.9.8.7".parse().unwrap();
        let server = authority.server("db-0", &["db-0.example"], &[address]).unwrap();
        let client = authority.client("admin", Some("system:masters")).unwrap();
        handshake(&authority, &server, &client, "127.9.8.7").unwrap();
        handshake(&authority, &server, &client, "db-0.example").unwrap();
        handshake(&authority, &server, &client, "127.9.8.8").unwrap_err();
        handshake(&authority, &server, &other.client("admin", None).unwrap(), "127.9.8.7").unwrap_err();
        handshake(&other, &server, &client, "127.9.8.7").unwrap_err();
        // A client's certificate is no server's.
        handshake(&authority, &client, &client, "127.9.8.7").unwrap_err();
    }

    #[test]
    fn keys_are_for_their_owner_and_never_shown() {
        let authority = Authority::new("one").unwrap();
        let identity = authority.client("admin", None).unwrap();
        let folder = std::env::temp_dir().join(format!("lab-pki-{}", std::process::id()));
        match std::fs::create_dir(&folder) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => panic!("{error}"),
            _ => {}
        }
        let files = identity.write(&folder, "admin").unwrap();
        assert_eq!(std::fs::metadata(&files.key).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(!format!("{identity:?} {authority:?}").contains("PRIVATE"));
    }
}
