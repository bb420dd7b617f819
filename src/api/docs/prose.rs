//! Doc comments as paragraphs, lists and code: the little of Markdown that they use.

/// A paragraph, or an item of a list.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Block {
    pub item: bool,
    pub spans: Vec<Span>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Span {
    pub code: bool,
    pub text: String,
}

/// Blank lines part paragraphs, `- ` begins an item, backquotes surround code.
pub(super) fn blocks(text: &str) -> Vec<Block> {
    let mut blocks: Vec<(bool, String)> = Vec::new();
    let mut fresh = true;
    for line in text.lines().map(str::trim) {
        let item = line.strip_prefix("- ").or_else(|| line.strip_prefix("* "));
        match (item, blocks.last_mut()) {
            _ if line.is_empty() => fresh = true,
            (Some(item), _) => {
                blocks.push((true, item.to_owned()));
                fresh = false;
            }
            (None, Some((_, last))) if !fresh => {
                last.push(' ');
                last.push_str(line);
            }
            (None, _) => {
                blocks.push((false, line.to_owned()));
                fresh = false;
            }
        }
    }
    blocks.into_iter().map(|(item, text)| Block { item, spans: spans(&text) }).collect()
}

fn spans(text: &str) -> Vec<Span> {
    let (mut spans, mut rest) = (Vec::new(), text);
    let mut push = |code, text: &str| {
        if !text.is_empty() {
            spans.push(Span { code, text: text.to_owned() });
        }
    };
    // A backquote without its other is a letter.
    while let Some((before, (code, after))) =
        rest.split_once('`').and_then(|(before, after)| Some((before, after.split_once('`')?)))
    {
        push(false, before);
        push(true, code);
        rest = after;
    }
    push(false, rest);
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doc_comments_become_paragraphs_items_and_code() {
        let text = "One `a`\nline.\n\n- first\n  of two\n- `b` and `\n\nEnd";
        let shown: Vec<String> = blocks(text)
            .iter()
            .map(|block| {
                let spans = block.spans.iter().map(|span| match span.code {
                    true => format!("<{}>", span.text),
                    false => span.text.clone(),
                });
                format!("{}{}", if block.item { "* " } else { "" }, spans.collect::<String>())
            })
            .collect();
        assert_eq!(shown, ["One <a> line.", "* first of two", "* <b> and `", "End"]);
        assert_eq!(blocks(" \n"), []);
    }
}
