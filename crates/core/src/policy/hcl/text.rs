//! What stands inside quotes and heredocs: escapes, `${…}`, indentation; and floating-point numbers.

/// Which kind of heredoc a text is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Heredoc {
    /// `<<-NAME`: the closing line's indentation is taken off every line if every line has it.
    Indented,
    /// `<<NAME`: as it stands.
    Plain,
}

/// Resolves the escapes of a string's inside. `${…}` passes through unread, escapes in it included.
pub(super) fn unquote(raw: &str) -> Result<String, &'static str> {
    if !raw.contains(['\\', '\r']) {
        return Ok(raw.to_owned());
    }
    let mut out = Vec::with_capacity(raw.len());
    let mut chars = raw.chars();
    let mut braces: usize = 0;
    while let Some(c) = chars.next() {
        match c {
            '\r' if chars.as_str().starts_with('\n') => continue,
            '$' if braces == 0 && chars.as_str().starts_with('{') => {
                chars.next();
                out.extend_from_slice(b"${");
                braces = 1;
                continue;
            }
            '{' if braces > 0 => braces += 1,
            '}' if braces > 0 => braces -= 1,
            '\\' => {
                let before = chars.as_str();
                let mut escaped = Vec::new();
                chars = escape(before, &mut escaped)?.chars();
                if braces == 0 {
                    out.append(&mut escaped);
                } else {
                    out.push(b'\\');
                    let read = before.len() - chars.as_str().len();
                    out.extend_from_slice(before.as_bytes().get(..read).unwrap_or_default());
                }
                continue;
            }
            _ => {}
        }
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
    String::from_utf8(out).map_err(|_| "the escapes of this string do not make UTF-8")
}

/// Appends what an escape stands for; `text` begins behind the backslash. Returns what follows the escape.
fn escape<'a>(text: &'a str, out: &mut Vec<u8>) -> Result<&'a str, &'static str> {
    const UNKNOWN: &str = "this string has an unknown escape";
    let mut chars = text.chars();
    let c = chars.next().ok_or(UNKNOWN)?;
    let rest = chars.as_str();
    let byte = match c {
        'a' => 0x07,
        'b' => 0x08,
        'f' => 0x0c,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 0x0b,
        '\\' => b'\\',
        '"' => b'"',
        '0'..='7' => {
            let (value, rest) = digits(text, 3, 8).ok_or(UNKNOWN)?;
            out.push(u8::try_from(value).map_err(|_| "an octal escape is at most \\377")?);
            return Ok(rest);
        }
        'x' => {
            let (value, rest) = digits(rest, 2, 16).ok_or(UNKNOWN)?;
            out.push(u8::try_from(value).map_err(|_| UNKNOWN)?);
            return Ok(rest);
        }
        'u' | 'U' => {
            let (value, rest) = digits(rest, if c == 'u' { 4 } else { 8 }, 16).ok_or(UNKNOWN)?;
            let c = char::from_u32(value).ok_or("this string escapes what is not a character")?;
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            return Ok(rest);
        }
        _ => return Err(UNKNOWN),
    };
    out.push(byte);
    Ok(rest)
}

/// Reads exactly `count` digits of `radix` and returns their value and what follows.
fn digits(text: &str, count: usize, radix: u32) -> Option<(u32, &str)> {
    let (digits, rest) = text.split_at_checked(count)?;
    if !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    Some((u32::from_str_radix(digits, radix).ok()?, rest))
}

/// The value of a heredoc: its lines, each with its line end; `indent` is the closing line's indentation.
pub(super) fn heredoc(lines: &str, kind: Heredoc, indent: &str) -> String {
    let lines = lines.replace("\r\n", "\n");
    match kind {
        Heredoc::Indented if lines.split_terminator('\n').all(|line| line.starts_with(indent)) => {
            lines.split_inclusive('\n').map(|line| line.strip_prefix(indent).unwrap_or(line)).collect()
        }
        Heredoc::Indented | Heredoc::Plain => lines,
    }
}

/// Reads a finite floating-point number.
pub(super) fn float(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|value| value.is_finite())
}
