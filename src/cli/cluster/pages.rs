//! The objects of a kind as a stream of Lists, one page after the other, whatever becomes of the cluster meanwhile. How a page
//! is asked for is not known here.
//!
//! # Guarantees
//! - No object comes twice, and none that is there all the time is left out: a list that is too old is gone on with where it
//!   was, in the state of now, or begun again.
//! - What fails for a moment is asked again, a bounded number of times.

use std::collections::HashSet;
use std::io::{self, Read};
use std::time::Duration;

use kube::Error;
use serde::Deserialize;
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use crate::cli::cluster::PAGES_MAX;

/// How often a page is asked for before the kind counts as unreadable. With waits that double, it is as long as an API
/// server takes to start.
const ATTEMPTS_MAX: u32 = 6;

/// The first wait after a failure.
const WAIT: Duration = Duration::from_millis(250);

/// How often a list is begun anew. Who reads so slowly that it happens more often never gets to the end.
const ANEW_MAX: usize = 5;

/// Asks for the page that this token names; the first has none.
type Ask<'c> = dyn FnMut(&str) -> Result<String, Error> + 'c;

/// Lists, one after the other.
pub struct Pages<'c> {
    name: String,
    ask: Box<Ask<'c>>,
    page: Vec<u8>,
    at: usize,
    /// What names the next one; none after the last.
    next: Option<String>,
    taken: usize,
    /// The objects that came already, by a hash of namespace and name.
    seen: HashSet<[u8; 16]>,
    /// How often the list was begun anew.
    anew: usize,
}

/// What a page says beside its objects.
#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    metadata: PageMetadata,
    #[serde(default)]
    items: Option<Vec<Named>>,
}

#[derive(Default, Deserialize)]
struct PageMetadata {
    #[serde(rename = "continue", default)]
    next: String,
}

#[derive(Deserialize)]
struct Named {
    #[serde(default)]
    metadata: Name,
}

#[derive(Default, Deserialize)]
struct Name {
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    name: String,
}

impl Name {
    fn hash(&self) -> [u8; 16] {
        let hash = Sha256::digest(format!("{}/{}", self.namespace, self.name));
        let mut short = [0; 16];
        short.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
        short
    }
}

impl<'c> Pages<'c> {
    /// From the first page on. The name is for errors.
    pub fn new(name: String, ask: impl FnMut(&str) -> Result<String, Error> + 'c) -> Pages<'c> {
        Pages {
            name,
            ask: Box::new(ask),
            page: Vec::new(),
            at: 0,
            next: Some(String::new()),
            taken: 0,
            seen: HashSet::new(),
            anew: 0,
        }
    }

    fn error(&self, error: impl std::fmt::Display) -> io::Error {
        io::Error::other(format!("{}: {error}", self.name))
    }

    /// Reads the page that this token names, or where reading goes on if it is too old.
    fn turn(&mut self, mut token: String) -> io::Result<()> {
        self.taken += 1;
        if self.taken > PAGES_MAX {
            return Err(self.error(format_args!("more than {PAGES_MAX} pages")));
        }
        let mut wait = WAIT;
        let mut attempts = 1;
        let text = loop {
            match (self.ask)(&token) {
                Ok(text) => break text,
                Err(Error::Api(status)) if status.code == 410 && self.anew < ANEW_MAX => {
                    self.anew += 1;
                    // The API server names the place in the state of now; if it does not, the list begins again.
                    token = status.metadata.and_then(|list| list.continue_).unwrap_or_default();
                }
                Err(error) if attempts < ATTEMPTS_MAX && is_passing(&error) => {
                    attempts += 1;
                    std::thread::sleep(wait);
                    wait *= 2;
                }
                Err(error) => return Err(self.error(error)),
            }
        };
        let page: Page = serde_json::from_str(&text).map_err(|error| self.error(error))?;
        let names = page.items.unwrap_or_default();
        let is_new: Vec<bool> =
            names.iter().map(|item| self.seen.insert(item.metadata.hash())).collect();
        let text = if is_new.iter().all(|is_new| *is_new) {
            text
        } else {
            without_old(&text, &is_new).map_err(|error| self.error(error))?
        };
        self.next = Some(page.metadata.next).filter(|next| !next.is_empty());
        (self.page, self.at) = (text.into_bytes(), 0);
        self.page.push(b'\n');
        Ok(())
    }
}

/// Whether the same question may be answered a moment later.
fn is_passing(error: &Error) -> bool {
    match error {
        Error::Api(status) => status.code == 429 || status.code >= 500,
        Error::HyperError(_) | Error::Service(_) => true,
        _ => false,
    }
}

/// The page with only those of its objects that are new.
fn without_old(page: &str, is_new: &[bool]) -> Result<String, serde_json::Error> {
    let mut page: Json = serde_json::from_str(page)?;
    if let Some(items) = page.get_mut("items").and_then(Json::as_array_mut) {
        let mut is_new = is_new.iter();
        items.retain(|_| is_new.next() != Some(&false));
    }
    Ok(page.to_string())
}

impl Read for Pages<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at >= self.page.len() {
            let Some(token) = self.next.take() else { return Ok(0) };
            self.turn(token)?;
        }
        let rest = self.page.get(self.at..).unwrap_or_default();
        let len = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..len), rest.get(..len)) {
            to.copy_from_slice(from);
        }
        self.at += len;
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::io::Read;

    use kube::Error;
    use kube::core::Status;
    use serde_json::{Value as Json, json};

    use crate::cli::cluster::pages::Pages;

    /// A page with objects of these names, and what names the next.
    #[expect(clippy::unnecessary_wraps, reason = "it is an answer, as a failure is")]
    fn page(names: &str, next: &str) -> Result<String, Error> {
        let item = |name: &str| json!({"metadata": {"namespace": "x", "name": name}});
        let items: Vec<Json> = names.split_whitespace().map(item).collect();
        Ok(json!({"metadata": {"continue": next}, "items": items}).to_string())
    }

    /// A failure; a token in it says where to go on.
    fn failure(code: u16, token: Option<&str>) -> Result<String, Error> {
        let metadata =
            token.map(|token| serde_json::from_value(json!({"continue": token})).unwrap());
        Err(Error::Api(Box::new(Status { code, metadata, ..Status::default() })))
    }

    /// What is asked for, and the names of all objects, or the error.
    fn read(answers: Vec<Result<String, Error>>) -> (String, String) {
        let asked = RefCell::new(Vec::new());
        let mut answers = answers.into_iter();
        let mut pages = Pages::new("pods".into(), |token| {
            asked.borrow_mut().push(format!("<{token}>"));
            answers.next().unwrap()
        });
        let mut text = String::new();
        let read = match pages.read_to_string(&mut text) {
            Ok(_) => {
                let lists = text.lines().map(|line| serde_json::from_str::<Json>(line).unwrap());
                let names = lists.flat_map(|list| {
                    let items = list["items"].as_array().unwrap().clone();
                    items.into_iter().map(|i| i["metadata"]["name"].as_str().unwrap().to_owned())
                });
                names.collect::<Vec<_>>().join(" ")
            }
            Err(error) => error.to_string(),
        };
        drop(pages);
        (asked.into_inner().concat(), read)
    }

    #[test]
    fn no_object_is_left_out_and_none_comes_twice() {
        let check = |answers: Vec<Result<String, Error>>, asked: &str, expect: &str| {
            assert_eq!(read(answers), (asked.to_owned(), expect.to_owned()));
        };
        check(vec![page("a b", "")], "<>", "a b");
        check(vec![page("a b", "1"), page("", "2"), page("c", "")], "<><1><2>", "a b c");
        // It is too old: gone on with where the API server says.
        let gone = || failure(410, Some("now"));
        check(vec![page("a b", "1"), gone(), page("c d", "")], "<><1><now>", "a b c d");
        // It does not say where: begun again.
        let again = vec![page("a b", "1"), failure(410, None), page("a", "2"), page("b c", "")];
        check(again, "<><1><><2>", "a b c");
        // It fails for a moment.
        check(vec![failure(503, None), page("a", "")], "<><>", "a");
        check(
            vec![failure(429, None), page("a", "1"), failure(500, None), page("b", "")],
            "<><><1><1>",
            "a b",
        );
        // It is refused.
        let (asked, error) = read(vec![page("a", "1"), failure(403, None)]);
        assert_eq!(asked, "<><1>");
        assert!(error.starts_with("pods: "), "{error}");
        // It is too old whenever it is asked for.
        let always = (0..7).map(|_| failure(410, None)).collect();
        assert!(read(always).1.starts_with("pods: "));
    }
}
