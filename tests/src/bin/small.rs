//! Writes one of the tests' small model files: `small FAMILY KIND PATH [SEED]`, for programs outside to read.

use std::process::ExitCode;

use sprat_gguf::TensorKind;
use sprat_tests::families::FAMILIES;
use sprat_tests::small::Small;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (name, kind, path, seed) = match args.as_slice() {
        [name, kind, path] => (name, kind, path, Ok(1)),
        [name, kind, path, seed] => (name, kind, path, seed.parse()),
        _ => {
            eprintln!("usage: small FAMILY KIND PATH [SEED]");
            return ExitCode::from(2);
        }
    };
    let family = FAMILIES.iter().find(|family| family.name == name);
    let (Some(family), Some(kind), Ok(seed)) = (family, TensorKind::from_name(kind), seed) else {
        let names: Vec<&str> = FAMILIES.iter().map(|family| family.name).collect();
        eprintln!("small: families are {names:?}; kinds are GGUF's names, seeds are numbers");
        return ExitCode::from(2);
    };
    match std::fs::write(path, (Small { seed, ..Small::new(family.name, kind) }).bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("small: {path}: {error}");
            ExitCode::FAILURE
        }
    }
}
