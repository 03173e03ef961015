//! Writes what the tests of Kotlin and Swift share: `scenario FOLDER` makes `model.gguf`, `slow.gguf` and, from the engine
//! itself, the replies that every language must give to the same three prompts.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use sprat_tests::scenario;

fn main() -> ExitCode {
    let Some(folder) = std::env::args().nth(1) else {
        eprintln!("usage: scenario FOLDER");
        return ExitCode::from(2);
    };
    match write(Path::new(&folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scenario: {folder}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write(folder: &Path) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(folder)?;
    let model = folder.join("model.gguf");
    std::fs::write(&model, scenario::model().bytes())?;
    std::fs::write(folder.join("slow.gguf"), scenario::slow_model().bytes())?;
    for (i, reply) in scenario::replies(&model)?.iter().enumerate() {
        std::fs::write(folder.join(format!("reply-{i}.txt")), reply)?;
    }
    Ok(())
}
