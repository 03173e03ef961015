//! Writes one of the tests' small model files: `small ARCHITECTURE KIND PATH`, for programs outside to read.

use std::process::ExitCode;

use sprat_gguf::TensorKind;
use sprat_tests::small::{ARCHITECTURES, Small};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [architecture, kind, path] = args.as_slice() else {
        eprintln!("usage: small ARCHITECTURE KIND PATH");
        return ExitCode::from(2);
    };
    let architecture = ARCHITECTURES.into_iter().find(|a| a == architecture);
    let (Some(architecture), Some(kind)) = (architecture, TensorKind::from_name(kind)) else {
        eprintln!("small: architectures are {ARCHITECTURES:?}; kinds are GGUF's names");
        return ExitCode::from(2);
    };
    match std::fs::write(path, Small::new(architecture, kind).bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("small: {path}: {error}");
            ExitCode::FAILURE
        }
    }
}
