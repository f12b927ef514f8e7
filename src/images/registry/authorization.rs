//! Showing who we are to one repository, in the way that its registry asks for: the logins of the keyring one after the
//! other, then those that are configured, then nobody. What was accepted is shown from then on.

use std::collections::VecDeque;

use http::header::{HeaderValue, WWW_AUTHENTICATE};
use http::{StatusCode, Uri};
use serde::Deserialize;

use crate::images::registry::challenge::{Challenge, encoded};
use crate::images::registry::credentials::Login;
use crate::images::registry::error::{RegistryError, Unread};
use crate::images::registry::http::{Answer, Question};
use crate::images::registry::keyring::LOGINS_MAX;
use crate::images::registry::session::Session;

/// How large the answer of a token server may be.
const TOKEN_BYTES_MAX: usize = 64 << 10;

/// Who we are to token servers that give tokens for refresh tokens.
const CLIENT: &str = "portcullis";

/// What is shown, and what else could be.
#[derive(Default)]
pub(in crate::images::registry) struct Shown {
    header: Option<HeaderValue>,
    challenge: Option<Challenge>,
    left: Option<VecDeque<Option<Login>>>,
    /// Whether there is any login.
    pub has_login: bool,
    /// Why there may be others.
    pub unread: Vec<Unread>,
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl Session<'_> {
    /// Asks, and shows who we are when that is asked for.
    pub(in crate::images::registry) async fn ask(
        &self,
        uri: Uri,
        question: Question<'_>,
    ) -> Result<Answer, RegistryError> {
        let mut used = self.shown.lock().await.header.clone();
        loop {
            let question = Question { authorization: used.as_ref(), ..question };
            let answer = self.registry.http.ask(uri.clone(), question).await?;
            let wants_other = match answer.status {
                StatusCode::UNAUTHORIZED => true,
                StatusCode::FORBIDDEN => used.is_some(),
                _ => false,
            };
            if !wants_other {
                return Ok(answer);
            }
            match self.authorize(&uri, &answer, used.as_ref()).await? {
                Some(next) => used = Some(next),
                None => return Ok(answer),
            }
        }
    }

    /// What shows who we are next, as the registry asks for it. Whoever comes second uses what the first got. Each login is
    /// shown once.
    async fn authorize(
        &self,
        uri: &Uri,
        answer: &Answer,
        used: Option<&HeaderValue>,
    ) -> Result<Option<HeaderValue>, RegistryError> {
        let mut shown = self.shown.lock().await;
        if let Some(newer) = shown.header.as_ref().filter(|newer| Some(*newer) != used) {
            return Ok(Some(newer.clone()));
        }
        let mut challenges = answer.headers.get_all(WWW_AUTHENTICATE).iter();
        let asked = challenges.find_map(|header| Challenge::parse(header.to_str().ok()?));
        let Some(challenge) = asked.or(shown.challenge.take()) else { return Ok(None) };
        let mut left = match shown.left.take() {
            Some(left) => left,
            None => self.logins(&mut shown).await,
        };
        let mut found = Ok(None);
        while let Some(login) = left.pop_front() {
            match self.header(&challenge, login.as_ref(), uri).await {
                Ok(None) => {}
                other => {
                    found = other;
                    break;
                }
            }
        }
        shown.challenge = Some(challenge);
        shown.left = Some(left);
        if let Ok(Some(header)) = &found {
            shown.header = Some(header.clone());
        }
        found
    }

    /// Everybody who we can be, and nobody at last: what everybody may read needs no login that is still good.
    async fn logins(&self, shown: &mut Shown) -> VecDeque<Option<Login>> {
        let (host, name) = (&self.at.registry, &self.at.name);
        let mut logins: Vec<Login> = self.keyring.logins(host, name).cloned().collect();
        shown.unread.clone_from(&self.keyring.unread);
        if let Some(configured) = &self.registry.configured {
            match configured.login(host, name).await {
                Ok(login) => logins.extend(login),
                Err(unread) => shown.unread.push(unread),
            }
        }
        logins.truncate(LOGINS_MAX);
        shown.has_login = !logins.is_empty();
        logins.into_iter().map(Some).chain([None]).collect()
    }

    /// What is shown for a login; none if it is of no use here.
    async fn header(
        &self,
        challenge: &Challenge,
        login: Option<&Login>,
        uri: &Uri,
    ) -> Result<Option<HeaderValue>, RegistryError> {
        // Where TLS is not used, somebody said that it need not be.
        let is_safe = self.registry.http.is_safe(uri);
        let basic = match login {
            Some(Login::Bearer(token)) if is_safe => {
                return secret(&format!("Bearer {token}")).map(Some);
            }
            Some(Login::Basic(basic)) => Some(secret(&format!("Basic {basic}"))?),
            _ => None,
        };
        match (challenge, login) {
            (Challenge::Basic, _) => Ok(basic.filter(|_| is_safe)),
            (Challenge::Bearer { realm, service }, Some(Login::Identity(refresh))) => {
                let form = format!(
                    "grant_type=refresh_token&client_id={CLIENT}&service={}&scope={}&refresh_token={}",
                    encoded(service.as_deref().unwrap_or_default()),
                    encoded(&self.scope()),
                    encoded(refresh),
                );
                let uri = self.token_server(realm)?;
                self.token(uri, None, Some(&form)).await
            }
            (Challenge::Bearer { .. }, Some(Login::Bearer(_))) => Ok(None),
            (Challenge::Bearer { realm, service }, _) => {
                let service = service.as_ref().map(|text| format!("service={}&", encoded(text)));
                let joint = if realm.contains('?') { '&' } else { '?' };
                let scope = encoded(&self.scope());
                let query = format!("{joint}{}scope={scope}", service.unwrap_or_default());
                let uri = self.token_server(&format!("{realm}{query}"))?;
                self.token(uri, basic.as_ref(), None).await
            }
        }
    }

    /// Reading this repository and nothing else, whatever the registry says we should ask for.
    fn scope(&self) -> String {
        format!("repository:{}:pull", self.at.name)
    }

    fn token_server(&self, address: &str) -> Result<Uri, RegistryError> {
        let refused = |why: &str| {
            RegistryError::Refused(format!("{} sends {why} for a token", self.at.registry))
        };
        let uri: Uri = address.parse().map_err(|_| refused("to what is no address"))?;
        if uri.authority().is_none() || !self.registry.http.is_safe(&uri) {
            return Err(refused("somewhere without TLS"));
        }
        Ok(uri)
    }

    /// What a token server gives; none if it does not accept who we are.
    async fn token(
        &self,
        uri: Uri,
        authorization: Option<&HeaderValue>,
        form: Option<&str>,
    ) -> Result<Option<HeaderValue>, RegistryError> {
        let question = Question {
            what: "the token",
            accept: "application/json",
            authorization,
            form,
            bytes_max: TOKEN_BYTES_MAX,
            trail: self.trail,
        };
        let answer = self.registry.http.ask(uri, question).await?;
        if !answer.status.is_success() {
            return Ok(None);
        }
        // What is in it is secret, also when it is malformed.
        let malformed = || RegistryError::Malformed {
            what: "the answer of the token server".to_owned(),
            why: "a JSON object with `token` is expected".to_owned(),
        };
        let token: Token = serde_json::from_slice(&answer.body).map_err(|_| malformed())?;
        let token = token.token.or(token.access_token).ok_or_else(malformed)?;
        secret(&format!("Bearer {token}")).map(Some)
    }
}

fn secret(text: &str) -> Result<HeaderValue, RegistryError> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        RegistryError::Refused("a credential has letters that it can't have".to_owned())
    })?;
    value.set_sensitive(true);
    Ok(value)
}
