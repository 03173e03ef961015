//! The Swift package: built in Swift 6 mode without warnings and tested, against this machine's library.
//!
//! Debian has a Swift 6 from release 13 on; so that any Debian will do, it runs in a folder that holds a small Debian 13.

use std::path::PathBuf;

use crate::bindings::{Block, SWIFT, mirror, prepare, reflect, shown};
use crate::error::{Error, Result};
use crate::parts::Context;
use crate::process::Program;

/// The release that has the compiler, and what it needs to compile for itself.
const RELEASE: &str = "trixie";
const INSTALL: &str = "export DEBIAN_FRONTEND=noninteractive; apt-get -q update && apt-get -q install -y \
    --no-install-recommends swiftlang ca-certificates libc6-dev libstdc++-14-dev && apt-get clean";

/// An app's manifest, and how a model is fetched.
const MANIFEST: Block = Block("README.md", "swift", 1);
const DOWNLOAD: Block = Block("docs/shipping.md", "swift", 0);

/// Runs `$3` in the folder `$2`, seen as /mnt/work inside `$1`. The mounts are private and vanish with the process; the
/// compiler finds its own libraries through /proc.
const INSIDE: &str = "mount -t proc proc \"$1/proc\" && mkdir -p \"$1/mnt/work\" && \
    mount --bind \"$2\" \"$1/mnt/work\" && exec chroot \"$1\" /usr/bin/env HOME=/root SPRAT_SCENARIO=/mnt/work/scenario \
    PATH=/usr/bin:/bin:/usr/sbin:/sbin bash -c \"cd /mnt/work && $3\"";

/// Lays the package out as the one that apps get, and lets SwiftPM build and test it; then an app that has only read README.md.
pub fn run(context: &Context) -> Result<()> {
    let prepared = prepare(context)?;
    let system = install(context)?;
    let folder = context.target.join("xtask/swift");
    let (package, app) = (folder.join("Sprat"), folder.join("App"));
    let source = context.root.join("ios");
    mirror(&source, &package)?;
    // What is compiled is what lies there, so what is gone from the sources must go.
    for part in ["Sources/Sprat", "Tests", "Sample.swiftpm"] {
        reflect(&source.join(part), &package.join(part))?;
    }
    mirror(&prepared.scenario, &folder.join("scenario"))?;
    for (name, place) in [("SpratBindings.swift", "SpratBindings"), ("SpratFFI.h", "SpratFFI")] {
        mirror(&prepared.generated.join("swift").join(name), &package.join("Sources").join(place).join(name))?;
    }
    prepared.library_into(&package.join("native"))?;
    shown(context, &SWIFT, &[], &app.join("Sources/App/main.swift"))?;
    shown(context, &MANIFEST, &[("path/to/sprat/target/packages/ios/Sprat", "../Sprat")], &app.join("Package.swift"))?;
    shown(context, &DOWNLOAD, &[], &folder.join("Download.swift"))?;
    // The compiler tells a warning only when it compiles: they are errors, so that the next run tells it too. Of what is for
    // Apple's systems alone it reads the grammar, since their frameworks are not here.
    let command = "cd Sprat && swift build --build-tests -Xswiftc -warnings-as-errors && swift test --skip-build && \
        swiftc -frontend -parse -swift-version 6 -parse-as-library Sample.swiftpm/App/*.swift ../Download.swift && \
        cd ../App && swift build -Xswiftc -warnings-as-errors && cd ../scenario && ../App/.build/debug/App";
    root(context)?
        .args(["unshare", "-m", "--propagation", "private", "bash", "-c", INSIDE, "inside"])
        .args([system.as_os_str(), folder.as_os_str(), command.as_ref()])
        .run(context)
}

/// The folder with the compiler; made the first time: two minutes, half a gigabyte to fetch, 3 GB on disk.
fn install(context: &Context) -> Result<PathBuf> {
    let system = cache()?.join("sprat/swift");
    // The folder is renamed to this once it is complete. Its compiler is a link with a path that holds inside it only.
    if system.exists() {
        return Ok(system);
    }
    let part = system.with_extension("part");
    root(context)?.args(["rm", "-rf"]).args([&part]).run(context)?;
    root(context)?.args(["debootstrap", "--variant=minbase", RELEASE]).args([&part]).run(context)?;
    root(context)?.args(["chroot".as_ref(), part.as_os_str()]).args(["bash", "-c", INSTALL]).run(context)?;
    // Only what is complete has its name.
    root(context)?.args(["mv", "-T"]).args([&part, &system]).run(context)?;
    Ok(system)
}

/// Where programs keep what they can fetch again.
fn cache() -> Result<PathBuf> {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(home)
        .ok_or(Error::Missing { what: "a folder for what was fetched".into(), install: "export HOME=…".into() })
}

/// A program's beginning that runs it as root.
fn root(context: &Context) -> Result<Program> {
    let is_root = Program::new(context, "id").args(["-u"]).output()? == "0";
    Ok(if is_root { Program::new(context, "env") } else { Program::new(context, "sudo").args(["-n"]) })
}
