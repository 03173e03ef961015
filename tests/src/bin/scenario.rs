//! Writes what the tests of Kotlin and Swift share: `scenario FOLDER` makes `model.gguf`, `slow.gguf`, `bundled.gguf` and, from
//! the engine itself, what every language must get from them: replies, a saved session, the facts of a header.

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
    scenario::save(&model, &folder.join("saved.sprat"))?;
    std::fs::write(folder.join("probe.txt"), scenario::probe(&model)?)?;
    std::fs::copy(scenario::bundled(), folder.join("bundled.gguf"))?;
    // A turn a line: prompt, reply, messages left out.
    let turns = scenario::BUNDLED_PROMPTS.iter().zip(scenario::bundled_replies()?);
    let lines: Vec<String> =
        turns.map(|(prompt, (reply, left_out))| format!("{prompt}\t{reply}\t{left_out}")).collect();
    std::fs::write(folder.join("bundled.txt"), lines.join("\n"))?;
    Ok(())
}
