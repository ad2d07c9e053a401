//! Masks values in a stream of bytes, wherever its chunks end: what belongs to any value is never written, however values
//! overlap, and no more is held back than what could yet become one. Knows nothing of the rest of this program, so that a
//! fuzzer can include it.

pub(crate) mod fuzz;

use std::io::{self, Write};

use zeroize::Zeroizing;

/// What stands for a value.
pub(crate) const MASK: &[u8] = b"[masked]";

/// A value with fewer bytes is not masked: it would tear what has nothing to do with it.
pub(crate) const SHORTEST: usize = 4;

/// Lines of a value of several are masked by themselves too, from this many bytes on.
const SHORTEST_LINE: usize = 8;

/// Values to look for, all at once: the automaton of Aho and Corasick, whose states are what of a value was read last.
pub(crate) struct Masks {
    states: Vec<State>,
    /// What follows the empty state, for every byte.
    first: [u32; 256],
}

struct State {
    byte: u8,
    /// The first state that goes on from here, and the next that goes on from where this one does; 0 = none.
    child: u32,
    sibling: u32,
    /// The state of the longest end of this one that begins a value.
    shorter: u32,
    /// Bytes of this state, and of the longest value that ends with it.
    depth: u32,
    ends: u32,
}

/// A stream with its values masked.
pub(crate) struct Masked<'a, W> {
    masks: &'a Masks,
    out: W,
    state: u32,
    /// What may yet become a value, or be part of one.
    held: Zeroizing<Vec<u8>>,
    /// Where in what is held there are values: in order and apart.
    covered: Vec<Covered>,
    ready: Zeroizing<Vec<u8>>,
}

/// Bytes of a value.
#[derive(Clone, Copy)]
struct Covered {
    from: usize,
    to: usize,
    /// Its mask is written already.
    told: bool,
}

impl Masks {
    /// For these values, as they are, without the space around them, and line by line.
    pub(crate) fn new<'v>(values: impl IntoIterator<Item = &'v [u8]>) -> Self {
        let root = State { byte: 0, child: 0, sibling: 0, shorter: 0, depth: 0, ends: 0 };
        let mut masks = Self { states: vec![root], first: [0; 256] };
        for value in values {
            let trimmed = value.trim_ascii();
            [value, trimmed].into_iter().filter(|value| value.len() >= SHORTEST).for_each(|value| masks.add(value));
            let lines = trimmed.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
            lines.filter(|line| line.len() >= SHORTEST_LINE).for_each(|line| masks.add(line));
        }
        masks.link();
        masks
    }

    /// A stream that writes to `out`.
    pub(crate) fn mask<W: Write>(&self, out: W) -> Masked<'_, W> {
        Masked {
            masks: self,
            out,
            state: 0,
            held: Zeroizing::default(),
            covered: Vec::new(),
            ready: Zeroizing::default(),
        }
    }

    fn add(&mut self, value: &[u8]) {
        let mut at = 0;
        for byte in value {
            at = match self.child(at, *byte) {
                0 => self.grow(at, *byte),
                known => known,
            };
        }
        if let Some(state) = self.states.get_mut(index(at)) {
            state.ends = state.depth;
        }
    }

    fn grow(&mut self, parent: u32, byte: u8) -> u32 {
        let new = u32::try_from(self.states.len()).unwrap_or(u32::MAX);
        let (sibling, depth) = self.states.get(index(parent)).map_or((0, 0), |state| (state.child, state.depth));
        self.states.push(State { byte, child: 0, sibling, shorter: 0, depth: depth + 1, ends: 0 });
        match self.states.get_mut(index(parent)) {
            Some(_) if parent == 0 => {
                if let Some(first) = self.first.get_mut(usize::from(byte)) {
                    *first = new;
                }
            }
            Some(state) => state.child = new,
            None => {}
        }
        new
    }

    /// Finds the shorter states, from the shortest on.
    fn link(&mut self) {
        let mut queue: std::collections::VecDeque<u32> = self.first.iter().copied().filter(|at| *at != 0).collect();
        while let Some(at) = queue.pop_front() {
            let Some((mut child, shorter)) = self.states.get(index(at)).map(|state| (state.child, state.shorter))
            else {
                continue;
            };
            while let Some((byte, sibling)) =
                self.states.get(index(child)).filter(|_| child != 0).map(|s| (s.byte, s.sibling))
            {
                let next = self.next(shorter, byte);
                let ends = self.states.get(index(next)).map_or(0, |state| state.ends);
                if let Some(state) = self.states.get_mut(index(child)) {
                    state.shorter = next;
                    state.ends = state.ends.max(ends);
                }
                queue.push_back(child);
                child = sibling;
            }
        }
    }

    /// The state after one more byte.
    fn next(&self, at: u32, byte: u8) -> u32 {
        let mut at = at;
        loop {
            match self.child(at, byte) {
                0 if at == 0 => return 0,
                0 => at = self.states.get(index(at)).map_or(0, |state| state.shorter),
                found => return found,
            }
        }
    }

    fn child(&self, at: u32, byte: u8) -> u32 {
        if at == 0 {
            return self.first.get(usize::from(byte)).copied().unwrap_or(0);
        }
        let mut child = self.states.get(index(at)).map_or(0, |state| state.child);
        while let Some(state) = self.states.get(index(child)).filter(|_| child != 0) {
            if state.byte == byte {
                return child;
            }
            child = state.sibling;
        }
        0
    }
}

impl<W: Write> Masked<'_, W> {
    /// Takes the next bytes, and writes what is certain by now.
    ///
    /// # Errors
    /// As the writer behind.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> io::Result<()> {
        for byte in bytes {
            self.held.push(*byte);
            self.state = self.masks.next(self.state, *byte);
            let (depth, ends) =
                self.masks.states.get(index(self.state)).map_or((0, 0), |s| (index(s.depth), index(s.ends)));
            if ends > 0 {
                self.cover(ends);
            }
            // Nothing before the state can become part of a value any more.
            if self.held.len() - depth >= AT_ONCE {
                self.settle(self.held.len() - depth);
            }
        }
        let depth = self.masks.states.get(index(self.state)).map_or(0, |state| index(state.depth));
        self.settle(self.held.len() - depth);
        self.send()
    }

    /// The stream is over: what was held is no value.
    ///
    /// # Errors
    /// As the writer behind.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.settle(self.held.len());
        self.send()
    }

    /// The last so many bytes are a value.
    fn cover(&mut self, len: usize) {
        let to = self.held.len();
        let mut new = Covered { from: to.saturating_sub(len), to, told: false };
        while let Some(last) = self.covered.last().filter(|last| last.to > new.from).copied() {
            new = Covered { from: new.from.min(last.from), told: last.told, ..new };
            self.covered.pop();
        }
        self.covered.push(new);
    }

    /// Lets the first so many bytes that are held go, masked.
    fn settle(&mut self, len: usize) {
        if len == 0 {
            return;
        }
        let mut at = 0;
        for covered in &mut self.covered {
            if covered.from >= len {
                break;
            }
            self.ready.extend_from_slice(self.held.get(at..covered.from).unwrap_or_default());
            if !covered.told {
                self.ready.extend_from_slice(MASK);
                covered.told = true;
            }
            at = covered.to.min(len);
        }
        self.ready.extend_from_slice(self.held.get(at..len).unwrap_or_default());
        self.held.drain(..len);
        self.covered.retain(|covered| covered.to > len);
        for covered in &mut self.covered {
            covered.from = covered.from.saturating_sub(len);
            covered.to -= len;
        }
    }

    fn send(&mut self) -> io::Result<()> {
        if self.ready.is_empty() {
            return Ok(());
        }
        self.out.write_all(&self.ready)?;
        self.ready.clear();
        self.out.flush()
    }
}

fn index(at: u32) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

/// Bytes that are let go at once: to move what is held for each would take long where it is much.
const AT_ONCE: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn masked(values: &[&str], chunks: &[&[u8]]) -> String {
        let masks = Masks::new(values.iter().map(|value| value.as_bytes()));
        let mut out = Vec::new();
        let mut stream = masks.mask(&mut out);
        chunks.iter().for_each(|chunk| stream.feed(chunk).unwrap());
        stream.finish().unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_are_masked_wherever_they_stand() {
        for (values, text, expected) in [
            (&["hunter2"][..], "a hunter2 b", "a [masked] b"),
            (&["hunter2"], "hunter2hunter2", "[masked][masked]"),
            (&["hunter2"], "hunterhunter2", "hunter[masked]"),
            (&["hunter2"], "hunter", "hunter"),
            (&["pass", "password"], "password pass passwor", "[masked] [masked] [masked]wor"),
            // The end of one is the beginning of another: nothing of either is left.
            (&["abcd", "cdef"], "xabcdefx", "x[masked]x"),
            (&["abcdefgh", "cdef"], "abcdefgx cdef", "ab[masked]gx [masked]"),
            (&["aaaa"], "aaaaaaaaab", "[masked]b"),
            (&["abc", ""], "abc", "abc"),
            (&["line one\nline two!\n"], "> line one\r\n> line two!", "> [masked]\r\n> [masked]"),
            (&["  spaced  "], "[spaced]", "[[masked]]"),
            (&["geheim\u{fc}"], "geheim\u{fc}!", "[masked]!"),
        ] {
            assert_eq!(masked(values, &[text.as_bytes()]), expected, "{text}");
            let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
            assert_eq!(masked(values, &bytes), expected, "{text} byte by byte");
        }
    }

    #[test]
    fn what_cannot_become_a_value_is_written_at_once() {
        let masks = Masks::new([&b"hunter2"[..]]);
        let mut out = Vec::new();
        let mut stream = masks.mask(&mut out);
        stream.feed(b"name: ").unwrap();
        assert_eq!(stream.out.as_slice(), b"name: ");
        stream.feed(b"hunt").unwrap();
        assert_eq!(stream.out.as_slice(), b"name: ");
        stream.feed(b"ing").unwrap();
        assert_eq!(stream.out.as_slice(), b"name: hunting");
    }

    #[test]
    fn endless_value_holds_no_more_than_its_length() {
        let masks = Masks::new([&b"aaaa"[..], &[b'b'; 300]]);
        let mut stream = masks.mask(io::sink());
        for _ in 0..1000 {
            stream.feed(&[b'a'; 1000]).unwrap();
            stream.feed(&[b'b'; 299]).unwrap();
            assert!(stream.held.len() <= 300 && stream.covered.len() <= 300);
        }
    }

    proptest! {
        /// As the fuzzer asks it, of bytes that make values of each other's beginnings and ends.
        #[test]
        fn any_values_in_any_stream_are_masked(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            near in prop::collection::vec(prop::sample::select(&b"aaab bc\n\r\x01\x02\xff"[..]), 0..300),
        ) {
            fuzz::redact(&bytes);
            fuzz::redact(&near);
        }

        /// However it is cut, a stream comes out the same, and as long as no value overlaps another, as text whose values
        /// are replaced.
        #[test]
        fn chunks_make_no_difference(
            text in "[abc]{0,60}",
            values in prop::collection::vec("[abc]{4,6}", 0..4),
            cuts in prop::collection::vec(1..7_usize, 0..30),
        ) {
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            let whole = masked(&values, &[text.as_bytes()]);
            let (mut chunks, mut rest) = (Vec::new(), text.as_bytes());
            for cut in cuts {
                let (chunk, after) = rest.split_at(cut.min(rest.len()));
                chunks.push(chunk);
                rest = after;
            }
            chunks.push(rest);
            prop_assert_eq!(&masked(&values, &chunks), &whole);
            for value in &values {
                prop_assert!(!whole.contains(value), "{} in {}", value, whole);
            }
            if let [value] = values.as_slice()
                && !(1..value.len()).any(|len| value.starts_with(&value[len..]))
            {
                prop_assert_eq!(whole, text.replace(value, "[masked]"));
            }
        }
    }
}
