//! The arm64 Android library as it is shipped: how large it is, and whether Android can load it.

use crate::android::{link, native};
use crate::bindings::mirror;
use crate::error::Result;
use crate::package::{Check, clear, judge};
use crate::parts::Context;

/// Links, strips, checks.
pub fn run(context: &Context) -> Result<()> {
    let (_, stripped) = link::library(context, &link::ARM64, "release")?;
    let root = context.target.join("xtask/size");
    clear(&root)?;
    mirror(
        &stripped,
        &root.join(native::FOLDER).join(link::ARM64.name).join(stripped.file_name().unwrap_or_default()),
    )?;
    judge(&root, &native::CHECKS.iter().collect::<Vec<&Check>>())
}
