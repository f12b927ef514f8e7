//! Renewal of the authority and of the certificate while clients write. Time is not moved: the authority in the Secret is
//! made older, under the same name and key, so that everything that it signed stays good.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::World;
use crate::faults::Seen;
use crate::processes::eventually;

/// Replicas watch the Secret. One that could not would look once a minute, and fail the test.
const LOOK_PATIENCE: Duration = Duration::from_secs(20);

const SECRET: [&str; 4] = ["secret", "portcullis-tls", "-n", "portcullis-system"];

fn secret(world: &World) -> Result<Value, String> {
    let get = [&["get"][..], &SECRET, &["-o", "json"]].concat();
    Ok(serde_json::from_str(&world.kubectl.run(&get).ok()?).unwrap())
}

fn part(secret: &Value, key: &str) -> String {
    let text = secret["data"][key].as_str().unwrap_or_default();
    String::from_utf8(STANDARD.decode(text).unwrap()).unwrap()
}

/// The authorities that the API server trusts for our webhooks.
fn trusted(world: &World) -> String {
    let webhooks = world.kubectl.get("validatingwebhookconfiguration", "portcullis");
    let bundle = webhooks["webhooks"][0]["clientConfig"]["caBundle"].as_str().unwrap();
    String::from_utf8(STANDARD.decode(bundle).unwrap()).unwrap()
}

fn certificates(pem: &str) -> usize {
    pem.matches("BEGIN CERTIFICATE").count()
}

/// Writes the newest authority of the Secret again, good between these days of years from now.
fn reissue(world: &World, begins: (i32, u8, u8), ends: (i32, u8, u8)) {
    let secret = secret(world).unwrap();
    let (bundle, key) = (part(&secret, "ca.crt"), part(&secret, "ca.key"));
    let ders: Vec<_> = CertificateDer::pem_slice_iter(bundle.as_bytes()).flatten().collect();
    let (_, newest) = X509Certificate::from_der(&ders[0]).unwrap();
    let name = newest.subject().iter_common_name().next().unwrap().as_str().unwrap().to_owned();
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = date_time_ymd(begins.0, begins.1, begins.2);
    params.not_after = date_time_ymd(ends.0, ends.1, ends.2);
    let made = params.self_signed(&KeyPair::from_pem(&key).unwrap()).unwrap().pem();
    let older = bundle.split_inclusive("-----END CERTIFICATE-----\n").skip(1);
    let bundle: String = std::iter::once(made.as_str()).chain(older).collect();
    let patch = json!({"data": {"ca.crt": STANDARD.encode(bundle)}}).to_string();
    let patch = [&["patch"][..], &SECRET, &["--type=merge", "-p", &patch]].concat();
    world.kubectl.run(&patch).assert_accepted();
}

/// The day that is so many days from now.
fn day(from_now: i64) -> (i32, u8, u8) {
    let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let day = now.checked_add(jiff::Span::new().days(from_now)).unwrap();
    (day.year().into(), day.month().unsigned_abs(), day.day().unsigned_abs())
}

/// An old authority gets a successor, and the successor signs when it has been trusted for days.
pub fn renew(world: &mut World) -> Seen {
    let before = part(&secret(world).unwrap(), "tls.crt");
    reissue(world, day(-600), day(130));
    let begun = Instant::now();
    eventually("the API server trusts both", LOOK_PATIENCE, || {
        match certificates(&trusted(world)) {
            2 => Ok(()),
            count => Err(format!("{count} are trusted")),
        }
    });
    let trusted = begun.elapsed().as_millis();
    let successor = secret(world).unwrap();
    assert_eq!(certificates(&part(&successor, "ca.crt")), 2, "the authority has a successor");
    assert_eq!(part(&successor, "tls.crt"), before, "the certificate stays meanwhile");
    world.settle();
    reissue(world, day(-4), day(700));
    let begun = Instant::now();
    eventually("the successor signs", LOOK_PATIENCE, || {
        let now = part(&secret(world)?, "tls.crt");
        if now == before { Err("the certificate is the same".to_owned()) } else { Ok(()) }
    });
    let signed = begun.elapsed().as_millis();
    world.settle();
    let notes = format!(
        "a successor is trusted after {trusted} ms; when it has been for days, it signs after {signed} ms"
    );
    Seen { notes, ..Seen::default() }
}

/// A Secret that was deleted comes back as it was, and a replica that starts in that moment serves what it says.
pub fn lose_the_secret(world: &mut World) -> Seen {
    let before = secret(world).unwrap()["data"].clone();
    world.fleet.stop(0);
    let delete = [&["delete"][..], &SECRET].concat();
    world.kubectl.run(&delete).assert_accepted();
    let begun = Instant::now();
    world.fleet.start(&world.run, 0);
    eventually("the Secret is back", LOOK_PATIENCE, || secret(world));
    let back = begun.elapsed().as_millis();
    world.fleet.await_ready(0);
    world.fleet.await_endpoints();
    world.settle();
    assert_eq!(secret(world).unwrap()["data"], before);
    Seen {
        notes: format!("it is back as it was after {back} ms; a replica starts meanwhile"),
        ..Seen::default()
    }
}
