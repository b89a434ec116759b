//! Fused attention against its definition in f64: all lengths, head sizes and instruction sets.
use crate::support::{assert_close, assert_same_bits, random};
use clipwright_kernels::attention::{DQkv, Heads, HeadsMut, Layout, backward_on, forward_on, naive};
use clipwright_kernels::isa::Isa;

struct Case {
    q: Vec<usize>,
    kv: Vec<usize>,
    heads: usize,
    head_dim: usize,
    causal: bool,
}

fn offsets(lengths: &[usize]) -> Vec<usize> {
    let mut sum = 0;
    std::iter::once(0)
        .chain(lengths.iter().map(|n| {
            sum += n;
            sum
        }))
        .collect()
}

impl Case {
    fn new(q: &[usize], kv: &[usize], heads: usize, head_dim: usize, causal: bool) -> Self {
        Case { q: offsets(q), kv: offsets(kv), heads, head_dim, causal }
    }

    fn square(lengths: &[usize], heads: usize, head_dim: usize, causal: bool) -> Self {
        Case::new(lengths, lengths, heads, head_dim, causal)
    }

    fn layout(&self) -> Layout<'_> {
        let Case { q, kv, heads, head_dim, causal } = self;
        Layout { q_offsets: q, kv_offsets: kv, heads: *heads, head_dim: *head_dim, causal: *causal }
    }

    fn rows(&self) -> (usize, usize, usize) {
        (*self.q.last().unwrap(), *self.kv.last().unwrap(), self.heads * self.head_dim)
    }
}

/// One block of the main path, several, their edges; the few-query path; empty sequences; odd head sizes.
fn cases() -> Vec<Case> {
    vec![
        Case::square(&[50, 50], 3, 64, false),
        Case::square(&[1, 2, 3, 4, 5, 47, 48, 49], 2, 64, false),
        Case::square(&[1, 2, 3, 4, 7, 10, 24, 25, 77], 2, 64, true),
        Case::square(&[129, 300], 1, 64, false),
        Case::square(&[129, 300], 1, 64, true),
        Case::square(&[0, 6, 0], 2, 16, false),
        Case::square(&[9, 33], 2, 20, true),
        Case::square(&[9, 33, 3], 2, 80, false),
        Case::square(&[5, 2], 3, 7, false),
        Case::new(&[1, 1, 1], &[50, 1, 77], 2, 64, false),
        Case::new(&[1, 1, 3], &[10, 1, 140], 2, 64, true),
        Case::new(&[5, 30], &[200, 30], 2, 32, true),
        Case::new(&[60, 0, 4], &[3, 2, 130], 2, 32, false),
    ]
}

/// Inputs as they occur: q|k|v interleaved in rows that are wider than need be, and all outputs full of NaN.
struct Data {
    qkv: Vec<f32>,
    stride: usize,
    dout: Vec<f32>,
}

impl Data {
    fn new(case: &Case) -> Self {
        let (queries, keys, width) = case.rows();
        let stride = 3 * width + 5;
        // Scores of standard deviation 2 or so: a softmax that is neither flat nor one-hot.
        let mut qkv = random(3, queries.max(keys) * stride);
        qkv.iter_mut().for_each(|x| *x *= 2.5);
        Data { qkv, stride, dout: random(4, queries * width) }
    }

    fn heads(&self, column: usize) -> Heads<'_> {
        Heads { data: self.qkv.get(column..).unwrap_or_default(), row_stride: self.stride }
    }
}

type Forward<'a> = &'a dyn Fn(Layout, Heads, Heads, Heads, HeadsMut, &mut [f32]);
type Backward<'a> = &'a dyn Fn(Layout, Heads, Heads, Heads, Heads, &[f32], Heads, DQkv);

/// out, lse, dq, dkv
fn run(case: &Case, forward: Forward, backward: Backward) -> [Vec<f32>; 4] {
    let ((queries, keys, width), data) = (case.rows(), Data::new(case));
    let (q, k, v) = (data.heads(0), data.heads(width), data.heads(2 * width));
    let (mut out, mut lse) = (vec![f32::NAN; queries * width], vec![f32::NAN; case.heads * queries]);
    forward(case.layout(), q, k, v, HeadsMut { data: &mut out, row_stride: width }, &mut lse);
    let (mut dq, mut dkv) = (vec![f32::NAN; queries * width], vec![f32::NAN; keys * 2 * width]);
    let (rows, dout) = (Heads { data: &out, row_stride: width }, Heads { data: &data.dout, row_stride: width });
    backward(case.layout(), q, k, v, rows, &lse, dout, DQkv::Split { dq: &mut dq, dkv: &mut dkv });
    [out, lse, dq, dkv]
}

fn run_on(isa: Isa, case: &Case) -> [Vec<f32>; 4] {
    run(case, &|l, q, k, v, out, lse| forward_on(isa, l, q, k, v, out, lse), &|l, q, k, v, out, lse, dout, dqkv| {
        backward_on(isa, l, q, k, v, out, lse, dout, dqkv)
    })
}

#[test]
fn every_isa_is_the_definition() {
    for case in cases() {
        let expected = run(&case, &naive::forward, &naive::backward);
        for isa in Isa::available() {
            let actual = run_on(isa, &case);
            let what = format!("{:?}→{:?}, {}×{} on {isa:?}", case.q, case.kv, case.heads, case.head_dim);
            for (name, (actual, expected)) in ["out", "lse", "dq", "dkv"].iter().zip(actual.iter().zip(&expected)) {
                // A sum of head_dim products of size ≤ 6 errs by √80·6·ε ≈ 6e-6; the exponential passes that on to all
                // probabilities, and at most ~10 of them, times operands ≤ 2.5, add up in an element.
                let largest = expected.iter().fold(1.0f32, |a, b| a.max(b.abs()));
                assert_close(&format!("{what}: {name}"), actual, expected, 4e-6 * largest.max(2.5));
            }
        }
    }
}

#[test]
fn packed_gradients_are_the_split_ones() {
    for isa in Isa::available() {
        let case = Case::square(&[50, 3, 20], 2, 32, true);
        let ((rows, _, width), data) = (case.rows(), Data::new(&case));
        let [out, lse, dq, dkv] = run_on(isa, &case);
        let mut packed = vec![f32::NAN; rows * 3 * width];
        let (q, k, v) = (data.heads(0), data.heads(width), data.heads(2 * width));
        let (out, dout) = (Heads { data: &out, row_stride: width }, Heads { data: &data.dout, row_stride: width });
        backward_on(isa, case.layout(), q, k, v, out, &lse, dout, DQkv::Packed(&mut packed));
        for (i, row) in packed.chunks(3 * width).enumerate() {
            assert_eq!(row[..width], dq[i * width..][..width]);
            assert_eq!(row[width..], dkv[i * 2 * width..][..2 * width]);
        }
    }
}

#[test]
fn same_bits_on_any_number_of_threads() {
    for case in
        [Case::square(&[50; 5], 8, 64, false), Case::square(&[577], 2, 64, false), Case::square(&[77; 9], 4, 64, true)]
    {
        assert_same_bits(|| run_on(Isa::best(), &case).concat());
    }
}

#[test]
fn scores_far_apart_neither_overflow_nor_vanish() {
    let case = Case::square(&[200], 1, 16, false);
    for isa in Isa::available() {
        let mut x = random(9, 200 * 16);
        x.iter_mut().for_each(|x| *x *= 60.0);
        let heads = Heads { data: &x, row_stride: 16 };
        let (mut out, mut lse) = (vec![f32::NAN; x.len()], vec![f32::NAN; 200]);
        forward_on(isa, case.layout(), heads, heads, heads, HeadsMut { data: &mut out, row_stride: 16 }, &mut lse);
        assert!(out.iter().chain(&lse).all(|x| x.is_finite()));
    }
}

#[test]
#[should_panic(expected = "sequence 0 has query rows 0..3 and key rows 0..2")]
fn causal_queries_need_keys() {
    let _ = run_on(Isa::best(), &Case::new(&[3], &[2], 1, 16, true));
}
