//! Fused attention against its definition in f64: all lengths, ranges, head sizes and instruction sets.
use crate::support::{assert_close, assert_same_bits, random};
use clipwright_kernels::Write;
use clipwright_kernels::attention::{DQkv, Heads, HeadsMut, Layout, backward_on, forward_on, naive};
use clipwright_kernels::dropout::{self, Dropout, Unit};
use clipwright_kernels::isa::Isa;
use std::ops::Range;

type Ranges = Vec<Range<usize>>;

#[derive(Clone)]
struct Case {
    q: Ranges,
    kv: Ranges,
    heads: usize,
    head_dim: usize,
    causal: bool,
    /// The rate of dropout, and a name for each row of queries.
    dropout: Option<(f32, Vec<[u32; 2]>)>,
}

/// Sequences end to end.
fn packed(lengths: &[usize]) -> Ranges {
    let ends = lengths.iter().scan(0, |sum, n| {
        *sum += n;
        Some(*sum)
    });
    ends.zip(lengths).map(|(end, n)| end - n..end).collect()
}

fn rows(ranges: &[Range<usize>]) -> usize {
    ranges.iter().map(|range| range.end).max().unwrap_or(0)
}

impl Case {
    fn new(q: Ranges, kv: Ranges, heads: usize, head_dim: usize, causal: bool) -> Self {
        Case { q, kv, heads, head_dim, causal, dropout: None }
    }

    /// Drops this share of the probabilities. The queries are rows of texts of five rows.
    fn dropping(self, rate: f32) -> Self {
        let names = (0..rows(&self.q) as u32).map(|i| [i / 5 + 3, i % 5]).collect();
        Case { dropout: Some((rate, names)), ..self }
    }

    fn square(lengths: &[usize], heads: usize, head_dim: usize, causal: bool) -> Self {
        Case::cross(lengths, lengths, heads, head_dim, causal)
    }

    fn cross(q: &[usize], kv: &[usize], heads: usize, head_dim: usize, causal: bool) -> Self {
        Case::new(packed(q), packed(kv), heads, head_dim, causal)
    }

    fn layout(&self) -> Layout<'_> {
        let Case { q, kv, heads, head_dim, causal, dropout } = self;
        let dropout =
            dropout.as_ref().map(|(rate, names)| Dropout { rate: *rate, key: 7 << 40, names, unit: Unit::Value });
        Layout { q, kv, heads: *heads, head_dim: *head_dim, causal: *causal, dropout }
    }

    fn width(&self) -> usize {
        self.heads * self.head_dim
    }

    fn name(&self) -> String {
        let rate = self.dropout.as_ref().map(|(rate, _)| rate);
        format!("{:?}→{:?}, {}×{}, causal {}, {rate:?}", self.q, self.kv, self.heads, self.head_dim, self.causal)
    }
}

/// Whose backward pass is defined: no two sequences share a key. One block of the main path, several, their edges; the
/// few-query path; empty sequences; odd head sizes; ranges with gaps and in disorder.
fn cases() -> Vec<Case> {
    vec![
        Case::square(&[50, 50], 3, 64, false),
        Case::square(&[1, 2, 3, 4, 5, 47, 48, 49], 2, 64, false),
        Case::square(&[1, 2, 3, 4, 7, 10, 24, 25, 77], 2, 64, true),
        Case::square(&[129, 300], 1, 64, false),
        Case::square(&[129, 300], 1, 64, true),
        Case::square(&[0, 6, 0], 2, 16, false),
        Case::square(&[], 2, 16, false),
        Case::square(&[9, 33], 2, 20, true),
        Case::square(&[9, 33, 3], 2, 80, false),
        Case::square(&[5, 2], 3, 7, false),
        Case::cross(&[1, 1, 1], &[50, 1, 77], 2, 64, false),
        Case::cross(&[1, 1, 3], &[10, 1, 140], 2, 64, true),
        Case::cross(&[5, 30], &[200, 30], 2, 32, true),
        Case::cross(&[60, 0, 4], &[3, 2, 130], 2, 32, false),
        // Each picture's keys, 37 and 130 of them, for the run of all of its texts: 7 + 1 + 5 rows, and 2 + 1.
        Case::cross(&[13, 3], &[37, 130], 3, 20, false),
        // Caches of 40 rows, filled to 9, 40, 0 and 1; the queries are the last rows, and the third has none.
        Case::new(packed(&[1, 6, 0, 1]), vec![0..9, 40..80, 80..80, 120..121], 2, 21, true),
        // In disorder and with gaps, keys that nobody sees between them.
        Case::new(vec![30..35, 2..4, 11..30], vec![140..143, 60..125, 3..33], 2, 9, false),
        Case::new(vec![7..7, 20..25, 0..2], vec![40..43, 31..36, 0..31], 1, 5, true),
    ]
}

/// The cases that have a forward pass alone, since their sequences share keys.
fn shared_cases() -> Vec<Case> {
    vec![
        // Beams: three and two queries on one picture each.
        Case::new(packed(&[1; 5]), vec![0..50, 0..50, 0..50, 50..127, 50..127], 2, 20, false),
        // Texts of one picture, and no text.
        Case::new(packed(&[7, 1, 5, 0, 40]), vec![3..140; 5], 3, 21, false),
        // Beams whose caches share a beginning.
        Case::new(packed(&[2, 4, 5, 1]), vec![0..11, 0..9, 4..9, 8..9], 2, 33, true),
    ]
}

/// Inputs as they occur: q|k|v interleaved in rows that are wider than need be. Rows of no range are NaN, and so are all
/// outputs, where nothing is added.
struct Data {
    qkv: Vec<f32>,
    stride: usize,
    dout: Vec<f32>,
}

impl Data {
    fn new(case: &Case) -> Self {
        let (width, queries) = (case.width(), rows(&case.q));
        let stride = 3 * width + 5;
        // Scores of standard deviation 2 or so: a softmax that is neither flat nor one-hot.
        let mut qkv = random(3, queries.max(rows(&case.kv)) * stride);
        qkv.iter_mut().for_each(|x| *x *= 2.5);
        let mut dout = random(4, queries * width);
        poison(&case.q, &mut dout, width, 0..width);
        poison(&case.q, &mut qkv, stride, 0..width);
        poison(&case.kv, &mut qkv, stride, width..3 * width);
        Data { qkv, stride, dout }
    }

    fn heads(&self, column: usize) -> Heads<'_> {
        Heads { data: self.qkv.get(column..).unwrap_or_default(), row_stride: self.stride }
    }
}

/// Fills the columns of the rows outside all ranges with NaN.
fn poison(ranges: &[Range<usize>], data: &mut [f32], stride: usize, columns: Range<usize>) {
    for (i, row) in data.chunks_exact_mut(stride).enumerate() {
        if !ranges.iter().any(|range| range.contains(&i)) {
            row[columns.clone()].fill(f32::NAN);
        }
    }
}

type Forward<'a> = &'a dyn Fn(Layout, Heads, Heads, Heads, HeadsMut, &mut [f32]);
type Backward<'a> = &'a dyn Fn(Layout, Heads, Heads, Heads, Heads, &[f32], Heads, DQkv);

const NAMES: [&str; 4] = ["out", "lse", "dq", "dkv"];

/// out, lse
fn run_forward(case: &Case, data: &Data, forward: Forward) -> [Vec<f32>; 2] {
    let (width, queries) = (case.width(), rows(&case.q));
    let (mut out, mut lse) = (vec![f32::NAN; queries * width], vec![f32::NAN; case.heads * queries]);
    let to = HeadsMut { data: &mut out, row_stride: width };
    forward(case.layout(), data.heads(0), data.heads(width), data.heads(2 * width), to, &mut lse);
    [out, lse]
}

/// out, lse, dq, dkv; the gradients are set in buffers full of NaN, or added to what `start` draws.
fn run(case: &Case, forward: Forward, backward: Backward, writes: [Write; 2]) -> [Vec<f32>; 4] {
    let (width, data) = (case.width(), Data::new(case));
    let [out, lse] = run_forward(case, &data, forward);
    let (q, k, v) = (data.heads(0), data.heads(width), data.heads(2 * width));
    let start = |write: Write, len| if write == Write::Set { vec![f32::NAN; len] } else { random(5, len) };
    let mut dq = start(writes[0], rows(&case.q) * width);
    let mut dkv = start(writes[1], rows(&case.kv) * 2 * width);
    let [outs, dout] = [&out, &data.dout].map(|data| Heads { data, row_stride: width });
    let to = DQkv::Split { dq: (&mut dq, writes[0]), dkv: (&mut dkv, writes[1]) };
    backward(case.layout(), q, k, v, outs, &lse, dout, to);
    [out, lse, dq, dkv]
}

fn run_on(isa: Isa, case: &Case, writes: [Write; 2]) -> [Vec<f32>; 4] {
    let forward = |l: Layout, q: Heads, k: Heads, v: Heads, out: HeadsMut, lse: &mut [f32]| {
        forward_on(isa, l, q, k, v, out, lse);
    };
    run(case, &forward, &|l, q, k, v, out, lse, dout, to| backward_on(isa, l, q, k, v, out, lse, dout, to), writes)
}

/// Bits, so that a NaN equals itself.
fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

/// Close, and NaN in the same elements: those of rows outside every range, which nothing touches.
#[track_caller]
fn assert_definition(what: &str, actual: &[f32], expected: &[f32]) {
    // A sum of head_dim products of size ≤ 6 errs by √80·6·ε ≈ 6e-6; the exponential passes that on to all
    // probabilities, and at most ~10 of them, times operands ≤ 2.5, add up in an element.
    let largest = expected.iter().fold(1.0f32, |a, b| a.max(b.abs()));
    let untouched = |x: &[f32]| x.iter().map(|x| x.is_nan()).collect::<Vec<_>>();
    assert_eq!(untouched(actual), untouched(expected), "{what}: rows of no range");
    let numbers = |x: &[f32]| x.iter().copied().filter(|x| !x.is_nan()).collect::<Vec<_>>();
    assert_close(what, &numbers(actual), &numbers(expected), 4e-6 * largest.max(2.5));
}

const SET: [Write; 2] = [Write::Set; 2];

#[test]
fn every_isa_is_the_definition() {
    let adds = [[Write::Add; 2], [Write::Add, Write::Set], [Write::Set, Write::Add]];
    let dropping = cases().into_iter().zip([0.1, 0.5].into_iter().cycle()).map(|(case, rate)| case.dropping(rate));
    for (case, add) in cases().into_iter().chain(dropping).zip(adds.into_iter().cycle()) {
        for writes in [SET, add] {
            let expected = run(&case, &naive::forward, &naive::backward, writes);
            for isa in Isa::available() {
                let actual = run_on(isa, &case, writes);
                for (name, (actual, expected)) in NAMES.iter().zip(actual.iter().zip(&expected)) {
                    assert_definition(&format!("{} on {isa:?}, {writes:?}: {name}", case.name()), actual, expected);
                }
            }
        }
    }
}

#[test]
fn keys_may_be_shared_in_a_forward_pass() {
    for case in shared_cases() {
        let data = Data::new(&case);
        let expected = run_forward(&case, &data, &naive::forward);
        for isa in Isa::available() {
            let actual = run_forward(&case, &data, &|l, q, k, v, out, lse| forward_on(isa, l, q, k, v, out, lse));
            for (name, (actual, expected)) in NAMES.iter().zip(actual.iter().zip(&expected)) {
                assert_definition(&format!("{} on {isa:?}: {name}", case.name()), actual, expected);
            }
        }
    }
}

/// Where the rows lie is nobody's business: a cache with room gives the bits of the same keys end to end, and shared keys
/// those of copies.
#[test]
fn places_change_no_bit() {
    let (width, heads, head_dim) = (42, 2, 21);
    let q = packed(&[5, 1, 60, 2]);
    let shared = vec![10..80, 90..97, 20..170, 10..80];
    let copied = packed(&[70, 7, 150, 70]);
    let spread = random(3, 170 * 2 * width);
    let copy: Vec<f32> =
        shared.iter().flat_map(|range| &spread[range.start * 2 * width..range.end * 2 * width]).copied().collect();
    let queries = random(6, 68 * width);
    for isa in Isa::available() {
        let run = |kv: &[Range<usize>], data: &[f32]| {
            let layout = Layout { q: &q, kv, heads, head_dim, causal: false, dropout: None };
            let (mut out, mut lse) = (vec![f32::NAN; 68 * width], vec![f32::NAN; heads * 68]);
            let [k, v] = [0, width].map(|column| Heads { data: &data[column..], row_stride: 2 * width });
            let to = HeadsMut { data: &mut out, row_stride: width };
            forward_on(isa, layout, Heads { data: &queries, row_stride: width }, k, v, to, &mut lse);
            [bits(&out), bits(&lse)]
        };
        assert!(run(&shared, &spread) == run(&copied, &copy), "{isa:?}");
    }
}

/// All texts of a picture are one run of queries; its gradient is the sum of those that each text gives by itself.
#[test]
fn a_run_of_texts_is_each_text_added() {
    let (texts, picture, heads, head_dim) = ([7, 1, 12], 37, 2, 21);
    let whole = Case::cross(&[20], &[picture], heads, head_dim, false);
    let (width, data) = (whole.width(), Data::new(&whole));
    let (q, k, v) = (data.heads(0), data.heads(width), data.heads(2 * width));
    for isa in Isa::available() {
        let [out, lse, dq, dkv] = run_on(isa, &whole, SET);
        let (mut dq_sum, mut dkv_sum) = (vec![f32::NAN; 20 * width], vec![f32::NAN; picture * 2 * width]);
        for (i, text) in packed(&texts).into_iter().enumerate() {
            let alone = Case::new(vec![text], vec![Range { start: 0, end: picture }], heads, head_dim, false);
            let [outs, dout] = [&out, &data.dout].map(|data| Heads { data, row_stride: width });
            let write = if i == 0 { Write::Set } else { Write::Add };
            let to = DQkv::Split { dq: (&mut dq_sum, Write::Set), dkv: (&mut dkv_sum, write) };
            backward_on(isa, alone.layout(), q, k, v, outs, &lse, dout, to);
        }
        assert_definition("dq", &dq_sum, &dq);
        assert_definition("dkv", &dkv_sum, &dkv);
    }
}

#[test]
fn packed_gradients_are_the_split_ones() {
    for isa in Isa::available() {
        for (case, total) in [
            (Case::square(&[50, 3, 20], 2, 32, true), 73),
            (Case::new(vec![2..12, 15..16], vec![2..12, 15..16], 2, 9, false), 20),
        ] {
            let (width, data) = (case.width(), Data::new(&case));
            let [out, lse, dq, dkv] = run_on(isa, &case, SET);
            let mut packed = vec![f32::NAN; total * 3 * width];
            let (q, k, v) = (data.heads(0), data.heads(width), data.heads(2 * width));
            let [outs, dout] = [&out, &data.dout].map(|data| Heads { data, row_stride: width });
            backward_on(isa, case.layout(), q, k, v, outs, &lse, dout, DQkv::Packed(&mut packed));
            for (i, row) in packed.chunks(3 * width).take(rows(&case.q)).enumerate() {
                assert_eq!(bits(&row[..width]), bits(&dq[i * width..][..width]));
                assert_eq!(bits(&row[width..]), bits(&dkv[i * 2 * width..][..2 * width]));
            }
        }
    }
}

/// softmax(q·kᵀ/√d)·v in f64, q, k and v (rows, width) one after the other in `x`, and ⟨dout, out⟩ of it.
fn objective(case: &Case, x: &[f64], dout: &[f32]) -> f64 {
    let (width, d) = (case.width(), case.head_dim);
    let (q, kv) = x.split_at(rows(&case.q) * width);
    let (k, v) = kv.split_at(rows(&case.kv) * width);
    let mut sum = 0.0;
    for (queries, keys) in case.q.iter().zip(&case.kv) {
        for (h, i) in (0..case.heads).flat_map(|h| queries.clone().map(move |i| (h, i))) {
            let at = |row: usize| row * width + h * d..row * width + (h + 1) * d;
            let seen = if case.causal { keys.end + i + 1 - queries.end } else { keys.end };
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            let weights = (keys.start..seen).map(|j| (dot(&q[at(i)], &k[at(j)]) / (d as f64).sqrt()).exp());
            let total: f64 = weights.clone().sum();
            let dout: Vec<f64> = dout[at(i)].iter().map(|&x| f64::from(x)).collect();
            let m = |j| case.layout().dropout.map_or(1.0, |d| dropout::naive::mask(d, i, h as u32, j - keys.start));
            sum += weights.zip(keys.start..).map(|(w, j)| m(j) * w / total * dot(&dout, &v[at(j)])).sum::<f64>();
        }
    }
    sum
}

/// The mathematics without the code under test, and without its definition: central differences in f64.
#[test]
fn gradients_are_differences() {
    for case in [
        Case::cross(&[5, 2, 1], &[7, 3, 5], 2, 5, false),
        Case::cross(&[5, 2, 1], &[7, 3, 5], 2, 5, true),
        Case::new(vec![1..6, 8..10], vec![4..13, 0..3], 1, 7, true),
        Case::cross(&[5, 2, 1], &[7, 3, 5], 2, 5, false).dropping(0.3),
        Case::cross(&[5, 2, 1], &[7, 3, 5], 2, 5, true).dropping(0.3),
    ] {
        let (width, queries, keys) = (case.width(), rows(&case.q), rows(&case.kv));
        let x: Vec<f32> = random(11, (queries + 2 * keys) * width).iter().map(|x| 1.5 * x).collect();
        let dout = random(12, queries * width);
        let exact: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
        let differences: Vec<f32> = (0..x.len())
            .map(|i| {
                let at = |step: f64| {
                    let mut moved = exact.clone();
                    moved[i] += step;
                    objective(&case, &moved, &dout)
                };
                ((at(1e-5) - at(-1e-5)) / 2e-5) as f32
            })
            .collect();
        let (q, kv) = x.split_at(queries * width);
        let [q, k, v] = [q, &kv[..keys * width], &kv[keys * width..]].map(|data| Heads { data, row_stride: width });
        for isa in Isa::available() {
            let (mut out, mut lse) = (vec![0.0; queries * width], vec![0.0; case.heads * queries]);
            forward_on(isa, case.layout(), q, k, v, HeadsMut { data: &mut out, row_stride: width }, &mut lse);
            let (mut dq, mut dkv) = (vec![0.0; queries * width], vec![0.0; keys * 2 * width]);
            let to = DQkv::Split { dq: (&mut dq, Write::Set), dkv: (&mut dkv, Write::Set) };
            let [out, dout] = [&out, &dout].map(|data| Heads { data, row_stride: width });
            backward_on(isa, case.layout(), q, k, v, out, &lse, dout, to);
            let (dk, dv): (Vec<_>, Vec<_>) = dkv.chunks(2 * width).map(|row| row.split_at(width)).unzip();
            let gradients = [dq, dk.concat(), dv.concat()].concat();
            let largest = differences.iter().fold(0.0f32, |a, b| a.max(b.abs()));
            // f32 sums of a dozen terms err by some ε of the largest; the differences by 1e-10.
            assert_close(&format!("{} on {isa:?}", case.name()), &gradients, &differences, 1e-5 * largest);
        }
    }
}

#[test]
fn same_bits_on_any_number_of_threads() {
    for case in [
        Case::square(&[50; 5], 8, 64, false),
        Case::square(&[577], 2, 64, false),
        Case::square(&[77; 9], 4, 64, true),
        Case::cross(&[301, 2, 70], &[197, 197, 50], 3, 33, false),
        Case::cross(&[301, 2, 70], &[197, 197, 50], 3, 33, false).dropping(0.1),
    ] {
        for isa in Isa::available() {
            assert_same_bits(|| run_on(isa, &case, SET).concat());
            assert_same_bits(|| run_on(isa, &case, [Write::Add; 2]).concat());
        }
    }
    for case in shared_cases() {
        let data = Data::new(&case);
        assert_same_bits(|| {
            run_forward(&case, &data, &|l, q, k, v, out, lse| forward_on(Isa::best(), l, q, k, v, out, lse)).concat()
        });
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

fn refused(case: Case) {
    run_on(Isa::best(), &case, SET);
}

#[test]
#[should_panic(expected = "sequence 0 has query rows 0..3 and key rows 0..2")]
fn causal_queries_need_keys() {
    refused(Case::cross(&[3], &[2], 1, 16, true));
}

#[test]
#[should_panic(expected = "sequence 1 has query rows 2..3 and key rows 4..4")]
fn queries_need_a_key() {
    refused(Case::cross(&[2, 1], &[4, 0], 1, 16, false));
}

#[test]
#[should_panic(expected = "two sequences share a query row")]
fn queries_are_disjoint() {
    refused(Case::new(vec![4..8, 0..5], vec![0..4, 4..9], 1, 16, false));
}

#[test]
#[should_panic(expected = "two sequences share a key row")]
fn keys_are_disjoint_in_a_backward_pass() {
    refused(Case::new(packed(&[2, 2]), vec![5..9, 0..6], 1, 16, false));
}

#[test]
#[should_panic(expected = "attention: k has")]
fn ranges_lie_in_their_buffers() {
    let x = vec![0.0; 5 * 16];
    let heads = Heads { data: &x, row_stride: 16 };
    let layout = Layout {
        q: &[Range { start: 0, end: 5 }],
        kv: &[Range { start: 2, end: 6 }],
        heads: 1,
        head_dim: 16,
        causal: false,
        dropout: None,
    };
    let (mut out, mut lse) = (x.clone(), vec![0.0; 5]);
    forward_on(Isa::best(), layout, heads, heads, heads, HeadsMut { data: &mut out, row_stride: 16 }, &mut lse);
}
