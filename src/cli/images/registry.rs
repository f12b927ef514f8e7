//! How registries are asked, as the command line and the server are told.

use std::path::PathBuf;

use clap::Args;

use crate::cli::{Failure, files};
use crate::controller::trust::Trust;
use crate::images::registry::{Configured, Options, Registry};
use crate::policy::api::TufRepository;

/// How registries are asked.
#[derive(Debug, Args)]
#[command(next_help_heading = "Registries of images")]
pub struct RegistryArgs {
    /// Credentials for registries of images, as `docker login` writes them. The file is read again when it changes
    #[arg(long, value_name = "FILE")]
    registry_config: Option<PathBuf>,
    /// Where the credential helpers are that the file names: `docker-credential-..`. Without it, none is run
    #[arg(long, value_name = "FOLDER", requires = "registry_config")]
    credential_helpers: Option<PathBuf>,
    /// Certificate authorities of registries, in PEM, beside those of the system
    #[arg(long, value_name = "FILE")]
    registry_ca: Vec<PathBuf>,
    /// A registry that is asked without TLS, such as `localhost:5000`, wherever it is
    #[arg(long, value_name = "HOST")]
    plain_http: Vec<String>,
    /// A host that may be at any address. Others are not asked where no registry is: at loopback and link-local addresses and
    /// the like
    #[arg(long, value_name = "HOST")]
    any_address: Vec<String>,
    /// Asks no registry at a private address either, unless it is named by --any-address or --plain-http
    #[arg(long)]
    no_private_addresses: bool,
    /// A mirror that is asked before a registry: `docker.io=mirror.example.com/hub`. May be repeated
    #[arg(long, value_name = "REGISTRY=HOST/FOLDER")]
    registry_mirror: Vec<String>,
    /// Never asks a registry itself that has a mirror
    #[arg(long, requires = "registry_mirror")]
    mirrors_only: bool,
    /// Keeps the keys of the public Sigstore instance up to date from this TUF repository; without it they are those that this
    /// version knows
    #[arg(long, value_name = "URL", requires = "sigstore_tuf_root")]
    sigstore_tuf: Option<String>,
    /// A `root.json` of that repository that you trust
    #[arg(long, value_name = "FILE", requires = "sigstore_tuf")]
    sigstore_tuf_root: Option<PathBuf>,
}

impl RegistryArgs {
    /// Trust roots that are kept up to date: that of the public instance, if so, and those that say it themselves.
    pub fn trust(&self) -> Result<Trust, Failure> {
        let public = match (&self.sigstore_tuf, &self.sigstore_tuf_root) {
            (Some(url), Some(root)) => {
                Some(TufRepository { url: url.clone(), root: files::text(root)? })
            }
            _ => None,
        };
        Ok(Trust::new(public))
    }

    /// A client of registries that asks like that.
    pub fn client(&self) -> Result<Registry, Failure> {
        let open = |path: &PathBuf| {
            Configured::open(path.clone(), self.credential_helpers.clone())
                .map_err(|why| Failure::file(path, &why))
        };
        let configured = self.registry_config.as_ref().map(open).transpose()?;
        let authorities_pem =
            self.registry_ca.iter().map(|path| files::text(path)).collect::<Result<_, _>>()?;
        Registry::new(Options {
            configured,
            authorities_pem,
            plain_http: self.plain_http.clone(),
            any_address: self.any_address.clone(),
            refuse_private: self.no_private_addresses,
            mirrors: self.registry_mirror.clone(),
            mirrors_only: self.mirrors_only,
        })
        .map_err(Failure::new)
    }
}
