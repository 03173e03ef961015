//! What the system says of this process's memory, in counters: asking takes no longer for large models.

/// Bytes of this process in memory; 0 where the system does not tell.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessBytes {
    /// What it allocated and not what it mapped from files. On Apple's systems the footprint, by which apps are ended.
    pub anonymous: usize,
    /// Of all files that it has mapped.
    pub file: usize,
}

/// Anonymous bytes of this process, by the system's own word; 0 where it does not tell.
pub fn process_anonymous_bytes() -> usize {
    ProcessBytes::now().anonymous
}

impl ProcessBytes {
    /// From `/proc/self/status`. `smaps` would tell the same by walking every page: 40 ms for 800 MB.
    #[cfg(not(target_vendor = "apple"))]
    pub fn now() -> Self {
        let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let counted = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<usize>().ok()).unwrap_or(0) * 1024
        };
        Self { anonymous: counted("RssAnon:"), file: counted("RssFile:") }
    }

    /// From the kernel's `task_info`. Compiled in every test run, not yet run on Apple's systems.
    #[cfg(target_vendor = "apple")]
    #[expect(deprecated, reason = "libc would have another crate name one function")]
    pub fn now() -> Self {
        /// `TASK_VM_INFO` of `<mach/task_info.h>`.
        const FLAVOR: libc::task_flavor_t = 22;
        /// Fields of `task_vm_info`, all but two halves of one of 64 bits, up to the last that is asked for.
        const EXTERNAL: usize = 8;
        const FOOTPRINT: usize = 18;
        let mut info = [0u64; FOOTPRINT + 1];
        let mut words = 2 * info.len() as libc::mach_msg_type_number_t;
        // SAFETY: it reads a number that is there from the start.
        let this = unsafe { libc::mach_task_self() };
        // SAFETY: `info` has room for as many 32-bit words as `words` says.
        let code = unsafe { libc::task_info(this, FLAVOR, info.as_mut_ptr().cast(), &mut words) };
        if code == libc::KERN_SUCCESS {
            Self { anonymous: info[FOOTPRINT] as usize, file: info[EXTERNAL] as usize }
        } else {
            Self::default()
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn both_counters_are_found() {
        let ProcessBytes { anonymous, file } = ProcessBytes::now();
        assert!(anonymous > 4096 && file > 4096, "{anonymous} {file}");
    }
}
