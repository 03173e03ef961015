//! Packages for Android: built, checked, and compiled against.

mod aar;
mod checks;
pub mod link;
pub mod native;

use crate::error::Result;
use crate::kotlin;
use crate::package::{Check, judge};
use crate::parts::Context;

/// The everyday part, without pages about the API: the phone's library as it is shipped, the emulator's compiled quickly, since only its form is looked at.
pub fn check(context: &Context) -> Result<()> {
    run(context, false, |abi| if abi == link::ARM64.name { "release" } else { "structure" })
}

/// `cargo xtask android`: everything as it is shipped.
pub fn package(context: &Context) -> Result<()> {
    run(context, true, |_| "release")
}

fn run(context: &Context, with_pages: bool, profile: impl Fn(&str) -> &'static str) -> Result<()> {
    let classes = kotlin::classes(context, with_pages)?;
    let aar = aar::build(context, &classes, profile)?;
    let all: Vec<&Check> =
        native::CHECKS.iter().chain(checks::CHECKS).chain(with_pages.then_some(&checks::PAGES)).collect();
    judge(&aar.unpacked, &all)?;
    kotlin::consumer(context, &aar.unpacked)?;
    println!("{}", aar.repository.parent().unwrap_or(&aar.repository).display());
    Ok(())
}
