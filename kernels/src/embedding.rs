//! Table look-up and its gradient.

/// y\[i\] = table\[index\[i\]\]; rows of `width`.
pub fn gather(table: &[f32], index: &[u32], width: usize, y: &mut [f32]) {
    todo!()
}

/// dtable\[index\[i\]\] += dy\[i\], each table row in the order of i, so that the bits do not depend on the threads.
pub fn scatter_add(dy: &[f32], index: &[u32], width: usize, dtable: &mut [f32]) {
    todo!()
}
