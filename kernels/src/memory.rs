//! Large blocks of memory on large pages.

/// The larger kind of page, in bytes, on x86-64 and on most of aarch64.
#[cfg(target_os = "linux")]
const PAGE: usize = 2 << 20;

/// `len` zeros, on large pages where the system has them for who asks.
///
/// A page is cleared when it is first touched, and 512 small ones at once take a fraction of the time. Later the
/// processor has to look up fewer of them: a single picture reads each of a model's weights once.
pub fn zeros(len: usize) -> Vec<f32> {
    let zeros = vec![0.0; len];
    #[cfg(target_os = "linux")]
    ask_for_large_pages(&zeros);
    zeros
}

#[cfg(target_os = "linux")]
fn ask_for_large_pages(block: &[f32]) {
    let first = block.as_ptr().cast::<u8>();
    let before = first.align_offset(PAGE);
    let whole = size_of_val(block).saturating_sub(before) / PAGE * PAGE;
    if whole > 0 {
        // SAFETY: whole pages within `block`, whose contents the advice leaves as they are. A system that knows no large
        // pages refuses, and nothing has changed.
        unsafe { libc::madvise(first.wrapping_add(before).cast_mut().cast(), whole, libc::MADV_HUGEPAGE) };
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn zeros_of_any_length() {
        for len in [0, 1, 1000, (2 << 20) - 1, 5 << 20] {
            let mut zeros = super::zeros(len);
            assert!(zeros.len() == len && zeros.iter().all(|&x| x == 0.0), "{len}");
            zeros.fill(1.0);
            assert!(zeros.iter().all(|&x| x == 1.0), "{len}");
        }
    }
}
