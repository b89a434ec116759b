//! Views of matrices.

/// A read-only matrix: element (i, j) is `data[i·row_stride + j·col_stride]`.
#[derive(Clone, Copy, Debug)]
pub struct Mat<'a> {
    pub data: &'a [f32],
    pub rows: usize,
    pub cols: usize,
    pub row_stride: usize,
    pub col_stride: usize,
}

impl<'a> Mat<'a> {
    /// Views `data` as a row-major `rows × cols` matrix.
    #[track_caller]
    pub fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        assert_eq!(data.len(), rows * cols, "{rows}×{cols} matrix");
        Mat { data, rows, cols, row_stride: cols, col_stride: 1 }
    }

    /// Transposes the view; no data moves.
    pub fn t(self) -> Self {
        Mat { rows: self.cols, cols: self.rows, row_stride: self.col_stride, col_stride: self.row_stride, ..self }
    }

    /// Keeps rows `first..first + rows`.
    pub(super) fn rows_from(self, first: usize, rows: usize) -> Self {
        Mat { data: self.data.get(first * self.row_stride..).unwrap_or(&[]), rows, ..self }
    }

    /// Panics unless the matrix has this shape and lies within its data.
    #[track_caller]
    pub(super) fn check(&self, name: &str, shape: (usize, usize)) {
        assert_eq!((self.rows, self.cols), shape, "gemm {name}: shape");
        assert!(
            fits(self.data.len(), shape, self.row_stride, self.col_stride),
            "gemm {name}: {}×{} with strides {} and {} in {} elements",
            self.rows,
            self.cols,
            self.row_stride,
            self.col_stride,
            self.data.len()
        );
    }
}

/// A writable matrix with contiguous rows: element (i, j) is `data[i·row_stride + j]`.
#[derive(Debug)]
pub struct MatMut<'a> {
    pub data: &'a mut [f32],
    pub rows: usize,
    pub cols: usize,
    pub row_stride: usize,
}

impl<'a> MatMut<'a> {
    /// Views `data` as a row-major `rows × cols` matrix.
    #[track_caller]
    pub fn new(data: &'a mut [f32], rows: usize, cols: usize) -> Self {
        assert_eq!(data.len(), rows * cols, "{rows}×{cols} matrix");
        MatMut { data, rows, cols, row_stride: cols }
    }

    /// Panics unless the matrix has this shape, lies within its data, and its rows do not overlap.
    #[track_caller]
    pub(super) fn check(&self, name: &str, shape: (usize, usize)) {
        assert_eq!((self.rows, self.cols), shape, "gemm {name}: shape");
        assert!(
            fits(self.data.len(), shape, self.row_stride, 1) && (self.row_stride >= self.cols || self.rows <= 1),
            "gemm {name}: {}×{} with row stride {} in {} elements",
            self.rows,
            self.cols,
            self.row_stride,
            self.data.len()
        );
    }
}

/// Whether the last element of a strided matrix lies within `len` elements.
fn fits(len: usize, (rows, cols): (usize, usize), row_stride: usize, col_stride: usize) -> bool {
    if rows == 0 || cols == 0 {
        return true;
    }
    let last = (|| (rows - 1).checked_mul(row_stride)?.checked_add((cols - 1).checked_mul(col_stride)?))();
    last.is_some_and(|last| last < len)
}
