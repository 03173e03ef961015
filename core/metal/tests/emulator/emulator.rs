//! The emulator as a process: buffers and dispatches go in, bytes come back.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use sprat_metal::{Binding, Buffer, Dispatch, SHADERS};

use crate::compile;

/// In which order the threads of a threadgroup run between barriers, and threadgroups of a dispatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Order {
    /// First to last.
    Forward,
    /// Last to first.
    Backward,
    /// Anew after each barrier.
    Shuffled,
}

/// All of them.
pub const ORDERS: [Order; 3] = [Order::Forward, Order::Backward, Order::Shuffled];

/// A running emulator.
pub struct Emulator {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
    buffers: HashMap<Buffer, (u32, usize)>, // id, length
    order: Order,
}

/// What a sanitizer or the emulator itself found.
pub type Finding = String;

impl Emulator {
    /// Of the crate's shaders.
    pub fn new(order: Order) -> Self {
        Self::of(&SHADERS.map(|(name, text)| (name, text.to_owned())), order)
    }

    /// Of other shaders.
    pub fn of(shaders: &[(&str, String)], order: Order) -> Self {
        let mut child = Command::new(compile::emulator(shaders))
            .env("ASAN_OPTIONS", "detect_leaks=0")
            .env("UBSAN_OPTIONS", "print_stacktrace=1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the emulator was built");
        let input = child.stdin.take().expect("it is a pipe");
        let output = child.stdout.take().expect("it is a pipe");
        Self { child, input, output, buffers: HashMap::new(), order }
    }

    /// Defines a buffer or replaces it.
    pub fn define(&mut self, buffer: Buffer, bytes: &[u8]) {
        let next = self.buffers.len() as u32;
        let (id, len) = self.buffers.entry(buffer).or_insert((next, 0));
        *len = bytes.len();
        let mut command = vec![b'B'];
        command.extend(id.to_le_bytes());
        command.extend((bytes.len() as u64).to_le_bytes());
        command.extend(bytes);
        self.send(&command);
    }

    /// Defines a buffer of numbers.
    pub fn define_f32(&mut self, buffer: Buffer, values: &[f32]) {
        self.define(buffer, &values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>());
    }

    /// Defines a buffer of numbers.
    pub fn define_u32(&mut self, buffer: Buffer, values: &[u32]) {
        self.define(buffer, &values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>());
    }

    /// Plays one dispatch. Panics if it names a buffer that was not defined.
    pub fn play(&mut self, dispatch: &Dispatch) {
        self.send(&self.encoded(dispatch));
    }

    /// The command that plays a dispatch, whatever its buffers are defined as by then. Panics if one never was.
    pub fn encoded(&self, dispatch: &Dispatch) -> Vec<u8> {
        let mut words = Vec::new();
        let name = dispatch.kernel.name();
        words.push(self.order as u32);
        words.extend(dispatch.grid);
        words.push(dispatch.threads);
        words.push(dispatch.bindings.len() as u32);
        for binding in &dispatch.bindings {
            match binding {
                Binding::Memory(buffer, offset) => {
                    let (id, _) = self.buffers.get(buffer).unwrap_or_else(|| panic!("{buffer:?} is defined"));
                    words.extend([0, *id, *offset as u32, (*offset >> 32) as u32]);
                }
                Binding::Constants(constants) => {
                    words.extend([1, 4 * constants.len() as u32]);
                    words.extend(constants);
                }
                Binding::Unused => words.push(2),
            }
        }
        words.extend(dispatch.threadgroup_bytes.map_or(vec![0], |bytes| vec![1, bytes]));
        let mut command = vec![b'D'];
        command.extend((name.len() as u32).to_le_bytes());
        command.extend(name.as_bytes());
        command.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        command
    }

    /// The bytes of a buffer, or what was found on the way.
    pub fn read(&mut self, buffer: Buffer) -> Result<Vec<u8>, Finding> {
        let (id, len) = self.buffers[&buffer];
        let mut command = vec![b'R'];
        command.extend(id.to_le_bytes());
        self.send(&command);
        let mut bytes = vec![0; len];
        match self.output.read_exact(&mut bytes) {
            Ok(()) => Ok(bytes),
            Err(_) => {
                let mut text = String::new();
                let errors = self.child.stderr.as_mut().expect("it is a pipe");
                errors.read_to_string(&mut text).expect("it writes text");
                Err(text)
            }
        }
    }

    /// A buffer of numbers, or what was found on the way.
    pub fn f32s(&mut self, buffer: Buffer) -> Result<Vec<f32>, Finding> {
        let bytes = self.read(buffer)?;
        Ok(bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
    }

    /// A buffer of numbers, or what was found on the way.
    pub fn u32s(&mut self, buffer: Buffer) -> Result<Vec<u32>, Finding> {
        let bytes = self.read(buffer)?;
        Ok(bytes.as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b)).collect())
    }

    /// Sends commands.
    pub fn send(&mut self, command: &[u8]) {
        // An emulator that found something is gone; the next read tells what.
        let _ = self.input.write_all(command).and_then(|()| self.input.flush());
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
