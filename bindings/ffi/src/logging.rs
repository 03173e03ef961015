//! Where log lines go: to Android's log, to a sink of the platform (Swift's os.Logger), else to standard error.

use std::sync::{Arc, Once, PoisonError, RwLock};

use log::{LevelFilter, Log, Metadata, Record};

use crate::error::FfiError;

/// How much is logged. No level ever shows text of a prompt or a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// What failed.
    Error,
    /// What will matter soon; the default.
    Warn,
    /// What happened.
    Info,
    /// How it happened.
    Debug,
}

/// Takes log lines; called on any thread.
#[uniffi::export(foreign)]
pub trait LogSink: Send + Sync {
    /// Takes one line.
    fn line(&self, level: LogLevel, text: String);
}

static SINK: RwLock<Option<Arc<dyn LogSink>>> = RwLock::new(None);

/// Sets how much is logged.
#[uniffi::export]
pub fn set_log_level(level: LogLevel) -> Result<(), FfiError> {
    install();
    log::set_max_level(filter(level));
    Ok(())
}

/// Hands log lines to `sink` instead; none goes back to the platform's own log.
#[uniffi::export]
pub fn set_log_sink(sink: Option<Arc<dyn LogSink>>) -> Result<(), FfiError> {
    install();
    *SINK.write().unwrap_or_else(PoisonError::into_inner) = sink;
    Ok(())
}

/// Makes this the process's logger, unless the app has one already.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if log::set_logger(&Forward).is_ok() {
            log::set_max_level(LevelFilter::Warn);
        }
    });
}

struct Forward;

impl Log for Forward {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        match &*SINK.read().unwrap_or_else(PoisonError::into_inner) {
            Some(sink) => sink.line(level(record.level()), record.args().to_string()),
            None => platform(record),
        }
    }

    fn flush(&self) {}
}

#[cfg(target_os = "android")]
fn platform(record: &Record<'_>) {
    static LOGGER: std::sync::OnceLock<android_logger::AndroidLogger> = std::sync::OnceLock::new();
    let logger = LOGGER.get_or_init(|| {
        let config = android_logger::Config::default().with_tag("sprat").with_max_level(LevelFilter::Trace);
        android_logger::AndroidLogger::new(config)
    });
    logger.log(record);
}

#[cfg(not(target_os = "android"))]
fn platform(record: &Record<'_>) {
    eprintln!("sprat: {}: {}", record.level(), record.args());
}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Off => LevelFilter::Off,
        LogLevel::Error => LevelFilter::Error,
        LogLevel::Warn => LevelFilter::Warn,
        LogLevel::Info => LevelFilter::Info,
        LogLevel::Debug => LevelFilter::Debug,
    }
}

fn level(level: log::Level) -> LogLevel {
    match level {
        log::Level::Error => LogLevel::Error,
        log::Level::Warn => LogLevel::Warn,
        log::Level::Info => LogLevel::Info,
        log::Level::Debug | log::Level::Trace => LogLevel::Debug,
    }
}
