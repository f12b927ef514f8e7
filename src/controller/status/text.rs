//! Texts that fit into a status.

/// The text, or as much of it as that many characters hold.
pub(in crate::controller) fn cut(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        None => text.to_owned(),
        Some(_) => text.chars().take(chars_max - 1).chain(['…']).collect(),
    }
}
