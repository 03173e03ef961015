//! Runs programs inside a part's minutes; a program that hangs is ended together with its children.

use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::parts::Context;

/// How often a running program is looked at: short beside any step, free beside any build.
const POLL: Duration = Duration::from_millis(50);

/// One program with its arguments, started in the workspace root without standard input.
pub struct Program {
    name: String,
    shown: String,
    command: Command,
}

impl Program {
    /// A program looked up on the path.
    pub fn new(context: &Context, name: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(&name);
        command.current_dir(&context.root).stdin(Stdio::null());
        let name = name.as_ref().to_string_lossy().into_owned();
        Self { shown: name.clone(), name, command }
    }

    /// The cargo that started us.
    pub fn cargo(context: &Context) -> Self {
        let mut program = Self::new(context, std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        program.name = "cargo".into();
        program.shown = "cargo".into();
        program
    }

    /// Adds arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        for arg in args {
            self.shown.push(' ');
            self.shown += &arg.as_ref().to_string_lossy();
            self.command.arg(arg);
        }
        self
    }

    /// Starts it in another folder.
    pub fn inside(mut self, folder: &Path) -> Self {
        self.shown = format!("(cd {} && {})", folder.display(), self.shown);
        self.command.current_dir(folder);
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.shown = format!("{key}='{}' {}", value.as_ref().to_string_lossy(), self.shown);
        self.command.env(key, value);
        self
    }

    /// Writes what it says on standard error to a file.
    pub fn errors_to(mut self, path: &Path) -> Result<Self> {
        let file = File::create(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
        self.shown += &format!(" 2> {}", path.display());
        self.command.stderr(file);
        Ok(self)
    }

    /// Shows the command, runs it with its output passed through, and waits.
    pub fn run(mut self, context: &Context) -> Result<()> {
        println!("$ {}", self.shown);
        let child = self.start()?;
        let status = wait(child, context)?;
        if status.success() { Ok(()) } else { Err(Error::Failed { program: self.name, status }) }
    }

    /// Runs it silently; what it prints on standard output, without the line end.
    pub fn output(mut self) -> Result<String> {
        self.command.stdout(Stdio::piped()).stderr(Stdio::null());
        let output = self
            .start()?
            .wait_with_output()
            .map_err(|source| Error::NotStarted { program: self.name.clone(), source })?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
        } else {
            Err(Error::Failed { program: self.name, status: output.status })
        }
    }

    fn start(&mut self) -> Result<Child> {
        self.command.spawn().map_err(|source| Error::NotStarted { program: self.name.clone(), source })
    }
}

fn wait(mut child: Child, context: &Context) -> Result<ExitStatus> {
    loop {
        if let Some(status) = child
            .try_wait()
            .map_err(|source| Error::NotStarted { program: format!("process {}", child.id()), source })?
        {
            return Ok(status);
        }
        if Instant::now() >= context.deadline {
            end_tree(&mut child);
            return Err(Error::OverBudget { budget: context.budget });
        }
        thread::sleep(POLL);
    }
}

/// Ends a process and what it started. Its children stay in our process group, so that Ctrl-C reaches all of them;
/// therefore they are looked up in /proc. Where there is none, only the process itself is ended.
fn end_tree(child: &mut Child) {
    // A process that has ended meanwhile is what we want: its error is no news.
    let signal = |name: &str, id: u32| {
        let _ = Command::new("kill").args([name, &id.to_string()]).stderr(Stdio::null()).status();
    };
    let mut tree = vec![child.id()];
    let mut next = 0;
    while next < tree.len() {
        // Stopped first, so that it starts no more while we look for what it has started.
        signal("-STOP", tree[next]);
        tree.extend(parents().iter().filter(|(_, of)| *of == tree[next]).map(|(id, _)| *id).collect::<Vec<_>>());
        next += 1;
    }
    for id in &tree[1..] {
        signal("-KILL", *id);
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// Every process as (id, parent's id).
fn parents() -> Vec<(u32, u32)> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let id = entry.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            // "id (name) state parent …"; the name may itself hold spaces and brackets.
            let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
            Some((id, parent))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_program_over_its_budget_is_ended_with_its_children() {
        let budget = Duration::from_millis(300);
        let context = Context::new(budget);
        let start = Instant::now();
        let result = Program::new(&context, "sh").args(["-c", "sleep 31.25; true"]).run(&context);
        assert!(matches!(result, Err(Error::OverBudget { .. })), "{result:?}");
        let sleeps =
            |id: u32| std::fs::read(format!("/proc/{id}/cmdline")).is_ok_and(|line| line == b"sleep\x0031.25\0");
        while parents().iter().any(|(id, _)| sleeps(*id)) {
            // The signal is sent; dying takes a moment.
            assert!(start.elapsed() < Duration::from_secs(28), "a child is left");
            thread::sleep(POLL);
        }
    }

    #[test]
    fn a_failing_program_is_named_with_its_status() {
        let context = Context::new(Duration::from_secs(20));
        let error = Program::new(&context, "sh").args(["-c", "exit 3"]).run(&context).expect_err("exit 3");
        assert!(error.to_string().contains("sh ended") && error.to_string().contains("status: 3"), "{error}");
    }

    #[test]
    fn an_absent_program_is_named() {
        let context = Context::new(Duration::from_secs(20));
        let error = Program::new(&context, "no-such-program").run(&context).expect_err("absent");
        assert!(error.to_string().contains("no-such-program"), "{error}");
    }
}
