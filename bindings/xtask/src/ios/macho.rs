//! What Apple's linker reads of a static library: processor, system and names of its objects.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::error::{Error, Result};

/// Apple's number of the processor.
pub const ARM64: u32 = 0x0100_000c;
/// Apple's number of the system iOS.
const IOS: u32 = 2;

const MAGIC_64: u32 = 0xfeed_facf;
const LC_SYMTAB: u32 = 2;
const LC_VERSION_MIN_IPHONEOS: u32 = 0x25;
const LC_BUILD_VERSION: u32 = 0x32;
const N_EXT: u8 = 1;
const N_TYPE: u8 = 0x0e;
const N_STAB: u8 = 0xe0;

/// All objects of a library together.
#[derive(Debug, Default)]
pub struct Library {
    /// Objects in it.
    pub objects: usize,
    /// Processors.
    pub processors: BTreeSet<u32>,
    /// Systems, of the objects that name one.
    pub systems: BTreeSet<u32>,
    /// The newest system that any of them asks for, as (major, minor).
    pub least_system: (u32, u32),
    /// Names it offers, without C's underscore.
    pub defined: BTreeSet<String>,
    /// Names it takes, from itself or from the system.
    pub wanted: BTreeSet<String>,
}

/// Reads the archive at `path`.
pub fn read(path: &Path) -> Result<Library> {
    let bytes = fs::read(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
    let mut library = Library::default();
    archive(&bytes, &mut library)
        .filter(|()| library.objects > 0)
        .map(|()| library)
        .ok_or_else(|| Error::Fault(format!("{} is no static library with objects of 64 bits", path.display())))
}

/// Walks the members of an archive.
fn archive(bytes: &[u8], library: &mut Library) -> Option<()> {
    let mut rest = bytes.strip_prefix(b"!<arch>\n")?;
    while !rest.is_empty() {
        let header = rest.get(..60)?;
        let len: usize = std::str::from_utf8(&header[48..58]).ok()?.trim().parse().ok()?;
        let mut content = rest.get(60..60 + len)?;
        // BSD's long names stand in front of the content.
        if let Some(name) = header[..16].strip_prefix(b"#1/") {
            content = content.get(std::str::from_utf8(name).ok()?.trim().parse::<usize>().ok()?..)?;
        }
        if number(content, 0) == Some(MAGIC_64) {
            object(content, library)?;
        }
        rest = rest.get(60 + len + len % 2..).unwrap_or_default();
    }
    Some(())
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn object(bytes: &[u8], library: &mut Library) -> Option<()> {
    library.objects += 1;
    library.processors.insert(number(bytes, 4)?);
    let mut at = 32;
    for _ in 0..number(bytes, 16)? {
        let (command, len) = (number(bytes, at)?, number(bytes, at + 4)? as usize);
        match command {
            LC_SYMTAB => symbols(bytes, at, library)?,
            LC_BUILD_VERSION => system(library, number(bytes, at + 8)?, number(bytes, at + 12)?),
            LC_VERSION_MIN_IPHONEOS => system(library, IOS, number(bytes, at + 8)?),
            _ => {}
        }
        at += len;
    }
    Some(())
}

/// A version is written in 16 bits for the first number and 8 for each of the next two.
fn system(library: &mut Library, system: u32, version: u32) {
    library.systems.insert(system);
    library.least_system = library.least_system.max((version >> 16, (version >> 8) & 0xff));
}

fn symbols(bytes: &[u8], command: usize, library: &mut Library) -> Option<()> {
    let field = |i: usize| number(bytes, command + 8 + 4 * i).map(|value| value as usize);
    let (first, count, texts) = (field(0)?, field(1)?, field(2)?);
    for entry in (0..count).map(|i| first + 16 * i) {
        let kind = *bytes.get(entry + 4)?;
        if kind & N_EXT == 0 || kind & N_STAB != 0 {
            continue;
        }
        let name = bytes.get(texts + number(bytes, entry)? as usize..)?;
        let name = &name[..name.iter().position(|byte| *byte == 0)?];
        let name = String::from_utf8_lossy(name.strip_prefix(b"_").unwrap_or(name)).into_owned();
        let list = if kind & N_TYPE == 0 { &mut library.wanted } else { &mut library.defined };
        list.insert(name);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An object with one name taken and one offered, in an archive; sizes are Apple's <mach-o/loader.h>.
    fn archive_of_one() -> Vec<u8> {
        let mut object: Vec<u8> = [MAGIC_64, ARM64, 0, 1, 2, 24 + 24, 0, 0].map(u32::to_le_bytes).concat();
        object.extend([LC_BUILD_VERSION, 24, IOS, 16 << 16 | 4 << 8, 0, 0].map(u32::to_le_bytes).concat());
        let texts = b"\0_stat\0_ours\0";
        object.extend([LC_SYMTAB, 24, 80, 2, 80 + 32, texts.len() as u32].map(u32::to_le_bytes).concat());
        for (name, kind) in [(1u32, N_EXT), (7, N_EXT | N_TYPE)] {
            object.extend(name.to_le_bytes());
            object.extend([kind, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        }
        object.extend(texts);
        let mut archive = b"!<arch>\n".to_vec();
        archive.extend(format!("{:<16}{:<32}{:<10}`\n", "a.o/", "0", object.len()).bytes());
        archive.extend(object);
        archive
    }

    #[test]
    fn an_object_is_read() {
        let mut library = Library::default();
        archive(&archive_of_one(), &mut library).expect("whole");
        assert_eq!((library.objects, library.least_system), (1, (16, 4)));
        assert!(library.processors.iter().eq([&ARM64]) && library.systems.iter().eq([&IOS]));
        assert!(library.defined.contains("ours") && library.wanted.contains("stat"));
    }

    #[test]
    fn what_is_cut_off_is_refused() {
        let whole = archive_of_one();
        for len in [0, 7, 30, 67, whole.len() - 1] {
            assert!(archive(&whole[..len], &mut Library::default()).is_none(), "{len}");
        }
    }
}
