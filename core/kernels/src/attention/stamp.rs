//! The macro that compiles the attention kernels once more, with the CPU features of one instruction set.

/// An `AttentionOps` whose functions carry the given attributes and use the given vector type.
macro_rules! attention_ops {
    ($(#[$features:meta])* $vector:ty) => {{
        use $crate::attention::{self, Attend, State};

        $(#[$features])*
        fn attend(page: &Attend<'_>, state: &mut State<'_>, scratch: &mut [f32]) {
            attention::page::attend::<$vector>(page, state, scratch)
        }
        $(#[$features])*
        fn merge(state: &mut State<'_>, later: &State<'_>) {
            attention::state::merge(state, later)
        }
        $(#[$features])*
        fn finish(state: &State<'_>, sinks: Option<&[f32]>, out: &mut [f32]) {
            attention::state::finish(state, sinks, out)
        }
        AttentionOps { attend, merge, finish }
    }};
}
pub(crate) use attention_ops;
