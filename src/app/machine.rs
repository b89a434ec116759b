//! The machine that a program runs on.

use std::env::consts::ARCH;
use std::fs;
use std::process::Command;

/// Returns the name of the processor, or else of its architecture.
pub(crate) fn processor() -> String {
    let linux = || {
        let text = fs::read_to_string("/proc/cpuinfo").ok()?;
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.to_owned())
    };
    let macos = || {
        let output = Command::new("/usr/sbin/sysctl").args(["-n", "machdep.cpu.brand_string"]).output().ok()?;
        String::from_utf8(output.stdout).ok()
    };
    let named = if cfg!(target_os = "macos") { macos() } else { linux() };
    named.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).unwrap_or_else(|| ARCH.into())
}
