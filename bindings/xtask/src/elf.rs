//! What an Android linker reads of a shared library: segments, what is needed, exported and imported.

use std::fs;
use std::path::Path;

use crate::error::{Error, Result};

/// Processors, as ELF numbers them.
pub const ARM64: u16 = 183;
pub const X86_64: u16 = 62;

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_NOTE: u32 = 4;
const PT_GNU_STACK: u32 = 0x6474_e551;
const PF_X: u32 = 1;
const SHT_SYMTAB: u32 = 2;
const SHT_DYNSYM: u32 = 11;
const DT_NEEDED: u64 = 1;
const DT_SONAME: u64 = 14;
const DT_TEXTREL: u64 = 22;
const DT_FLAGS: u64 = 30;
const DF_TEXTREL: u64 = 4;
const STB_WEAK: u8 = 2;
const NT_GNU_BUILD_ID: u32 = 3;

/// A shared library of 64 bits.
#[derive(Debug, Default)]
pub struct Elf {
    /// The processor.
    pub machine: u16,
    /// Alignment of each loaded segment.
    pub alignments: Vec<u64>,
    /// Whether each segment lies in the file as it does in memory, modulo its alignment.
    pub congruent: bool,
    /// Whether the stack would be executable.
    pub executable_stack: bool,
    /// Whether code has to be changed when it is loaded.
    pub text_relocations: bool,
    /// The libraries it asks for.
    pub needed: Vec<String>,
    /// What it calls itself.
    pub soname: Option<String>,
    /// Names it offers.
    pub exported: Vec<String>,
    /// Names it cannot do without.
    pub imported: Vec<String>,
    /// What tells one build from another.
    pub build_id: Option<Vec<u8>>,
    /// Whether the names of inner functions are still in it.
    pub has_symbols: bool,
}

/// Reads the file at `path`.
pub fn read(path: &Path) -> Result<Elf> {
    let bytes = fs::read(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
    parse(&bytes).ok_or_else(|| Error::Fault(format!("{} is no shared library of 64 bits", path.display())))
}

/// Little-endian numbers and texts at places of the file, or none beyond its end.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn at(&self, at: u64, len: u64) -> Option<&'a [u8]> {
        self.0.get(usize::try_from(at).ok()?..usize::try_from(at.checked_add(len)?).ok()?)
    }

    fn u16(&self, at: u64) -> Option<u16> {
        Some(u16::from_le_bytes(self.at(at, 2)?.try_into().ok()?))
    }

    fn u32(&self, at: u64) -> Option<u32> {
        Some(u32::from_le_bytes(self.at(at, 4)?.try_into().ok()?))
    }

    fn u64(&self, at: u64) -> Option<u64> {
        Some(u64::from_le_bytes(self.at(at, 8)?.try_into().ok()?))
    }

    fn text(&self, at: u64) -> Option<String> {
        let rest = self.0.get(usize::try_from(at).ok()?..)?;
        let end = rest.iter().position(|byte| *byte == 0)?;
        Some(String::from_utf8_lossy(&rest[..end]).into_owned())
    }
}

/// A program header.
struct Segment {
    kind: u32,
    flags: u32,
    offset: u64,
    address: u64,
    len: u64, // in the file
    alignment: u64,
}

fn parse(bytes: &[u8]) -> Option<Elf> {
    let file = Bytes(bytes);
    // "\x7fELF", 64 bits, little-endian; a shared object.
    if file.at(0, 6)? != b"\x7fELF\x02\x01" || file.u16(16)? != 3 {
        return None;
    }
    let mut elf = Elf { machine: file.u16(18)?, congruent: true, ..Elf::default() };
    let segments = segments(&file)?;
    for segment in &segments {
        match segment.kind {
            PT_LOAD => {
                elf.alignments.push(segment.alignment);
                let same =
                    segment.alignment != 0 && (segment.address.wrapping_sub(segment.offset)) % segment.alignment == 0;
                elf.congruent &= same;
            }
            PT_GNU_STACK => elf.executable_stack |= segment.flags & PF_X != 0,
            PT_NOTE => elf.build_id = elf.build_id.or(build_id(&file, segment)),
            _ => {}
        }
    }
    symbols(&file, &mut elf)?;
    dynamic(&file, &segments, &mut elf)?;
    Some(elf)
}

fn segments(file: &Bytes) -> Option<Vec<Segment>> {
    let (begin, size, count) = (file.u64(32)?, u64::from(file.u16(54)?), u64::from(file.u16(56)?));
    (0..count)
        .map(|i| {
            let at = begin.checked_add(i * size)?;
            Some(Segment {
                kind: file.u32(at)?,
                flags: file.u32(at + 4)?,
                offset: file.u64(at + 8)?,
                address: file.u64(at + 16)?,
                len: file.u64(at + 32)?,
                alignment: file.u64(at + 48)?,
            })
        })
        .collect()
}

fn build_id(file: &Bytes, note: &Segment) -> Option<Vec<u8>> {
    let (mut at, end) = (note.offset, note.offset.checked_add(note.len)?);
    while at < end {
        let (name, len, kind) = (u64::from(file.u32(at)?), u64::from(file.u32(at + 4)?), file.u32(at + 8)?);
        let content = at + 12 + name.next_multiple_of(4);
        if kind == NT_GNU_BUILD_ID && file.at(at + 12, name)? == b"GNU\0" {
            return Some(file.at(content, len)?.to_vec());
        }
        at = content + len.next_multiple_of(4);
    }
    None
}

/// Walks the section headers to the tables of symbols.
fn symbols(file: &Bytes, elf: &mut Elf) -> Option<()> {
    let (begin, size, count) = (file.u64(40)?, u64::from(file.u16(58)?), u64::from(file.u16(60)?));
    for i in 0..count {
        let at = begin.checked_add(i * size)?;
        match file.u32(at + 4)? {
            SHT_SYMTAB => elf.has_symbols = true,
            SHT_DYNSYM => {
                let texts = file.u64(begin + u64::from(file.u32(at + 40)?) * size + 24)?;
                let (first, len) = (file.u64(at + 24)?, file.u64(at + 32)?);
                // The first entry is empty.
                for symbol in (first + 24..first + len).step_by(24) {
                    let name = file.text(texts + u64::from(file.u32(symbol)?))?;
                    let (binding, section) = (file.at(symbol + 4, 1)?[0] >> 4, file.u16(symbol + 6)?);
                    match (binding, section) {
                        (0, _) => {}
                        (STB_WEAK, 0) => {} // asked for, not needed
                        (_, 0) => elf.imported.push(name),
                        _ => elf.exported.push(name),
                    }
                }
            }
            _ => {}
        }
    }
    Some(())
}

fn dynamic(file: &Bytes, segments: &[Segment], elf: &mut Elf) -> Option<()> {
    let table = segments.iter().find(|segment| segment.kind == PT_DYNAMIC)?;
    let entries: Vec<(u64, u64)> = (table.offset..table.offset.checked_add(table.len)?)
        .step_by(16)
        .map(|at| Some((file.u64(at)?, file.u64(at + 8)?)))
        .take_while(|entry| entry.is_none_or(|(tag, _)| tag != 0))
        .collect::<Option<_>>()?;
    let value = |wanted: u64| entries.iter().find(|(tag, _)| *tag == wanted).map(|(_, value)| *value);
    let texts = value(5)?; // DT_STRTAB, an address
    let home = segments.iter().find(|s| s.kind == PT_LOAD && (s.address..s.address + s.len).contains(&texts))?;
    let text = |at: u64| file.text(texts - home.address + home.offset + at);
    let needed = entries.iter().filter(|(tag, _)| *tag == DT_NEEDED);
    elf.needed = needed.map(|(_, at)| text(*at)).collect::<Option<_>>()?;
    elf.soname = value(DT_SONAME).and_then(text);
    elf.text_relocations = value(DT_TEXTREL).is_some() || value(DT_FLAGS).is_some_and(|flags| flags & DF_TEXTREL != 0);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is loaded into this very test: the system's C library, which binutils describe the same.
    #[test]
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    fn the_c_library_of_this_machine_is_understood() {
        let maps = fs::read_to_string("/proc/self/maps").expect("Linux");
        let path = maps.lines().find_map(|line| line.split_whitespace().nth(5).filter(|p| p.ends_with("/libc.so.6")));
        let Some(path) = path else { return }; // linked statically
        let elf = read(Path::new(path)).expect("a library");
        assert_eq!(elf.soname.as_deref(), Some("libc.so.6"));
        assert!(elf.exported.iter().any(|name| name == "malloc") && elf.congruent && elf.build_id.is_some());
        assert!(!elf.text_relocations && !elf.executable_stack && !elf.alignments.is_empty());
    }

    #[test]
    fn cut_off_and_foreign_files_are_refused() {
        let mut bytes = b"\x7fELF\x02\x01".to_vec();
        bytes.resize(16, 0);
        bytes.extend([3, 0, 183, 0]);
        assert!(parse(&bytes).is_none());
        assert!(parse(b"MZ").is_none());
    }
}
