//! Every form of output, by the rules of whoever reads it.

use serde_json::Value as Json;

use crate::program::{Folder, Ran, audit};
use crate::{folder, pod};

/// A name that tries to be something else in every form.
const HOSTILE: &str =
    "\"<img src=x onerror=alert(1)>%0A::error::\\u202e,:]]></script>&amp;\\n\\u0001\"";

fn written(folder: &Folder, format: &str) -> Ran {
    let pods =
        pod("ok", "a", "x:1") + &pod("bad", "a", "x:latest") + &pod(HOSTILE, "b", "y:latest");
    folder.write("pods dir/pods.yaml", &pods);
    let ran = audit(folder, &["-p", "policies", "-o", format, "pods dir"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    ran
}

#[test]
fn json_has_everything() {
    let folder = folder("json");
    let all: Json = serde_json::from_str(&written(&folder, "json").out).unwrap();
    assert_eq!((&all["objects"], &all["covered"]), (&3.into(), &3.into()));
    assert_eq!(all["summary"]["fail"], 2);
    assert_eq!(all["summary"]["pass"], 4);
    assert_eq!(all["namespaces"]["b"]["fail"], 1);
    let finding = &all["findings"][0];
    assert_eq!(finding["object"]["name"], "bad");
    assert_eq!(finding["rule"], "validations[1]");
    assert_eq!((&finding["file"], &finding["line"]), (&"pods dir/pods.yaml".into(), &12.into()));
    assert_eq!(
        finding["expression"],
        "object.spec.containers.all(c, !c.image.endsWith(':latest'))"
    );
    assert_eq!(
        (&finding["policyFile"], &finding["policyLine"]),
        (&"policies/no-latest.yaml".into(), &18.into())
    );
    let lines = written(&folder, "jsonl").out;
    let lines: Vec<Json> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(&lines, all["findings"].as_array().unwrap());
}

#[test]
fn sarif_is_what_code_scanning_takes() {
    let folder = folder("sarif");
    let sarif: Json = serde_json::from_str(&written(&folder, "sarif").out).unwrap();
    assert_eq!(sarif["version"], "2.1.0");
    let run = &sarif["runs"][0];
    let (rules, results) = (&run["tool"]["driver"]["rules"], run["results"].as_array().unwrap());
    assert_eq!((rules.as_array().unwrap().len(), results.len()), (1, 2));
    for result in results {
        let rule = &rules[result["ruleIndex"].as_u64().unwrap() as usize];
        assert_eq!(result["ruleId"], rule["id"]);
        assert_eq!(result["level"], "error");
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "pods%20dir/pods.yaml");
        assert!(place["region"]["startLine"].as_u64().unwrap() > 1);
        let print = result["partialFingerprints"]["portcullisFinding/v1"].as_str().unwrap();
        assert_eq!(print.len(), 64);
        assert!(!result["message"]["text"].as_str().unwrap().is_empty());
    }
    assert_ne!(results[0]["partialFingerprints"], results[1]["partialFingerprints"]);
    let rule = &rules[0];
    assert_eq!(rule["id"], "no-latest/validations[1]");
    assert_eq!(rule["properties"]["security-severity"], "8.0");
    assert!(rule["help"]["text"].as_str().unwrap().contains("Name a version."));
    assert_eq!(run["invocations"][0]["executionSuccessful"], true);
    folder.write("broken.yaml", "a: [\n");
    let ran = audit(&folder, &["-p", "policies", "-o", "sarif", "broken.yaml"]);
    let sarif: Json = serde_json::from_str(&ran.out).unwrap();
    let invocation = &sarif["runs"][0]["invocations"][0];
    assert_eq!((ran.code, &invocation["executionSuccessful"]), (2, &false.into()));
    assert_eq!(invocation["toolExecutionNotifications"].as_array().unwrap().len(), 1);
}

#[test]
fn junit_is_xml_with_a_suite_for_each_policy() {
    let folder = folder("junit");
    let xml = written(&folder, "junit").out;
    assert!(xml.starts_with("<?xml version=\"1.0\""), "{xml}");
    assert_eq!(xml.matches("<testsuite ").count(), 2, "{xml}");
    assert!(xml.contains("failures=\"2\"") && xml.contains("name=\"3 objects pass\""), "{xml}");
    // Nothing of the hostile name is markup, and what XML can't have is not there.
    assert!(!xml.contains("<img") && !xml.contains('\u{1}'), "{xml}");
    let script = "import sys,xml.dom.minidom as m;d=m.parse(sys.stdin);print(len(d.getElementsByTagName('failure')))";
    folder.write("out.xml", &xml);
    let file = std::fs::File::open(folder.0.join("out.xml")).unwrap();
    match std::process::Command::new("python3").args(["-c", script]).stdin(file).output() {
        Ok(parsed) => assert_eq!(String::from_utf8_lossy(&parsed.stdout).trim(), "2"),
        Err(_) => println!("no python3 here; the XML was not read by another reader"),
    }
}

#[test]
fn github_gets_one_command_a_finding() {
    let folder = folder("github");
    let out = written(&folder, "github").out;
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 2, "{out}");
    assert_eq!(
        lines[0],
        "::error file=pods dir/pods.yaml,line=12,title=no-latest (high)::Pod a/bad: image of bad is latest"
    );
    assert!(
        lines[1].starts_with("::error file=") && lines[1].contains("%250A::error::"),
        "{}",
        lines[1]
    );
}

#[test]
fn reports_are_those_of_clusters() {
    let folder = folder("reports");
    for (format, group, kind) in [
        ("policyreport", "wgpolicyk8s.io/v1alpha2", "PolicyReport"),
        ("openreports", "openreports.io/v1alpha1", "Report"),
    ] {
        let out = written(&folder, format).out;
        let documents: Vec<Json> = serde_saphyr::from_multiple(&out).unwrap();
        let namespaces: Vec<_> = documents.iter().map(|d| &d["metadata"]["namespace"]).collect();
        assert_eq!(namespaces, ["a", "b"], "{out}");
        for document in &documents {
            assert_eq!((&document["apiVersion"], &document["kind"]), (&group.into(), &kind.into()));
            assert_eq!(document["summary"]["fail"], 1);
            assert_eq!(document["results"].as_array().unwrap().len(), 1);
            let result = &document["results"][0];
            assert_eq!(
                (&result["policy"], &result["severity"]),
                (&"no-latest".into(), &"high".into())
            );
        }
    }
}

#[test]
fn a_file_is_written_where_it_is_asked_for() {
    let folder = folder("file");
    folder.write("bad.yaml", pod("bad", "a", "x:latest"));
    let ran =
        audit(&folder, &["-p", "policies", "-o", "html", "--output-file", "out.html", "bad.yaml"]);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert!(folder.read("out.html").starts_with("<!doctype html>"));
    let ran = audit(&folder, &["-p", "policies", "--output-file", "no/such/out", "bad.yaml"]);
    assert_eq!(ran.code, 2);
}

#[test]
fn a_page_has_no_place_for_what_is_hostile() {
    let folder = folder("html");
    let page = written(&folder, "html").out;
    assert!(page.contains("default-src 'none'") && !page.contains("<img"), "{page}");
    for outside in ["src=", "href=", "url(", "@import", "fetch(", "http://", "https://"] {
        assert!(!page.replace("onerror", "").contains(outside) || outside == "src=", "{outside}");
    }
    // One block of data, one script: nothing of the data ended it early.
    assert_eq!(page.matches("</script>").count(), 2);
    assert_eq!(page.matches("<script").count(), 2);
}
