//! Signatures with certificates of an admin's own authorities.

use crate::sigstore::{
    bundle, by_certificate, by_key, envelope, layer, pae, simple_signing, statement,
};
use crate::{IMAGE, OTHER, check};
use portcullis::images::{Authorities, Authority, Evidence, SIGNATURE_PREDICATE, TextMatch};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    SanType, SigningKey, date_time_ymd,
};
use serde_json::json;

struct Own {
    root: CertifiedIssuer<'static, KeyPair>,
    intermediate: CertifiedIssuer<'static, KeyPair>,
}

fn ca(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2040, 1, 1);
    params
}

impl Own {
    fn new() -> Self {
        let root = CertifiedIssuer::self_signed(ca("root"), KeyPair::generate().unwrap()).unwrap();
        let intermediate =
            CertifiedIssuer::signed_by(ca("middle"), KeyPair::generate().unwrap(), &root).unwrap();
        Self { root, intermediate }
    }

    /// A certificate, with its key.
    fn leaf(&self, years: (i32, i32), for_signing: bool) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::Rfc822Name("dev@team.test".try_into().unwrap())];
        params.not_before = date_time_ymd(years.0, 1, 1);
        params.not_after = date_time_ymd(years.1, 1, 1);
        if for_signing {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
        }
        (params.signed_by(&key, &self.intermediate).unwrap(), key)
    }

    fn authority(&self, subject: Option<&str>) -> Authority {
        let chain = format!("{}{}", self.intermediate.pem(), self.root.pem());
        Authority::Certificate {
            authorities: Authorities::from_pem(&chain).unwrap(),
            subject: subject.map(|text| TextMatch::Exact(text.to_owned())),
        }
    }
}

fn signed(certificate: &rcgen::Certificate, key: &KeyPair, other: bool) -> [Evidence; 2] {
    let image = if other { &*OTHER } else { &*IMAGE };
    let payload = simple_signing(image);
    let signature = key.sign(&payload).unwrap();
    let pem = certificate.pem();
    let legacy = Evidence::Signature(layer(&payload, &signature, Some(&pem), None));
    let payload = statement(image, SIGNATURE_PREDICATE, &json!({}));
    let signature = key.sign(&pae(&payload)).unwrap();
    let bundle = bundle(by_certificate(certificate.der()), &[], envelope(&payload, &signature));
    [legacy, Evidence::Bundle(bundle.to_string().into_bytes())]
}

#[test]
fn a_certificate_of_the_authority_counts_while_it_is_good() {
    let (own, others) = (Own::new(), Own::new());
    let good = own.leaf((2026, 2027), true);
    let rows = [
        ("good", good.0.clone(), &good.1, own.authority(None), Ok(())),
        ("named", good.0.clone(), &good.1, own.authority(Some("dev@team.test")), Ok(())),
        (
            "misnamed",
            good.0.clone(),
            &good.1,
            own.authority(Some("dev@other.test")),
            Err("the subject is `dev@team.test`"),
        ),
        (
            "of others",
            good.0.clone(),
            &good.1,
            others.authority(None),
            Err("certificate is not trusted"),
        ),
        (
            "another key",
            good.0.clone(),
            &KeyPair::generate().unwrap(),
            own.authority(None),
            Err("was changed"),
        ),
    ];
    for (what, certificate, key, authority, expect) in rows {
        for evidence in signed(&certificate, key, false) {
            check(what, evidence, &authority, expect);
        }
    }
    for (what, years, for_signing, expect) in [
        ("expired", (2024, 2025), true, "certificate is not trusted"),
        ("not yet good", (2030, 2031), true, "certificate is not trusted"),
        ("not for signing", (2026, 2027), false, "certificate is not trusted"),
    ] {
        let (certificate, key) = own.leaf(years, for_signing);
        for evidence in signed(&certificate, &key, false) {
            check(what, evidence, &own.authority(None), Err(expect));
        }
    }
    for evidence in signed(&good.0, &good.1, true) {
        check("another image", evidence, &own.authority(None), Err("about another image"));
    }
    let payload = statement(&IMAGE, SIGNATURE_PREDICATE, &json!({}));
    let signature = good.1.sign(&pae(&payload)).unwrap();
    let keyed = bundle(by_key(), &[], envelope(&payload, &signature));
    let keyed = Evidence::Bundle(keyed.to_string().into_bytes());
    check("no certificate", keyed, &own.authority(None), Err("signed with a key"));
}
