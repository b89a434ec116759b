//! WebDataset: tar files whose members belong together by name, `000017.jpg` with `000017.txt` or `000017.json`.
//!
//! A gzipped shard is unpacked in memory. Of any other shard only the headers are read at the start; from then on every
//! example is known by its position in its shard. So the length is exact, the order can be computed, and skipping ahead
//! costs nothing. Reading is still mostly sequential: each epoch shuffles the shards and passes their examples through
//! a buffer, from which they are drawn at random.
//!
//! An example takes some 120 bytes of memory, and its headers are read at every start. That is good for tens of
//! millions of examples; [`streams`](super::streams) of shards are there for more.
//!
//! A picture keeps its opacity and its palette until it is prepared for the model, like one from a file of its own.
//! OpenCLIP's loader decodes shards as `pilrgb`, which drops the opacity before the picture is resized, while its
//! transform for files drops it afterwards. A picture has the same embedding from both sources only if both are treated
//! alike. Here both are treated as files are, because models are used with files.

use crate::counted::there_are;
use crate::datasets::dataset::{Dataset, Example, PictureFiles};
use crate::datasets::error::{BadExample, BadLimit, BadReport, DatasetError};
use crate::datasets::samples::{self, Bytes, Extent, MAX_UNPACKED_BYTES, ReadSeek, Sample, SampleError};
use crate::digest::{Digest, digest};
use crate::pictures::decode;
use crate::random::Rng;
use crate::text::clean::clean;
use rand::RngExt;
use rand::seq::SliceRandom;
use rayon::prelude::*;
use std::fmt::Display;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Largest caption file in bytes, text or JSON. The alternative texts of web pages are a thousand times shorter.
const MAX_CAPTION_BYTES: u64 = 1 << 20;

/// The place of a picture's caption.
#[derive(Clone, Copy)]
enum Caption {
    Text(Extent),
    /// The line with this number, counted from 0, of those that are not blank.
    Line(Extent, usize),
    Json(Extent),
    /// The name of this class.
    Class(usize),
}

impl Caption {
    /// Returns the number of a class that is not among so many.
    fn beyond(&self, classes: usize) -> Option<usize> {
        if let Caption::Class(class) = self { Some(*class).filter(|&class| class >= classes) } else { None }
    }
}

/// The captions that are read from a sample.
#[derive(Clone, Copy)]
enum Asked<'a> {
    Caption,
    /// Every line of the caption file is a caption of its own.
    Lines,
    /// The number of its class, whose name is the caption.
    Class(&'a [String]),
}

/// One picture with its caption.
struct Member {
    name: String,
    picture: Extent,
    caption: Caption,
}

/// The pairs of one tar file, or some of them.
pub(super) struct Shard {
    path: PathBuf,
    /// Which of all shards it is.
    number: u64,
    bytes: Bytes,
    members: Vec<Member>,
    bad: BadReport,
}

/// The examples of a list of tar files.
pub struct Shards {
    shards: Vec<Shard>,
    /// The first example of each shard, and the total.
    starts: Vec<usize>,
    concepts: Vec<u64>,
    /// The names of the classes, if these are the captions.
    names: Vec<String>,
    buffer: usize,
    bad: BadReport,
}

impl Shards {
    /// Indexes pictures with captions in shards, whose paths [`paths`](super::braces::paths) gives. The shuffle draws
    /// from a buffer of `buffer` examples; 1 keeps the order within a shard.
    ///
    /// # Errors
    /// Returns an error if a shard cannot be opened or is cut off, there is no usable example, or there are too many
    /// bad ones.
    pub fn open(paths: &[impl AsRef<Path> + Sync], buffer: usize, limit: BadLimit) -> Result<Self, DatasetError> {
        Self::ask(paths, Asked::Caption, buffer, limit)
    }

    /// Indexes pictures with several captions, each on a line of its own. Each caption is an example of its own with
    /// the same picture.
    ///
    /// # Errors
    /// Returns the errors of [`open`](Self::open).
    pub fn open_lines(paths: &[impl AsRef<Path> + Sync], limit: BadLimit) -> Result<Self, DatasetError> {
        Self::ask(paths, Asked::Lines, 1, limit)
    }

    /// Indexes pictures with the numbers of their classes (`.cls`), counted from 0, whose names are their captions.
    ///
    /// # Errors
    /// Returns the errors of [`open`](Self::open), or one that says which class has no name.
    pub fn open_classes(
        paths: &[impl AsRef<Path> + Sync],
        names: &[String],
        limit: BadLimit,
    ) -> Result<Self, DatasetError> {
        Self::ask(paths, Asked::Class(names), 1, limit)
    }

    fn ask(
        paths: &[impl AsRef<Path> + Sync],
        asked: Asked,
        buffer: usize,
        limit: BadLimit,
    ) -> Result<Self, DatasetError> {
        let mut left = MAX_UNPACKED_BYTES;
        let located = paths.iter().map(|path| {
            let bytes = Bytes::of(path.as_ref(), left)?;
            left -= bytes.unpacked();
            Ok((path.as_ref(), bytes))
        });
        let located: Vec<(&Path, Bytes)> = located.collect::<Result<_, DatasetError>>()?;
        let shards = located.into_par_iter().enumerate();
        let shards = shards.map(|(i, (path, bytes))| Shard::new(path, i as u64).index(bytes, asked));
        let names = if let Asked::Class(names) = asked { names.to_vec() } else { vec![] };
        let all = Self::of(shards.collect::<Result<_, _>>()?, names, buffer);
        limit.check(&all.bad)?;
        if all.concepts.is_empty() {
            let place = paths.first().map_or(String::new(), |path| path.as_ref().display().to_string());
            return Err(DatasetError::Empty { place, report: all.bad });
        }
        Ok(all)
    }

    /// Puts pairs of several tar files together.
    pub(super) fn of(shards: Vec<Shard>, names: Vec<String>, buffer: usize) -> Self {
        let (mut starts, mut concepts, mut bad) = (vec![0], vec![], BadReport::default());
        for shard in &shards {
            concepts.extend(shard.members.iter().map(|member| match member.caption {
                Caption::Class(class) => class as u64,
                _ => digest([member.name.as_bytes(), &shard.number.to_le_bytes()]).key(),
            }));
            starts.push(concepts.len());
            bad.merge(&shard.bad);
        }
        Self { shards, starts, concepts, names, buffer: buffer.max(1), bad }
    }

    /// Returns whether the first sample of a shard has a class.
    ///
    /// # Errors
    /// Returns an error if the shard cannot be opened or is cut off.
    pub(super) fn has_classes(path: &Path) -> Result<bool, DatasetError> {
        let samples = samples::samples(path, &Bytes::of(path, MAX_UNPACKED_BYTES)?)?;
        Ok(samples.first().is_some_and(|sample| sample.get("cls").is_some()))
    }

    /// Returns the counts of the samples in all shards and of the bad ones among them.
    pub fn bad(&self) -> &BadReport {
        &self.bad
    }

    fn range(&self, shard: usize) -> Range<usize> {
        self.starts[shard]..self.starts[shard + 1]
    }
}

impl Shard {
    fn new(path: &Path, number: u64) -> Self {
        let (members, bad) = Default::default();
        Self { path: path.to_owned(), number, bytes: Bytes::File, members, bad }
    }

    /// Finds the examples in a shard.
    fn index(mut self, bytes: Bytes, asked: Asked) -> Result<Self, DatasetError> {
        let mut source = bytes.open(&self.path).map_err(DatasetError::io(&self.path))?;
        for sample in samples::samples(&self.path, &bytes)? {
            let found = captions(&sample, &mut *source, asked);
            if let (Ok(found), Asked::Class(names)) = (&found, asked)
                && let Some(class) = found.iter().find_map(|(_, caption)| caption.beyond(names.len()))
            {
                let reason = format!("{} has class {class}, and {}", sample.key, there_are(names.len(), "name"));
                return Err(DatasetError::Shard { path: self.path, reason });
            }
            self.add(&sample, found);
        }
        drop(source);
        self.bytes = bytes;
        Ok(self)
    }

    /// Adds the pairs that were found in a sample, or counts it as a bad one.
    fn add(&mut self, sample: &Sample, found: Result<Vec<(Extent, Caption)>, SampleError>) {
        let found = found.map_err(|reason| self.bad(&sample.key, reason));
        self.bad.count(&found);
        let pairs = found.into_iter().flatten();
        self.members.extend(pairs.map(|(picture, caption)| Member { name: sample.key.clone(), picture, caption }));
    }

    /// Makes a shard whose pairs are added one by one and held in memory.
    pub(super) fn in_memory(path: &Path, number: u64) -> Self {
        Self { bytes: Bytes::Unpacked(vec![]), ..Self::new(path, number) }
    }

    /// Adds the pair of a sample to those in memory, or counts it as a bad one. The sample has its members' places
    /// behind [`len`](Self::len), and `bytes` are what is there.
    pub(super) fn append(&mut self, sample: &Sample, bytes: Result<Vec<u8>, SampleError>) {
        let found = bytes.and_then(|own| {
            // Whether there is a caption can be told by the names.
            let found = captions(sample, &mut io::empty(), Asked::Caption)?;
            if let Bytes::Unpacked(bytes) = &mut self.bytes {
                bytes.extend_from_slice(&own);
            }
            Ok(found)
        });
        self.add(sample, found);
    }

    /// Counts the rest of the file as one bad example.
    pub(super) fn give_up(&mut self, error: &DatasetError) {
        let (place, error) = (self.path.display().to_string(), error.to_string());
        let reason = error.strip_prefix(&format!("{place}: ")).unwrap_or(&error);
        self.bad.count::<()>(&Err(BadExample::new(&place, reason)));
    }

    /// Returns the counts of the samples, and of the bad ones among them.
    pub(super) fn report(&self) -> &BadReport {
        &self.bad
    }

    /// Returns the number of pairs.
    pub(super) fn pairs(&self) -> usize {
        self.members.len()
    }

    /// Returns the number of bytes in memory.
    pub(super) fn len(&self) -> u64 {
        self.bytes.unpacked()
    }

    /// Makes the error of an example that cannot be used.
    fn bad(&self, name: &str, reason: impl Display) -> BadExample {
        BadExample::new(format!("{}: {name}", self.path.display()), reason)
    }

    /// Reads the bytes of an example's picture.
    fn picture(&self, source: &mut (impl ReadSeek + ?Sized), member: &Member) -> Result<Vec<u8>, BadExample> {
        samples::read(source, member.picture, decode::MAX_FILE_BYTES).map_err(|error| self.bad(&member.name, error))
    }
}

/// Returns the picture of a sample with each of its captions.
fn captions(
    sample: &Sample,
    source: &mut (impl ReadSeek + ?Sized),
    asked: Asked,
) -> Result<Vec<(Extent, Caption)>, SampleError> {
    let (picture, before) = sample.picture()?;
    let get = |kind: &str| sample.get(&format!("{before}{kind}")).or_else(|| sample.get(kind));
    let one = |caption| Ok(vec![(picture, caption)]);
    match (asked, get("txt"), get("json")) {
        (Asked::Class(_), ..) => {
            let text = text(source, get("cls").ok_or_else(|| sample.missing("class (.cls)"))?)?;
            let class = text.trim().parse();
            one(Caption::Class(class.map_err(|_| SampleError::Class { text })?))
        }
        (Asked::Lines, Some(extent), _) => {
            let lines = lines(&text(source, extent)?).count();
            if lines == 0 {
                Err(SampleError::EmptyCaption)
            } else {
                Ok((0..lines).map(|line| (picture, Caption::Line(extent, line))).collect())
            }
        }
        (_, Some(extent), _) => one(Caption::Text(extent)),
        (_, None, Some(extent)) => one(Caption::Json(extent)),
        (_, None, None) => Err(sample.missing("caption (.txt or .json)")),
    }
}

/// Reads a small member as text.
fn text(source: &mut (impl ReadSeek + ?Sized), extent: Extent) -> Result<String, SampleError> {
    let bytes = samples::read(source, extent, MAX_CAPTION_BYTES)?;
    String::from_utf8(bytes).map_err(|_| SampleError::NotUtf8)
}

/// Returns the lines that are captions.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !clean(line).is_empty())
}

impl Dataset for Shards {
    /// Returns the class of each picture or, without classes, a key that differs from picture to picture.
    fn concepts(&self) -> &[u64] {
        &self.concepts
    }

    /// Returns a digest of the shards' paths, the members' names and the positions of their pictures.
    fn list_digest(&self) -> Digest {
        let paths = self.shards.iter().map(|shard| shard.path.as_os_str().as_encoded_bytes().to_vec());
        let members = self.shards.iter().flat_map(|shard| &shard.members).map(|member| {
            let Extent { start, len } = member.picture;
            [member.name.as_bytes(), &start.to_le_bytes(), &len.to_le_bytes()].concat()
        });
        digest(paths.chain(members))
    }

    fn shuffle(&self, rng: &mut Rng, order: &mut Vec<u32>) {
        let mut shards: Vec<usize> = (0..self.shards.len()).collect();
        shards.shuffle(rng);
        let mut stream = shards.into_iter().flat_map(|shard| self.range(shard)).map(|example| example as u32);
        let mut buffer: Vec<u32> = stream.by_ref().take(self.buffer).collect();
        order.clear();
        for next in stream {
            let drawn = rng.random_range(0..buffer.len());
            order.push(std::mem::replace(&mut buffer[drawn], next));
        }
        buffer.shuffle(rng);
        order.extend(buffer);
    }

    fn may_rearrange(&self) -> bool {
        false
    }

    fn read(&self, index: usize, _: &mut Rng, example: &mut Example) -> Result<(), BadExample> {
        let (shard, member) = self.member(index);
        let mut source = shard.bytes.open(&shard.path).map_err(|error| shard.bad(&member.name, error))?;
        example.caption = self.caption(&mut *source, member.caption).map_err(|error| shard.bad(&member.name, error))?;
        let bytes = shard.picture(&mut *source, member)?;
        example.picture = example.view.decode(&bytes).map_err(|error| shard.bad(&member.name, error))?;
        example.may_flip = false;
        Ok(())
    }

    fn read_caption(&self, index: usize, _: &mut Rng, example: &mut Example) -> Result<(), BadExample> {
        let (shard, member) = self.member(index);
        let mut source = shard.bytes.open(&shard.path).map_err(|error| shard.bad(&member.name, error))?;
        example.caption = self.caption(&mut *source, member.caption).map_err(|error| shard.bad(&member.name, error))?;
        example.may_flip = false;
        Ok(())
    }
}

impl PictureFiles for Shards {
    /// Returns the name of the sample, which is the first part of its members' names.
    fn name(&self, index: usize) -> String {
        self.member(index).1.name.clone()
    }

    fn file(&self, _: usize) -> Option<&Path> {
        None
    }

    fn picture_file(&self, index: usize) -> Result<Vec<u8>, BadExample> {
        let (shard, member) = self.member(index);
        let mut source = shard.bytes.open(&shard.path).map_err(|error| shard.bad(&member.name, error))?;
        shard.picture(&mut *source, member)
    }
}

impl Shards {
    /// Returns an example and the shard that it is in.
    fn member(&self, index: usize) -> (&Shard, &Member) {
        let i = self.starts.partition_point(|&start| start <= index) - 1;
        (&self.shards[i], &self.shards[i].members[index - self.starts[i]])
    }

    /// Reads a caption: a text file or one of its lines, "caption" or "text" of a JSON object, or the name of a class.
    fn caption(&self, source: &mut (impl ReadSeek + ?Sized), caption: Caption) -> Result<String, SampleError> {
        let caption = match caption {
            Caption::Class(class) => return Ok(self.names[class].clone()),
            Caption::Text(extent) => text(source, extent)?,
            Caption::Line(extent, line) => lines(&text(source, extent)?).nth(line).unwrap_or_default().to_owned(),
            Caption::Json(extent) => {
                let json: serde_json::Value = serde_json::from_str(&text(source, extent)?)?;
                let text = json.get("caption").or_else(|| json.get("text")).and_then(serde_json::Value::as_str);
                text.ok_or(SampleError::NoCaption)?.to_owned()
            }
        };
        if clean(&caption).is_empty() { Err(SampleError::EmptyCaption) } else { Ok(caption) }
    }
}
