//! Lists in one argument: items between commas, with blanks around them, and in quotation marks where they hold commas.

/// The items of a list. Blanks around an item are no part of it. An item in single or double quotation marks may hold commas; a
/// mark within it is written twice. Items of nothing are left out.
///
/// # Errors
/// What is wrong, where a quotation mark is not closed, or something stands behind it, or there is no item.
pub fn parse(text: &str) -> Result<Vec<String>, String> {
    Ok(items(text)?.into_iter().map(|item| item.text).collect())
}

/// As [`parse`], of names that may hold commas themselves, as those of data sets do (`shirt, blouse`): of what stands
/// between commas as many parts are one item as make a name that `is_known`, at most; and one part where none do.
///
/// # Errors
/// As [`parse`].
pub fn parse_names(text: &str, is_known: impl Fn(&str) -> bool) -> Result<Vec<String>, String> {
    if is_known(text) {
        return Ok(vec![text.trim().to_owned()]);
    }
    let items = items(text)?;
    let mut names = Vec::new();
    let mut rest = items.as_slice();
    while let Some((first, others)) = rest.split_first() {
        let joined = |count: &usize| {
            let parts = &rest[..*count];
            let whole = text.get(first.start..parts.last()?.end)?.trim();
            (parts.iter().all(|part| !part.is_quoted) && is_known(whole)).then(|| (whole.to_owned(), *count))
        };
        match (2..=rest.len()).rev().find_map(|count| joined(&count)) {
            Some((name, count)) => {
                names.push(name);
                rest = &rest[count..];
            }
            None => {
                names.push(first.text.clone());
                rest = others;
            }
        }
    }
    Ok(names)
}

struct Item {
    text: String,
    is_quoted: bool,
    /// Where it stands.
    start: usize,
    end: usize,
}

fn items(text: &str) -> Result<Vec<Item>, String> {
    let mut items = Vec::new();
    let mut start = 0;
    while start <= text.len() {
        let part = text.get(start..).unwrap_or_default();
        let blanks = part.len() - part.trim_start().len();
        let part = part.trim_start();
        let item = match part.chars().next().filter(|mark| matches!(mark, '"' | '\'')) {
            Some(mark) => quoted(part, mark, start + blanks)?,
            None => {
                let plain = part.split(',').next().unwrap_or_default();
                let end = start + blanks + plain.len();
                Item { text: plain.trim().to_owned(), is_quoted: false, start: start + blanks, end }
            }
        };
        start = item.end + 1;
        if !item.text.is_empty() {
            items.push(item);
        }
    }
    if items.is_empty() { Err("names nothing".to_owned()) } else { Ok(items) }
}

/// The item that `part` begins with, in quotation marks, which stands at `start`.
fn quoted(part: &str, mark: char, start: usize) -> Result<Item, String> {
    let mut text = String::new();
    let mut rest = part.get(1..).unwrap_or_default();
    loop {
        let Some((before, after)) = rest.split_once(mark) else {
            return Err(format!("the quotation mark before {} is not closed", part.trim_matches(mark)));
        };
        text.push_str(before);
        rest = after;
        match rest.strip_prefix(mark) {
            Some(after) => {
                text.push(mark);
                rest = after;
            }
            None => break,
        }
    }
    let behind = rest.split(',').next().unwrap_or_default();
    if !behind.trim().is_empty() {
        return Err(format!("'{}' stands behind a closed quotation mark; a comma is missing", behind.trim()));
    }
    let end = start + part.len() - rest.len() + behind.len();
    Ok(Item { text: text.trim().to_owned(), is_quoted: true, start, end })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_and_quotation_marks_are_no_part_of_an_item() {
        for text in ["a,b c", " a , b c ", "a,b c,", ",a,,b c", "\"a\",'b c'", "a,\" b c\" "] {
            assert_eq!(parse(text).unwrap(), ["a", "b c"], "{text}");
        }
        assert_eq!(parse("\"shirt, blouse\",'it''s',x\"y").unwrap(), ["shirt, blouse", "it's", "x\"y"]);
        assert_eq!(parse("\u{a0}é ,ü").unwrap(), ["é", "ü"]);
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for text in ["", " ", ",", "''"] {
            assert!(parse(text).unwrap_err().contains("nothing"), "{text:?}");
        }
        assert!(parse("a,'b").unwrap_err().contains("not closed"));
        assert!(parse("'a'b,c").unwrap_err().contains("'b'"));
    }

    #[test]
    fn names_with_commas_are_found_without_quotation_marks() {
        let known = ["shirt, blouse", "shirt", "pants", "top, t-shirt, sweatshirt", "it's"];
        let parse = |text: &str| parse_names(text, |name| known.contains(&name.trim())).unwrap();
        assert_eq!(parse("shirt, blouse"), ["shirt, blouse"]);
        assert_eq!(parse(" shirt, blouse "), ["shirt, blouse"]);
        assert_eq!(parse("pants,shirt, blouse"), ["pants", "shirt, blouse"]);
        assert_eq!(parse("pants,top, t-shirt, sweatshirt,shirt"), ["pants", "top, t-shirt, sweatshirt", "shirt"]);
        assert_eq!(parse("\"shirt\", blouse"), ["shirt", "blouse"]);
        assert_eq!(parse("'shirt, blouse',pants"), ["shirt, blouse", "pants"]);
        assert_eq!(parse("it's"), ["it's"]);
        assert_eq!(parse("hat, pants"), ["hat", "pants"]);
    }
}
