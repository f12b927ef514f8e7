//! Lists, split into the texts of their items without being read: `kubectl get` writes a whole cluster as one document.
//! A List that is written in another way than `kubectl` writes it is left whole.

use crate::json::Node;

/// What a List says of its items.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::policy::manifest) struct Kinds {
    pub api_version: String,
    pub kind: String,
}

impl Kinds {
    /// What the root of a List says.
    pub fn of(root: Node<'_>) -> Kinds {
        let text = |field| root.get(field).and_then(Node::as_str).unwrap_or_default().to_owned();
        Kinds { api_version: text("apiVersion"), kind: text("kind") }
    }

    /// What items are that do not say it themselves, as in a PodList.
    pub fn item(&self) -> Option<(&str, &str)> {
        let kind = self.kind.strip_suffix("List").filter(|kind| !kind.is_empty())?;
        Some((self.api_version.as_str(), kind))
    }
}

/// A List in YAML that was split.
#[derive(Debug)]
pub(in crate::policy::manifest) struct Split {
    /// What it says of its items before the first of them.
    pub kinds: Kinds,
    pub items: Vec<Item>,
    /// The last item goes on to where the text ends.
    pub is_open: bool,
}

/// The text of an item, with its dash blanked out.
#[derive(Debug)]
pub(in crate::policy::manifest) struct Item {
    /// Lines of the document before it.
    pub lines: u64,
    pub text: String,
}

/// Where the items of a List stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::policy::manifest) enum Step {
    /// This line is before the first item.
    Before,
    /// It is the first of an item.
    Begins,
    /// It belongs to the item, or is blank.
    Goes,
    /// It is the first after all items.
    Ends,
}

/// Looks at one line of a List after the other.
#[derive(Clone, Debug, Default)]
pub(in crate::policy::manifest) struct Scan {
    /// Whether `items:` was seen.
    announced: bool,
    /// How far left the dashes stand.
    indent: Option<usize>,
    ended: bool,
}

impl Scan {
    /// What this line is.
    pub fn step(&mut self, line: &[u8]) -> Step {
        let line = line.trim_ascii_end();
        let indent = line.iter().take_while(|byte| **byte == b' ').count();
        let content = line.get(indent..).unwrap_or_default();
        let is_nothing = content.is_empty() || content.starts_with(b"#");
        let is_dash = content == b"-" || content.starts_with(b"- ");
        if self.ended {
            return Step::Ends;
        }
        match self.indent {
            None if !self.announced => {
                self.announced = line == b"items:";
                Step::Before
            }
            None if is_nothing => Step::Before,
            None if is_dash => {
                self.indent = Some(indent);
                Step::Begins
            }
            None => {
                self.ended = true;
                Step::Ends
            }
            Some(column) if is_dash && indent == column => Step::Begins,
            Some(column) if is_nothing || indent > column => Step::Goes,
            Some(_) => {
                self.ended = true;
                Step::Ends
            }
        }
    }
}

/// Blanks out the dash with which an item begins.
pub(in crate::policy::manifest) fn without_dash(line: &str) -> String {
    line.replacen('-', " ", 1)
}

/// Splits a List. None if the text is none, or if an item could depend on another: by an anchor.
pub(in crate::policy::manifest) fn split(text: &str) -> Option<Split> {
    if text.trim_start().starts_with('{') || text.contains(['&', '*']) {
        return None;
    }
    split_whole(text)
}

/// Splits whatever looks like a List.
pub(in crate::policy::manifest) fn split_whole(text: &str) -> Option<Split> {
    let mut scan = Scan::default();
    let mut items: Vec<Item> = Vec::new();
    let (mut header, mut tail) = (String::new(), String::new());
    for (number, line) in text.split_inclusive('\n').enumerate() {
        match scan.step(line.as_bytes()) {
            Step::Before => header.push_str(line),
            Step::Begins => {
                items.push(Item { lines: number as u64, text: without_dash(line) });
            }
            Step::Goes => items.last_mut()?.text.push_str(line),
            Step::Ends => tail.push_str(line),
        }
    }
    if items.is_empty() {
        return None;
    }
    let kinds = kinds(&header, &tail)?;
    Some(Split { kinds, items, is_open: tail.is_empty() })
}

/// What the members of a List say that are not its items; none if something is wrong with them.
pub(in crate::policy::manifest) fn kinds(header: &str, tail: &str) -> Option<Kinds> {
    let mut text = String::with_capacity(header.len() + tail.len() + 4);
    for line in header.split_inclusive('\n') {
        text.push_str(if line.trim_ascii_end() == "items:" { "items: []\n" } else { line });
    }
    text.push_str(tail);
    let documents = crate::policy::manifest::text::documents("", &text).ok()?;
    let [document] = documents.as_slice() else { return None };
    let document = document.document().ok()?;
    document.root().get("items")?;
    Some(Kinds::of(document.root()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines and the texts of the items.
    fn items(text: &str) -> Option<Vec<(u64, String)>> {
        let split = split(text)?;
        Some(split.items.into_iter().map(|item| (item.lines, item.text)).collect())
    }

    #[test]
    fn lists_are_split_where_kubectl_begins_an_item() {
        let check = |text: &str, expect: Option<&[(u64, &str)]>| {
            let expect = expect.map(|items| {
                items.iter().map(|(line, text)| (*line, (*text).to_owned())).collect::<Vec<_>>()
            });
            assert_eq!(items(text), expect, "{text}");
        };
        check(
            "apiVersion: v1\nitems:\n- a: 1\n  b:\n  - 2\n- a: 3\nkind: List\n",
            Some(&[(2, "  a: 1\n  b:\n  - 2\n"), (5, "  a: 3\n")]),
        );
        check(
            "kind: List\nitems:\n# c\n  - a: 1\n\n  - b: 2\n",
            Some(&[(3, "    a: 1\n\n"), (5, "    b: 2\n")]),
        );
        check("kind: List\nitems: []\n", None);
        check("kind: List\nitems:\n- a: &x 1\n- b: *x\n", None);
        check("kind: Pod\nspec:\n  items:\n  - a\n", None);
        check("items:\n- a: 1\nitems:\n- b: 2\n", None);
        check("{items: [a]}", None);
    }

    #[test]
    fn a_list_says_what_its_items_are() {
        let check = |text: &str, expect: Option<(&str, &str)>| {
            assert_eq!(split(text).unwrap().kinds.item(), expect, "{text}");
        };
        check("apiVersion: v1\nitems:\n- a: 1\nkind: PodList\n", Some(("v1", "Pod")));
        check("apiVersion: v1\nkind: List\nitems:\n- a: 1\n", None);
    }
}
