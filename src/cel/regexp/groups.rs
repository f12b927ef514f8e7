//! The names of groups of characters: those of POSIX and Perl, which are ASCII, and those of Unicode.

/// The ranges of `[:name:]`.
pub(super) fn posix(name: &str) -> Option<&'static str> {
    Some(match name {
        "alnum" => "0-9A-Za-z",
        "alpha" => "A-Za-z",
        "ascii" => r"\x00-\x7F",
        "blank" => r"\t\x20",
        "cntrl" => r"\x00-\x1F\x7F",
        "digit" => "0-9",
        "graph" => r"\x21-\x7E",
        "lower" => "a-z",
        "print" => r"\x20-\x7E",
        "punct" => r"\x21-\x2F\x3A-\x40\x5B-\x60\x7B-\x7E",
        "space" => r"\t-\r\x20",
        "upper" => "A-Z",
        "word" => "0-9A-Za-z_",
        "xdigit" => "0-9A-Fa-f",
        _ => return None,
    })
}

/// The ranges of `\d`, `\s`, `\w`, and whether the letter asks for all others.
pub(super) fn perl(letter: char) -> Option<(&'static str, bool)> {
    Some(match letter {
        'd' | 'D' => ("0-9", letter == 'D'),
        's' | 'S' => (r"\t\n\x0C\r\x20", letter == 'S'),
        'w' | 'W' => ("0-9A-Za-z_", letter == 'W'),
        _ => return None,
    })
}

/// The class of `\p{name}`, in brackets. Case, blanks, hyphens and underscores of the name do not
/// count.
pub(super) fn unicode(name: &str) -> Option<String> {
    let mut plain: String = name.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).collect();
    plain.make_ascii_lowercase();
    match plain.as_str() {
        "any" => return Some(r"[\x00-\x{10FFFF}]".to_owned()),
        "ascii" => return Some(r"[\x00-\x7F]".to_owned()),
        "assigned" => return Some(r"[\P{gc=Cn}]".to_owned()),
        // Text has no surrogates.
        "cs" | "surrogate" => return Some(r"[^\x00-\x{10FFFF}]".to_owned()),
        _ => {}
    }
    if CATEGORIES.split(' ').any(|known| known == plain) {
        return Some(format!(r"[\p{{gc={plain}}}]"));
    }
    SCRIPTS.split(' ').any(|known| known == plain).then(|| format!(r"[\p{{sc={plain}}}]"))
}

/// The general categories and their long names.
const CATEGORIES: &str = "c casedletter cc cf closepunctuation cn cntrl co combiningmark connectorpunctuation \
     control currencysymbol dashpunctuation decimalnumber digit enclosingmark \
     finalpunctuation format initialpunctuation l lc letter letternumber lineseparator ll lm \
     lo lowercaseletter lt lu m mark mathsymbol mc me mn modifierletter modifiersymbol n nd \
     nl no nonspacingmark number openpunctuation other otherletter othernumber \
     otherpunctuation othersymbol p paragraphseparator pc pd pe pf pi po privateuse ps punct \
     punctuation s sc separator sk sm so spaceseparator spacingmark symbol titlecaseletter \
     unassigned uppercaseletter z zl zp zs";

/// The scripts whose names are one word: Go knows no others.
const SCRIPTS: &str = "adlam ahom arabic armenian avestan balinese bamum batak bengali bhaiksuki bopomofo \
     brahmi braille buginese buhid carian chakma cham cherokee chorasmian common coptic \
     cuneiform cypriot cyrillic deseret devanagari dogra duployan elbasan elymaic ethiopic \
     georgian glagolitic gothic grantha greek gujarati gurmukhi han hangul hanunoo hatran \
     hebrew hiragana inherited javanese kaithi kannada katakana kawi kharoshthi khmer khojki \
     khudawadi lao latin lepcha limbu lisu lycian lydian mahajani makasar malayalam mandaic \
     manichaean marchen medefaidrin miao modi mongolian mro multani myanmar nabataean \
     nandinagari newa nko nushu ogham oriya osage osmanya palmyrene phoenician rejang runic \
     samaritan saurashtra sharada shavian siddham sinhala sogdian soyombo sundanese syriac \
     tagalog tagbanwa takri tamil tangsa tangut telugu thaana thai tibetan tifinagh tirhuta \
     toto ugaritic vai vithkuqi wancho yezidi yi";
