//! `sprat bake`: a session that has read its instructions already, as a file an app ships.

use sprat::Session;

use crate::args::Args;
use crate::failure::{Failure, print};

/// Reads the instructions once, here, so that no phone has to.
pub fn bake(args: &Args) -> Result<(), Failure> {
    let out = args.need(&args.out, "--out")?;
    if args.system.is_none() {
        return Err(Failure::Usage("bake needs --system TEXT".to_owned()));
    }
    let session = Session::new(&args.open()?, args.session_options())?;
    let tokens = session.prewarm()?;
    session.save(out)?;
    let bytes = std::fs::metadata(out).map_err(crate::failure::io(out))?.len();
    print(&format!("{}: {tokens} tokens, {:.1} MB\n", out.display(), bytes as f64 / 1e6))
}
