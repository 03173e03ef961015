//! Android: the library as it is linked for phones, and its checks.

pub mod link;
pub mod native;
