//! The command `sprat` against llama.cpp: logits of small generated files, compared by the scripts in tests/conformance.

use crate::error::Result;
use crate::parts::Context;
use crate::process::Program;

/// Where the scripts are, and the list of Python packages they need.
const SCRIPTS: &str = "tests/conformance";

/// Builds the command as users do and the program that writes the files, prepares Python, and lets the scripts judge.
pub fn run(context: &Context) -> Result<()> {
    Program::cargo(context)
        .args(["build", "--release", "--locked", "-p", "sprat-cli", "-p", "sprat-tests", "--bins"])
        .run(context)?;
    let environment = context.target.join("xtask/python");
    let python = environment.join("bin/python");
    if !python.is_file() {
        Program::new(context, "python3").args(["-m", "venv"]).args([&environment]).run(context)?;
    }
    // llama-cpp-python comes as source: the first time this builds llama.cpp, some ten minutes on two cores.
    let requirements = format!("{SCRIPTS}/requirements.txt");
    Program::new(context, &python).args(["-m", "pip", "install", "-q", "-r", &requirements]).run(context)?;
    let built = ["sprat", "small"].map(|name| context.target.join("release").join(name));
    for script in ["check.py", "experts.py"] {
        Program::new(context, &python).args([format!("{SCRIPTS}/{script}")]).args(&built).run(context)?;
    }
    Ok(())
}
