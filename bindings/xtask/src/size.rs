//! The arm64 Android library as it is shipped: how large it is, and whether Android can load it.

use crate::android::{link, native};
use crate::bindings::mirror;
use crate::error::{Error, Result};
use crate::needs::ARM64;
use crate::package::{Check, clear, judge};
use crate::parts::Context;
use crate::process::Program;

/// What belongs to GPUs of Apple's systems.
const OF_APPLE: [&str; 3] = ["sprat-metal ", "candle-metal-kernels ", "objc2"];

/// Links, strips, checks.
pub fn run(context: &Context) -> Result<()> {
    for target in [link::ARM64.target, ARM64] {
        // Without them it is the library it would be if they did not exist.
        let tree = ["tree", "-p", "sprat-ffi", "-e", "normal", "--prefix", "none", "--locked", "--target", target];
        let tree = Program::cargo(context).args(tree).output()?;
        if let Some(line) = tree.lines().find(|line| OF_APPLE.iter().any(|name| line.starts_with(name))) {
            return Err(Error::Fault(format!("{line} is in the library for {target}")));
        }
    }
    let (_, stripped) = link::library(context, &link::ARM64, "release")?;
    let root = context.target.join("xtask/size");
    clear(&root)?;
    mirror(
        &stripped,
        &root.join(native::FOLDER).join(link::ARM64.name).join(stripped.file_name().unwrap_or_default()),
    )?;
    judge(&root, &native::CHECKS.iter().collect::<Vec<&Check>>())
}
