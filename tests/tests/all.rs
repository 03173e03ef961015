//! The one integration-test binary: each module is a theme, its first line says which.

mod bindings;
mod conformance;
mod events;
mod faults;
mod forward;
mod lossy;
mod opening;
mod saves;
mod sessions;
mod states;
mod tidy;
mod tiny;
