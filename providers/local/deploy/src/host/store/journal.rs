//! The journal: what was done since the last checkpoint, in a file that only grows.
//!
//! An operation is acknowledged when its frame is here: written (that survives the end of the process), or synced too
//! (that survives a power cut). A frame is whole or it is not there, and it belongs to one generation, which is the
//! number of checkpoints before it; frames of another generation are in the tree already.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::trouble::{Stored, Trouble};

/// Length and checksum of what follows, generation.
const HEAD: usize = 4 + 4 + 8;
/// The length of a value that is none: the key is removed.
const REMOVED: u32 = u32::MAX;

/// The open file.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    length: u64,
    generation: u64,
}

/// One key and its new value; `None` when it is removed.
pub(super) type Effect<'a> = (&'a [u8], Option<&'a [u8]>);

impl Journal {
    /// Opens or makes the file, and gives the frames of this generation.
    ///
    /// What follows the last whole frame was never acknowledged; it is cut off.
    pub(super) fn open(path: &Path, generation: u64) -> io::Result<(Self, Vec<u8>)> {
        let mut options = File::options();
        let mut file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let whole = whole(&bytes, generation);
        bytes.truncate(whole);
        file.set_len(whole as u64)?;
        file.seek(SeekFrom::End(0))?;
        Ok((Self { file, length: whole as u64, generation }, bytes))
    }

    /// The number of the last checkpoint.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Bytes since the last checkpoint.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Adds a frame. When it returns, the frame survives the process, and with `sync` the machine.
    ///
    /// # Errors
    /// The disk is full or broken; the file is as it was.
    pub(super) fn append(&mut self, effects: &[u8], sync: bool) -> Stored<()> {
        let frame = frame(effects, self.generation).map_err(Trouble::NotWritten)?;
        let written =
            self.file.write_all(&frame).and_then(|()| if sync { self.file.sync_data() } else { Ok(()) });
        if let Err(error) = written {
            // What was written of it must not be taken for a frame that was acknowledged.
            self.file.set_len(self.length)?;
            self.file.seek(SeekFrom::Start(self.length))?;
            return Err(Trouble::NotWritten(error));
        }
        self.length += frame.len() as u64;
        Ok(())
    }

    /// Begins a generation: everything so far is in the tree, on disk.
    pub(super) fn begin(&mut self, generation: u64) -> io::Result<()> {
        self.generation = generation;
        self.length = 0;
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0)).map(drop)
    }
}

fn frame(effects: &[u8], generation: u64) -> io::Result<Vec<u8>> {
    let length = u32::try_from(effects.len())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "more than 4 GiB at once"))?;
    let mut frame = Vec::with_capacity(HEAD + effects.len());
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(&checksum(generation, effects).to_le_bytes());
    frame.extend_from_slice(&generation.to_le_bytes());
    frame.extend_from_slice(effects);
    Ok(frame)
}

fn checksum(generation: u64, effects: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&generation.to_le_bytes());
    hasher.update(effects);
    hasher.finalize()
}

/// The first frame's effects and the bytes after it.
fn split(bytes: &[u8], generation: u64) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let (of, rest) = rest.split_first_chunk::<8>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (effects, rest) = rest.split_at_checked(length)?;
    let same = u64::from_le_bytes(*of) == generation;
    (same && u32::from_le_bytes(*sum) == checksum(generation, effects)).then_some((effects, rest))
}

/// How many of the bytes are whole frames of this generation.
fn whole(bytes: &[u8], generation: u64) -> usize {
    let mut rest = bytes;
    while let Some((_, after)) = split(rest, generation) {
        rest = after;
    }
    bytes.len() - rest.len()
}

/// Writes one effect.
pub(super) fn note(effects: &mut Vec<u8>, key: &[u8], value: Option<&[u8]>) {
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(REMOVED - 1);
    effects.extend_from_slice(&length(key).to_le_bytes());
    effects.extend_from_slice(&value.map_or(REMOVED, length).to_le_bytes());
    effects.extend_from_slice(key);
    effects.extend_from_slice(value.unwrap_or_default());
}

/// Hands on every effect of the frames, in order. `None` when the bytes are not effects.
pub(super) fn replay<E>(
    frames: &[u8],
    generation: u64,
    mut apply: impl FnMut(Effect<'_>) -> Result<(), E>,
) -> Result<Option<()>, E> {
    let mut rest = frames;
    while let Some((mut effects, after)) = split(rest, generation) {
        while !effects.is_empty() {
            let Some((effect, others)) = effect(effects) else { return Ok(None) };
            apply(effect)?;
            effects = others;
        }
        rest = after;
    }
    Ok(Some(()))
}

fn effect(bytes: &[u8]) -> Option<(Effect<'_>, &[u8])> {
    let (key, rest) = bytes.split_first_chunk::<4>()?;
    let (value, rest) = rest.split_first_chunk::<4>()?;
    let (key, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*key)).ok()?)?;
    match u32::from_le_bytes(*value) {
        REMOVED => Some(((key, None), rest)),
        length => {
            let (value, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            Some(((key, Some(value)), rest))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Owned = (Vec<u8>, Option<Vec<u8>>);

    fn effects(list: &[Owned]) -> Vec<u8> {
        let mut bytes = Vec::new();
        list.iter().for_each(|(key, value)| note(&mut bytes, key, value.as_deref()));
        bytes
    }

    fn read(frames: &[u8], generation: u64) -> Option<Vec<Owned>> {
        let mut found = Vec::new();
        let read = replay(frames, generation, |(key, value)| {
            found.push((key.to_vec(), value.map(<[u8]>::to_vec)));
            Ok::<_, ()>(())
        });
        read.unwrap().map(|()| found)
    }

    proptest! {
        /// Cut or damaged anywhere, what is read is a prefix of what was written, by whole frames.
        #[test]
        fn a_damaged_journal_gives_a_prefix(
            groups in proptest::collection::vec(proptest::collection::vec(
                (proptest::collection::vec(any::<u8>(), 0..20), proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20))), 0..4), 0..6),
            at in any::<usize>(), bit in 0..8u8, cut in any::<bool>(),
        ) {
            let frames: Vec<Vec<u8>> = groups.iter().map(|g| frame(&effects(g), 7).unwrap()).collect();
            let all: Vec<u8> = frames.concat();
            prop_assert_eq!(whole(&all, 7), all.len());
            prop_assert_eq!(read(&all, 7), Some(groups.concat()));
            prop_assert_eq!(whole(&all, 8), 0);
            if all.is_empty() { return Ok(()); }
            let at = at % all.len();
            let mut hurt = all.clone();
            if cut { hurt.truncate(at) } else { hurt[at] ^= 1 << bit }
            let good = frames.iter().scan(0, |end, f| { *end += f.len(); Some(*end) }).take_while(|end| *end <= at).count();
            let kept = &hurt[..whole(&hurt, 7)];
            prop_assert_eq!(read(kept, 7), Some(groups[..good].concat()));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), generation in any::<u64>()) {
            drop(read(&bytes, generation));
            drop(read(&frame(&bytes, generation).unwrap(), generation));
        }
    }

    #[test]
    fn a_frame_that_was_cut_off_is_not_there_after_opening() {
        let path = std::env::temp_dir().join(format!("xcloud-journal-{}", std::process::id()));
        let (mut journal, frames) = Journal::open(&path, 1).unwrap();
        assert!(frames.is_empty());
        journal.append(&effects(&[(b"a".to_vec(), Some(b"1".to_vec()))]), true).unwrap();
        journal.append(&effects(&[(b"a".to_vec(), None)]), false).unwrap();
        let length = journal.length();
        drop(journal);
        File::options().write(true).open(&path).unwrap().set_len(length - 1).unwrap();
        let (mut journal, frames) = Journal::open(&path, 1).unwrap();
        assert_eq!(read(&frames, 1), Some(vec![(b"a".to_vec(), Some(b"1".to_vec()))]));
        journal.begin(2).unwrap();
        assert_eq!((journal.length(), std::fs::metadata(&path).unwrap().len()), (0, 0));
        std::fs::remove_file(path).unwrap();
    }
}
