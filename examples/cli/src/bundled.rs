//! The model in the repository: where it is, and what it is told when nothing else was asked for.

use std::path::Path;

use crate::failure::Failure;

/// Its tools are what an app offers it; here every one that it knows.
pub const INSTRUCTIONS: &str = "You are Sprat, a phone helper. Tools: set_alarm, cancel_alarm, list_alarms, set_timer, \
     cancel_timer, check_timer, set_reminder, send_text, call, play_music, media, flashlight, volume, brightness, setting, \
     weather, calendar, add_event, open_app, navigate, take_photo, add_to_list, show_list, make_note, clock, battery";

/// Its path, found from where this program was built.
pub fn path() -> Result<&'static Path, Failure> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../models/sprat-tiny-q8_0.gguf"));
    if path.is_file() { Ok(path) } else { Err(Failure::NoModel { path }) }
}
