//! Writes one of the tests' small model files: `small FAMILY KIND PATH`, for programs outside to read.

use std::process::ExitCode;

use sprat_gguf::TensorKind;
use sprat_tests::families::FAMILIES;
use sprat_tests::small::Small;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [name, kind, path] = args.as_slice() else {
        eprintln!("usage: small FAMILY KIND PATH");
        return ExitCode::from(2);
    };
    let family = FAMILIES.iter().find(|family| family.name == name);
    let (Some(family), Some(kind)) = (family, TensorKind::from_name(kind)) else {
        let names: Vec<&str> = FAMILIES.iter().map(|family| family.name).collect();
        eprintln!("small: families are {names:?}; kinds are GGUF's names");
        return ExitCode::from(2);
    };
    match std::fs::write(path, Small::new(family.name, kind).bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("small: {path}: {error}");
            ExitCode::FAILURE
        }
    }
}
