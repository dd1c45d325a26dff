//! Text of any origin as Markdown: it stays text, whatever signs are in it.

/// Text in a sentence or a table's cell: on one line, its signs of Markdown and HTML escaped. An address becomes a link.
pub(super) fn inline(text: &str) -> String {
    if text.starts_with("https://") && text.bytes().all(|c| c.is_ascii_graphic() && !b"<>|`\\".contains(&c)) {
        return format!("<{text}>");
    }
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            escaped.push(' ');
        } else {
            if "\\`*_[]<>|#&~$!".contains(c) {
                escaped.push('\\');
            }
            escaped.push(c);
        }
    }
    escaped
}

/// A table; its cells are Markdown already.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: Vec<&str>| format!("| {} |\n", cells.join(" | "));
    let mut text = line(head.to_vec()) + &line(vec!["---"; head.len()]);
    for row in rows {
        text += &line(row.iter().map(String::as_str).collect());
    }
    text
}

/// Lines of a program, within more backquotes than any of them has.
pub(super) fn code_block(language: &str, text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(3.max(longest + 1));
    format!("{fence}{language}\n{text}\n{fence}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_of_markdown_stay_text() {
        assert_eq!(inline("a_b <img> | c\nd"), r"a\_b \<img\> \| c d");
        assert_eq!(inline("https://a.b/~c_d"), "<https://a.b/~c_d>");
        assert_eq!(inline("https://a.b/ c_d"), r"https://a.b/ c\_d");
        assert_eq!(code_block("", "a ``` b"), "````\na ``` b\n````\n");
    }
}
