//! Authorities as policies write them, made ready: keys, identities, certificates, fixed answers.

use crate::images::{Authorities, Authority, PublicKey, TextMatch};
use crate::policy::api::{ImageAuthority, KeyAuthority, KeylessAuthority};
use crate::policy::images::compile::{Compiler, Counts, Named};

/// What a key management system's references begin with, in cosign's spelling.
const KMS_SCHEMES: &[&str] = &["awskms://", "gcpkms://", "azurekms://", "hashivault://", "k8s://"];

impl Compiler<'_> {
    /// An authority as it was written, ready to verify with. What is wrong with it is told, and it signs nothing.
    pub fn authority(&mut self, place: usize, authority: &ImageAuthority) -> Named {
        let field = format!("spec.authorities[{place}]");
        let made = match authority {
            ImageAuthority {
                key: Some(key),
                keyless: None,
                certificate: None,
                fixed: None,
                ..
            } => self.key(key),
            ImageAuthority {
                key: None,
                keyless: Some(keyless),
                certificate: None,
                fixed: None,
                ..
            } => self.keyless(keyless).map(Counts::Signed),
            ImageAuthority {
                key: None,
                keyless: None,
                certificate: Some(own),
                fixed: None,
                ..
            } => {
                let subject = one_of("subject", own.subject.as_ref(), own.subject_pattern.as_ref());
                let subject = match (&own.subject, &own.subject_pattern) {
                    (None, None) => Ok(None),
                    _ => subject.map(Some),
                };
                Authorities::from_pem(&own.certificates)
                    .map_err(|why| ("certificate.certificates", why.to_string()))
                    .and_then(|authorities| {
                        let subject = subject.map_err(|why| ("certificate", why))?;
                        Ok(Authority::Certificate { authorities, subject })
                    })
                    .map(Counts::Signed)
            }
            ImageAuthority {
                key: None,
                keyless: None,
                certificate: None,
                fixed: Some(answer),
                ..
            } => Ok(Counts::Static(*answer)),
            _ => {
                let why = "exactly one of key, keyless, certificate and static is required";
                Err(("", why.to_owned()))
            }
        };
        let counts = made.unwrap_or_else(|(within, why)| {
            let dot = if within.is_empty() { "" } else { "." };
            self.tell(&format!("{field}{dot}{within}"), &why);
            Counts::Broken(why)
        });
        if let Counts::Missing(why) = &counts {
            let why = why.clone();
            self.tell(&format!("{field}.key.secretRef"), &why);
        }
        Named { name: authority.name.clone(), counts }
    }

    fn key(&mut self, key: &KeyAuthority) -> Result<Counts, (&'static str, String)> {
        let (field, text) = match key {
            KeyAuthority { kms: Some(_), .. } => {
                let why = "keys of key management systems are not supported: write the public key itself into publicKey or a Secret";
                return Err(("key.kms", why.to_owned()));
            }
            KeyAuthority { public_key: Some(text), secret_ref: None, .. } => {
                ("key.publicKey", text.as_str())
            }
            KeyAuthority { public_key: None, secret_ref: Some(secret), .. } => {
                match self.roots.key(secret) {
                    Ok(text) => ("key.secretRef", text),
                    Err(why) => return Ok(Counts::Missing(why)),
                }
            }
            _ => {
                let why = "exactly one of publicKey and secretRef is required";
                return Err(("key", why.to_owned()));
            }
        };
        if let Some(scheme) = KMS_SCHEMES.iter().find(|scheme| text.trim().starts_with(**scheme)) {
            let why = format!(
                "`{scheme}` names a key that is kept elsewhere, which is not supported: write the public key itself"
            );
            return Err((field, why));
        }
        let key_itself = PublicKey::from_pem(text).map_err(|why| (field, why.to_string()))?;
        let log = key.transparency_log.as_ref().map(|log| self.roots.named(log)).transpose();
        let log = log.map_err(|why| ("key.transparencyLog", why))?;
        Ok(Counts::Signed(Authority::Key { key: key_itself, log }))
    }

    fn keyless(&self, keyless: &KeylessAuthority) -> Result<Authority, (&'static str, String)> {
        let within = |why| ("keyless", why);
        let issuer = one_of("issuer", keyless.issuer.as_ref(), keyless.issuer_pattern.as_ref());
        let subject = one_of("subject", keyless.subject.as_ref(), keyless.subject_pattern.as_ref());
        let root = match &keyless.trust_root {
            Some(reference) => self.roots.named(reference),
            None => self.roots.public(),
        };
        Ok(Authority::Keyless {
            issuer: issuer.map_err(within)?,
            subject: subject.map_err(within)?,
            root: root.map_err(|why| ("keyless.trustRoot", why))?,
        })
    }
}

/// A text or a pattern, whichever was written.
fn one_of(
    what: &str,
    exact: Option<&String>,
    pattern: Option<&String>,
) -> Result<TextMatch, String> {
    match (exact, pattern) {
        (Some(exact), None) => Ok(TextMatch::Exact(exact.clone())),
        (None, Some(pattern)) => TextMatch::pattern(pattern).map_err(|why| why.to_string()),
        _ => Err(format!("exactly one of {what} and {what}Pattern is required")),
    }
}
