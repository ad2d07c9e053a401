//! What must be found nowhere, in every form in which it could have been written down.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs::File,
    io::Read,
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};

/// Bytes of a needle that are looked for at a time: a leak of a part is a leak.
const WINDOW: usize = 16;
/// The longest form of a window.
pub const LONGEST: usize = 6 * WINDOW;

/// Bytes that are looked up at a time. A form is at least twice as long, so wherever it lies, one whole block is in it.
const BLOCK: usize = 8;
/// An empty page.
const PAGE: [u8; 4096] = [0; 4096];
/// Bits of a block's mark.
const MARK: u32 = 20;

/// Canaries, tokens and keys by what they are.
#[derive(Default)]
pub struct Needles {
    named: BTreeMap<String, Vec<u8>>,
    forms: Vec<Form>,
    /// The blocks in the forms, each with the forms that it is in and where.
    blocks: HashMap<u64, Vec<(usize, usize)>>,
    /// The marks of these blocks: most of what is searched has none of them.
    marks: Vec<bool>,
}

struct Form {
    name: String,
    bytes: Vec<u8>,
}

impl Needles {
    /// Makes a canary: a text like no other, without a character that any notation escapes.
    pub fn canary(&mut self, name: &str) -> String {
        let text = hex(&random());
        self.add(name, text.as_bytes());
        text
    }

    /// A secret that came from elsewhere. At least a window long.
    #[track_caller]
    pub fn add(&mut self, name: &str, bytes: &[u8]) {
        assert!(bytes.len() >= WINDOW, "{name} is too short to be told from chance");
        let before = self.named.insert(name.to_owned(), bytes.to_owned());
        assert!(before.is_none_or(|before| before == bytes), "two needles are called {name}");
        self.marks.resize(1 << MARK, false);
        let last = bytes.len() - WINDOW;
        for at in BTreeSet::from([0, last / 2, last]) {
            for (form, bytes) in forms(&bytes[at..at + WINDOW]) {
                assert!(bytes.len() >= 2 * BLOCK && bytes.len() <= LONGEST, "{form}");
                for offset in 0..BLOCK {
                    let block = block(&bytes[offset..offset + BLOCK]);
                    self.blocks.entry(block).or_default().push((self.forms.len(), offset));
                    self.marks[mark(block)] = true;
                }
                self.forms.push(Form { name: format!("{name} ({form}, from byte {at})"), bytes });
            }
        }
    }

    /// The text of a canary.
    pub fn text(&self, name: &str) -> String {
        String::from_utf8(self.named[name].clone()).unwrap()
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.named.keys().map(String::as_str)
    }

    /// Only those whose names are chosen.
    pub fn only(&self, is_chosen: impl Fn(&str) -> bool) -> Self {
        let mut only = Self::default();
        for (name, bytes) in self.named.iter().filter(|(name, _)| is_chosen(name)) {
            only.add(name, bytes);
        }
        only
    }

    /// These and the others.
    pub fn and(&self, others: &Self) -> Self {
        let mut all = self.only(|_| true);
        others.named.iter().for_each(|(name, bytes)| all.add(name, bytes));
        all
    }

    /// Which of them are in these bytes, and in which form.
    pub fn find(&self, bytes: &[u8]) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        for (page, content) in bytes.chunks(PAGE.len()).enumerate() {
            // Most of what is allocated is not in use.
            if content == &PAGE[..content.len()] {
                continue;
            }
            for (number, chunk) in content.chunks_exact(BLOCK).enumerate() {
                let block = block(chunk);
                if !self.marks[mark(block)] {
                    continue;
                }
                let at = page * PAGE.len() + number * BLOCK;
                for (form, offset) in self.blocks.get(&block).into_iter().flatten() {
                    let form = &self.forms[*form];
                    let start = at.checked_sub(*offset);
                    if start.is_some_and(|start| bytes[start..].starts_with(&form.bytes)) {
                        found.insert(form.name.as_str());
                    }
                }
            }
        }
        found
    }
}

fn block(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().unwrap())
}

/// A few bits of a block, evenly spread.
fn mark(block: u64) -> usize {
    usize::try_from(block.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - MARK)).unwrap()
}

/// A window as it would look in files, logs, URLs, JSON and Debug texts.
fn forms(window: &[u8]) -> Vec<(String, Vec<u8>)> {
    let numbers = |between: &str| window.iter().map(u8::to_string).collect::<Vec<_>>().join(between).into_bytes();
    let escaped = |escape: fn(&u8) -> String| window.iter().map(escape).collect::<String>().into_bytes();
    let mut forms = vec![
        ("as it is".to_owned(), window.to_owned()),
        ("hex".to_owned(), hex(window).into_bytes()),
        ("upper-case hex".to_owned(), hex(window).to_uppercase().into_bytes()),
        ("list of numbers".to_owned(), numbers(", ")),
        ("JSON list of numbers".to_owned(), numbers(",")),
        ("JSON escapes".to_owned(), escaped(|byte| format!("\\u{byte:04x}"))),
        ("Debug escapes".to_owned(), escaped(|byte| format!("\\x{byte:02x}"))),
        ("percent escapes".to_owned(), escaped(|byte| format!("%{byte:02X}"))),
    ];
    // In base64 the same bytes look different at each of three offsets; what their neighbours have a part in is left out.
    for before in 0..3 {
        let padded = [&vec![0; before][..], window].concat();
        let (from, to) = ((8 * before).div_ceil(6), 8 * padded.len() / 6);
        for (name, text) in
            [("base64", STANDARD_NO_PAD.encode(&padded)), ("URL-safe base64", URL_SAFE_NO_PAD.encode(&padded))]
        {
            forms.push((format!("{name} at offset {before}"), text.as_bytes()[from..to].to_owned()));
        }
    }
    forms
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn random() -> [u8; 20] {
    let mut bytes = [0; 20];
    File::open("/dev/urandom").unwrap().read_exact(&mut bytes).unwrap();
    bytes
}

#[test]
fn needle_is_found_in_every_form_and_at_every_offset() {
    let mut needles = Needles::default();
    let canary = needles.canary("canary");
    let key = [0xfb, 0xff, 0x00, 0x5c, 0x22].iter().cycle().take(32).copied().collect::<Vec<u8>>();
    needles.add("key", &key);
    for (name, secret) in [("canary", canary.as_bytes()), ("key", &key[..])] {
        for (form, written) in forms(secret).into_iter().filter(|(form, _)| !form.contains("64")) {
            for before in 0..2 * BLOCK {
                let text = [&vec![b'x'; before][..], &written, b" after"].concat();
                let found = needles.find(&text);
                assert!(found.iter().any(|found| found.starts_with(name)), "{name} as {form} behind {before}");
            }
        }
        for before in 0..2 * BLOCK {
            let text = [&vec![b'x'; before][..], secret, b"behind"].concat();
            for written in [STANDARD_NO_PAD.encode(&text), URL_SAFE_NO_PAD.encode(&text)] {
                let found = needles.find(written.as_bytes());
                assert!(found.iter().any(|found| found.starts_with(name)), "{name} behind {before}: {written}");
            }
        }
        // A part of it is enough, wherever it lies.
        assert!(
            !needles.find(&secret[..WINDOW]).is_empty() && !needles.find(&secret[secret.len() - WINDOW..]).is_empty()
        );
        assert!(needles.find(&secret[..WINDOW - 1]).is_empty());
    }
    assert!(needles.only(|name| name == "key").find(canary.as_bytes()).is_empty());
    assert!(needles.find(&[0; 100]).is_empty());
}
