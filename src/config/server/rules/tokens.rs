//! What a rule consists of: words, commas, and words in quotes.

/// A piece of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Word(String),
    Quoted(String),
    Comma,
}

/// Takes `text` apart; `None` if a quote is left open. There are no escapes.
pub(super) fn split(text: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, after) = match first {
            ',' => (Token::Comma, &rest[1..]),
            '"' => {
                let (inside, after) = rest[1..].split_once('"')?;
                (Token::Quoted(inside.to_owned()), after)
            }
            _ => {
                let end = rest.find(|c: char| c.is_whitespace() || c == ',' || c == '"').unwrap_or(rest.len());
                (Token::Word(rest[..end].to_owned()), &rest[end..])
            }
        };
        tokens.push(token);
        rest = after.trim_start();
    }
    Some(tokens)
}

/// `text` as one token; what came from a token holds no quote.
pub(super) fn quoted(text: &str) -> String {
    let plain = |c: char| !(c.is_whitespace() || c == ',' || c == '"');
    if !text.is_empty() && text.chars().all(plain) { text.to_owned() } else { format!("\"{text}\"") }
}
