//! `sprat-generate LIBRARY CONFIG OUT`: writes the Kotlin and Swift sources that call the library into OUT.
//!
//! The library is a build of sprat-ffi whose symbols are not stripped: what it exports is described in it.

use std::process::ExitCode;

use uniffi::{GenerateOptions, TargetLanguage};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [library, config, out] = args.as_slice() else {
        eprintln!("usage: sprat-generate LIBRARY CONFIG OUT");
        return ExitCode::from(2);
    };
    for (language, folder) in [(TargetLanguage::Kotlin, "kotlin"), (TargetLanguage::Swift, "swift")] {
        let options = GenerateOptions {
            languages: vec![language],
            source: library.into(),
            out_dir: format!("{out}/{folder}").into(),
            config_override: Some(config.into()),
            ..Default::default()
        };
        if let Err(error) = uniffi::generate(options) {
            eprintln!("sprat-generate: {error:#}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
