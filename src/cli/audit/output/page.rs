//! The parts of a page that are drawn before it is opened: text that nothing can break out of, and charts. Which numbers they
//! show is not known here.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest, Sha256};

/// Bars in a chart: what fits beside the other charts.
pub const BARS_MAX: usize = 8;

/// Characters of a name beside a bar.
const NAME_CHARS_MAX: usize = 22;

/// What is in front of a user of the page, whatever an object is called.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Characters that change the direction of what follows, or show nothing, could hide what is there.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\0'..='\u{8}' => {
                out.push('\u{fffd}');
            }
            c => out.push(c),
        }
    }
    out
}

/// JSON that can stand in a page: nothing in it ends the element that it is in.
pub fn json_in_page(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// What a policy of the page says that it may run or show: exactly this text.
pub fn source_hash(text: &str) -> String {
    format!("'sha256-{}'", BASE64.encode(Sha256::digest(text.as_bytes())))
}

/// A bar: a name, and its segments, each a class and a count.
pub struct Bar {
    /// Beside it.
    pub name: String,
    /// From left to right.
    pub segments: Vec<(&'static str, u64)>,
}

impl Bar {
    fn total(&self) -> u64 {
        self.segments.iter().map(|(_, count)| count).sum()
    }
}

/// A chart of horizontal bars. `title` is read aloud to those who do not see it.
pub fn bars(title: &str, bars: &[Bar]) -> String {
    /// Units of the drawing; it is scaled to where it stands.
    const WIDTH: u64 = 380;
    const LEFT: u64 = 166;
    const RIGHT: u64 = 52;
    const ROW: u64 = 26;
    let longest = bars.iter().map(Bar::total).max().unwrap_or(0).max(1);
    let height = ROW * bars.len().max(1) as u64;
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">",
        escaped(title)
    );
    for (row, bar) in bars.iter().enumerate() {
        let top = ROW * row as u64;
        let mut name: String = bar.name.chars().take(NAME_CHARS_MAX).collect();
        if name.len() < bar.name.len() {
            name.push('…');
        }
        // Writing to a String does not fail.
        let _ = write!(
            svg,
            "<g><title>{}: {}</title><text x=\"0\" y=\"{}\">{}</text>\
             <rect class=\"track\" x=\"{LEFT}\" y=\"{}\" width=\"{}\" height=\"14\" rx=\"4\"/>",
            escaped(&bar.name),
            bar.total(),
            top + 17,
            escaped(&name),
            top + 6,
            WIDTH - LEFT - RIGHT,
        );
        let mut x = LEFT as f64;
        for (class, count) in bar.segments.iter().filter(|(_, count)| *count > 0) {
            let width = (WIDTH - LEFT - RIGHT) as f64 * *count as f64 / longest as f64;
            let _ = write!(
                svg,
                "<rect class=\"bar {class}\" x=\"{x:.1}\" y=\"{}\" width=\"{:.1}\" height=\"14\" rx=\"4\"/>",
                top + 6,
                width.max(2.0),
            );
            x += width;
        }
        let _ = write!(
            svg,
            "<text class=\"count\" x=\"{WIDTH}\" y=\"{}\">{}</text></g>",
            top + 17,
            bar.total()
        );
    }
    svg.push_str("</svg>");
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_breaks_out() {
        assert_eq!(escaped("<a href='x\">&\u{202e}"), "&lt;a href=&#39;x&quot;&gt;&amp;\u{fffd}");
        assert_eq!(
            json_in_page("\"</script><!--&\u{2028}\""),
            "\"\\u003c/script\\u003e\\u003c!--\\u0026\\u2028\""
        );
        let name = "</svg><script>alert(1)</script>".to_owned();
        let chart = bars("\"><script>", &[Bar { name, segments: vec![("high", 1)] }]);
        assert!(!chart.contains("<script"), "{chart}");
    }

    #[test]
    fn a_page_may_run_what_has_this_hash() {
        assert_eq!(source_hash(""), "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='");
    }
}
