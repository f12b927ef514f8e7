//! Files that are not what they should be: every one is refused with its place, and none takes the memory or the time.

use std::process::Command;

use crate::program::{Folder, audit};
use crate::{NO_LATEST, pod};

/// What a file may cost at most, in KiB, whatever is in it: what is on its way, a document in the making, and the program.
const MEMORY_KIB_MAX: u64 = 400_000;

#[test]
fn what_is_hostile_is_refused_and_the_rest_is_audited() {
    let folder = Folder::new("hostile");
    folder.write("policies/p.yaml", NO_LATEST);
    let good = pod("found", "a", "x:latest");
    let bomb: String = (1..9)
        .map(|n| format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 20].join(",")))
        .collect();
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("deep-yaml", "- ".repeat(500_000).into_bytes(), ":1:"),
        ("deep-json", "{\"a\":".repeat(2_000_000).into_bytes(), ":1:"),
        ("deep-flow", "[".repeat(500_000).into_bytes(), ":1:"),
        ("bomb", format!("a0: &a0 x\n{bomb}").into_bytes(), ":"),
        ("latin", b"a: \xe4\n".to_vec(), "no UTF-8 text"),
        ("nul", b"a: \0\n".to_vec(), ":1:"),
        ("endless-line", vec![b'x'; 40 << 20], "a document of more than"),
        ("endless-string", [b"{\"a\":\"".to_vec(), vec![b'x'; 40 << 20]].concat(), "more than"),
        ("duplicate", b"kind: A\nkind: B\n".to_vec(), "duplicate"),
        ("no-object", b"- 1\n".to_vec(), "no object"),
        ("half", b"{\"kind\":\"List\",\"items\":[{\"a\":".to_vec(), ":1:"),
    ];
    for (name, bytes, says) in cases {
        let file = format!("{name}.yaml");
        folder.write(&file, [bytes, b"\n---\n".to_vec(), good.clone().into_bytes()].concat());
        folder.write("good.yaml", &good);
        let ran = audit(&folder, &["-p", "policies", &file, "good.yaml"]);
        assert_eq!(ran.code, 2, "{name}: {}{}", ran.out, ran.err);
        assert!(ran.out.contains(&file) && ran.out.contains(says), "{name}: {}", ran.out);
        assert!(ran.out.contains("image of found is latest"), "{name}: {}", ran.out);
    }
}

#[test]
fn what_is_no_file_is_not_waited_for() {
    let folder = Folder::new("no-file");
    folder.write("policies/p.yaml", NO_LATEST);
    folder.write("in/bad.yaml", pod("found", "a", "x:latest"));
    std::os::unix::fs::symlink("..", folder.0.join("in/up")).unwrap();
    std::os::unix::fs::symlink("in", folder.0.join("in/in")).unwrap();
    let ran = audit(&folder, &["-p", "policies", "in"]);
    assert!(ran.out.matches("image of found").count() == 1, "{}", ran.out);
    let fifo = folder.0.join("pipe.yaml");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    for file in ["pipe.yaml", "/dev/zero", "/dev/tty", "missing"] {
        let ran = audit(&folder, &["-p", "policies", file]);
        assert_eq!(ran.code, 2, "{file}: {}", ran.out);
        assert!(ran.err.contains(file), "{file}: {}", ran.err);
    }
}

/// Memory does not grow with the file: 8 MB and 64 MB of Pods, as documents, as one List, and as JSON.
#[test]
fn memory_does_not_grow_with_the_file() {
    if !std::path::Path::new("/proc/self/status").exists() {
        println!("no /proc here; memory was not measured");
        return;
    }
    let folder = Folder::new("memory");
    folder.write("policies/p.yaml", NO_LATEST);
    let filling = "x".repeat(3_000);
    let object = |n: usize| {
        pod(&format!("p{n}"), "a", "x:1").replace("{team: x}", &format!("{{team: {filling}}}"))
    };
    let documents: String = (0..12_000).map(object).collect();
    folder.write("documents.yaml", &documents);
    let items: String = documents
        .split("---\n")
        .filter(|text| !text.is_empty())
        .map(|text| format!("- {}\n", text.trim_end().replace('\n', "\n  ")))
        .collect();
    folder.write("list.yaml", format!("apiVersion: v1\nitems:\n{items}kind: List\n"));
    for file in ["documents.yaml", "list.yaml"] {
        let script = "\"$0\" audit -p policies \"$1\" & pid=$!; peak=0; while [ -r /proc/$pid/status ]; do \
            now=$(sed -n 's/^VmHWM:[^0-9]*\\([0-9]*\\) kB/\\1/p' /proc/$pid/status 2>/dev/null); \
            [ -n \"$now\" ] && peak=$now; sleep 0.02; done; wait $pid; echo \"peak $peak\"";
        let output = Command::new("bash")
            .args(["-c", script, env!("CARGO_BIN_EXE_portcullis"), file])
            .current_dir(&folder.0)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains("12000 objects"), "{said}");
        let peak = said.lines().find_map(|line| line.strip_prefix("peak ")).unwrap();
        let peak: u64 = peak.parse().unwrap();
        println!("{file}: {} MB of Pods in {} MiB", documents.len() / 1_000_000, peak / 1024);
        assert!(peak > 0 && peak < MEMORY_KIB_MAX, "{file}: {peak} KiB");
    }
}
