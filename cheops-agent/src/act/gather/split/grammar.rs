//! JSON's grammar (RFC 8259), a byte at a time. Which container is open is its caller's to know.

/// What may come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lex {
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    Colon,
    /// Behind a value: a comma, the container's end, or nothing.
    After,
    /// In a string, of a value.
    Text,
    /// In a string, of a member's name.
    Name,
    Escape {
        name: bool,
    },
    Hex {
        name: bool,
        left: u8,
    },
    Number(Number),
    /// The rest of `true`, `false` or `null`.
    Literal(&'static [u8]),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    Minus,
    Zero,
    Digits,
    Point,
    Fraction,
    E,
    Sign,
    Exponent,
}

/// What a byte did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    On,
    /// A string, number or literal begins with it.
    Begins,
    /// A string or literal ends with it.
    Ends,
    /// A number ended before it.
    NumberEnds,
    KeyBegins,
    KeyEnds,
    Opens {
        object: bool,
    },
    Closes {
        object: bool,
    },
    Comma,
}

/// One byte further; None: it can't stand here. `Opens`, `Closes` and `Comma` leave what may come next to the caller.
pub(super) fn step(lex: Lex, byte: u8) -> Option<(Lex, Step)> {
    match lex {
        Lex::Text | Lex::Name => text(lex == Lex::Name, byte),
        Lex::Escape { name } => escape(name, byte),
        Lex::Hex { name, left } if byte.is_ascii_hexdigit() => {
            let next = if left > 1 { Lex::Hex { name, left: left - 1 } } else { within(name) };
            Some((next, Step::On))
        }
        Lex::Hex { .. } => None,
        Lex::Literal(rest) => match rest.split_first() {
            Some((first, [])) if *first == byte => Some((Lex::After, Step::Ends)),
            Some((first, rest)) if *first == byte => Some((Lex::Literal(rest), Step::On)),
            _ => None,
        },
        Lex::Number(number) => in_number(number, byte),
        _ => between(lex, byte),
    }
}

/// How many of the bytes stand in a string's inside and end nothing.
pub(super) fn plain(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)).unwrap_or(bytes.len())
}

fn within(name: bool) -> Lex {
    if name { Lex::Name } else { Lex::Text }
}

fn text(name: bool, byte: u8) -> Option<(Lex, Step)> {
    Some(match byte {
        b'"' if name => (Lex::Colon, Step::KeyEnds),
        b'"' => (Lex::After, Step::Ends),
        b'\\' => (Lex::Escape { name }, Step::On),
        0..0x20 => return None,
        _ => (within(name), Step::On),
    })
}

fn escape(name: bool, byte: u8) -> Option<(Lex, Step)> {
    match byte {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some((within(name), Step::On)),
        b'u' => Some((Lex::Hex { name, left: 4 }, Step::On)),
        _ => None,
    }
}

fn between(lex: Lex, byte: u8) -> Option<(Lex, Step)> {
    let value = matches!(lex, Lex::Value | Lex::ValueOrEnd);
    Some(match byte {
        b' ' | b'\t' | b'\n' | b'\r' => (lex, Step::On),
        b'"' if value => (Lex::Text, Step::Begins),
        b'"' if matches!(lex, Lex::Key | Lex::KeyOrEnd) => (Lex::Name, Step::KeyBegins),
        b'{' | b'[' if value => (lex, Step::Opens { object: byte == b'{' }),
        b'-' if value => (Lex::Number(Number::Minus), Step::Begins),
        b'0' if value => (Lex::Number(Number::Zero), Step::Begins),
        b'1'..=b'9' if value => (Lex::Number(Number::Digits), Step::Begins),
        b't' if value => (Lex::Literal(b"rue"), Step::Begins),
        b'f' if value => (Lex::Literal(b"alse"), Step::Begins),
        b'n' if value => (Lex::Literal(b"ull"), Step::Begins),
        b':' if lex == Lex::Colon => (Lex::Value, Step::On),
        b',' if lex == Lex::After => (lex, Step::Comma),
        b']' if matches!(lex, Lex::After | Lex::ValueOrEnd) => (lex, Step::Closes { object: false }),
        b'}' if matches!(lex, Lex::After | Lex::KeyOrEnd) => (lex, Step::Closes { object: true }),
        _ => return None,
    })
}

fn in_number(number: Number, byte: u8) -> Option<(Lex, Step)> {
    use Number::{Digits, E, Exponent, Fraction, Minus, Point, Sign, Zero};
    let next = match (number, byte) {
        (Minus, b'0') => Zero,
        (Minus, b'1'..=b'9') | (Digits, b'0'..=b'9') => Digits,
        (Zero | Digits, b'.') => Point,
        (Point | Fraction, b'0'..=b'9') => Fraction,
        (Zero | Digits | Fraction, b'e' | b'E') => E,
        (E, b'+' | b'-') => Sign,
        (E | Sign | Exponent, b'0'..=b'9') => Exponent,
        (Zero | Digits | Fraction | Exponent, _) => return Some((Lex::After, Step::NumberEnds)),
        _ => return None,
    };
    Some((Lex::Number(next), Step::On))
}
