//! The API server's own answers, from the program in `e2e/oracle`, which is built when it is first needed.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value as Json;

/// What `build.sh` ends with where there is no Go.
const NO_GO: i32 = 69;

/// The program; `None` where there is no Go to build it with.
pub fn program() -> Option<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/oracle/build.sh");
    let output = Command::new("bash")
        .arg(&script)
        .stderr(Stdio::inherit())
        .output()
        .expect("`bash` is needed to build the oracle");
    if output.status.code() == Some(NO_GO) {
        return None;
    }
    assert!(
        output.status.success(),
        "there is no oracle: see what {} says above",
        script.display()
    );
    Some(PathBuf::from(String::from_utf8(output.stdout).unwrap().trim()))
}

pub struct Oracle {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Oracle {
    pub fn start(program: &Path) -> Oracle {
        let mut process = Command::new(program)
            .arg("expr")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = process.stdin.take().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        Oracle { process, input, output }
    }

    /// The answers to these questions, and meanwhile what `work` gives.
    pub fn ask_while<T>(&mut self, questions: &[Json], work: impl FnOnce() -> T) -> (Vec<Json>, T) {
        let (input, output) = (&mut self.input, &mut self.output);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut lines = Vec::new();
                for question in questions {
                    serde_json::to_writer(&mut lines, question).unwrap();
                    lines.push(b'\n');
                }
                input.write_all(&lines).unwrap();
                input.flush().unwrap();
            });
            let reading = scope.spawn(move || {
                let mut answers = Vec::with_capacity(questions.len());
                let mut line = String::new();
                for _ in questions {
                    line.clear();
                    assert!(output.read_line(&mut line).unwrap() > 0, "the oracle ended");
                    answers.push(serde_json::from_str(&line).unwrap());
                }
                answers
            });
            let worked = work();
            (reading.join().unwrap(), worked)
        })
    }

    pub fn ask(&mut self, questions: &[Json]) -> Vec<Json> {
        self.ask_while(questions, || ()).0
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
