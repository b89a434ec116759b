//! WebDataset: tar files whose members belong together by name, `000017.jpg` with `000017.txt` or `000017.json`.
//!
//! Only the headers are read at the start; from then on every example is known by its position in its shard. So the
//! length is exact, the order can be computed, and skipping ahead costs nothing. Reading still follows the shards'
//! order closely: each epoch shuffles the shards and passes their examples through a buffer, from which they are drawn
//! at random.
//!
//! A picture keeps its opacity and its palette until it is prepared for the model, like one from a file of its own.
//! OpenCLIP's loader decodes shards as `pilrgb`, which drops the opacity before the picture is resized, while its
//! transform for files drops it afterwards. One picture can have one embedding only if both are treated alike, and the
//! way of the files was chosen because models are used with files.

use crate::datasets::dataset::{Dataset, Example};
use crate::datasets::error::{BadExample, BadLimit, BadReport, DatasetError};
use crate::pictures::decode::{self, decode};
use crate::random::{Rng, key};
use crate::text::clean::clean;
use rand::RngExt;
use rand::seq::SliceRandom;
use rayon::prelude::*;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Largest caption file in bytes, text or JSON. The alternative texts of web pages are a thousandth of that.
const MAX_CAPTION_BYTES: u64 = 1 << 20;

/// The position of a member's bytes within its shard.
#[derive(Clone, Copy, Default)]
struct Extent {
    start: u64,
    len: u64,
}

#[derive(Clone, Copy)]
enum Caption {
    Text(Extent),
    Json(Extent),
}

/// One picture with its caption.
struct Member {
    name: String,
    picture: Extent,
    caption: Caption,
}

struct Shard {
    path: PathBuf,
    members: Vec<Member>,
    bad: BadReport,
}

/// The examples of a list of tar files.
pub struct Shards {
    shards: Vec<Shard>,
    /// The first example of each shard, and the total.
    starts: Vec<usize>,
    concepts: Vec<u64>,
    buffer: usize,
    bad: BadReport,
}

impl Shards {
    /// Indexes the shards, whose paths [`expand`](super::braces::expand) gives. The shuffle chooses between `buffer`
    /// examples; 1 keeps the order within a shard.
    ///
    /// # Errors
    /// Returns an error if a shard cannot be opened, there is no usable example, or there are too many bad ones.
    pub fn open(paths: &[impl AsRef<Path> + Sync], buffer: usize, limit: BadLimit) -> Result<Self, DatasetError> {
        let shards: Vec<Shard> = paths.par_iter().map(|path| index(path.as_ref())).collect::<Result<_, _>>()?;
        let mut bad = BadReport::default();
        shards.iter().for_each(|shard| bad.merge(&shard.bad));
        limit.check(&bad)?;
        let mut starts = vec![0];
        starts.extend(shards.iter().scan(0, |end, shard| {
            *end += shard.members.len();
            Some(*end)
        }));
        if starts.last() == Some(&0) {
            let place = paths.first().map_or(String::new(), |path| path.as_ref().display().to_string());
            return Err(DatasetError::Empty { place, report: bad });
        }
        let mut concepts = Vec::new();
        for (i, shard) in (0u64..).zip(&shards) {
            concepts.extend(shard.members.iter().map(|member| key(member.name.bytes().chain(i.to_le_bytes()))));
        }
        Ok(Self { shards, starts, concepts, buffer: buffer.max(1), bad })
    }

    /// Returns the counts of the groups of members in all shards and of the bad ones among them.
    pub fn bad(&self) -> &BadReport {
        &self.bad
    }

    fn range(&self, shard: usize) -> Range<usize> {
        self.starts[shard]..self.starts[shard + 1]
    }
}

impl Dataset for Shards {
    /// Returns keys that all differ: every picture is taken to show a thing of its own.
    fn concepts(&self) -> &[u64] {
        &self.concepts
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
        let i = self.starts.partition_point(|&start| start <= index) - 1;
        let shard = &self.shards[i];
        let member = &shard.members[index - self.starts[i]];
        let bad = |reason: String| BadExample::new(format!("{}: {}", shard.path.display(), member.name), reason);
        let mut file = File::open(&shard.path).map_err(|error| bad(error.to_string()))?;
        example.caption = caption(&mut file, member.caption).map_err(bad)?;
        let bytes = bytes(&mut file, member.picture, decode::MAX_FILE_BYTES).map_err(|error| bad(error.to_string()))?;
        example.picture = decode(&bytes).map_err(|error| bad(error.to_string()))?;
        example.may_flip = false;
        Ok(())
    }
}

/// Reads a member's bytes if there are at most `max`. A sparse file can claim a member of any size without taking room
/// on the disk.
fn bytes(file: &mut File, extent: Extent, max: u64) -> io::Result<Vec<u8>> {
    if extent.len > max {
        let reason = format!("{} bytes, where {max} are the most", extent.len);
        return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    }
    let mut bytes = vec![0; extent.len as usize];
    file.seek(SeekFrom::Start(extent.start))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Reads a caption: a text file, or "caption" or "text" of a JSON object.
fn caption(file: &mut File, caption: Caption) -> Result<String, String> {
    let (Caption::Text(extent) | Caption::Json(extent)) = caption;
    let bytes = bytes(file, extent, MAX_CAPTION_BYTES).map_err(|error| error.to_string())?;
    let text = match caption {
        Caption::Text(_) => String::from_utf8(bytes).map_err(|_| "the caption is not UTF-8")?,
        Caption::Json(_) => {
            let json: serde_json::Value = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
            let text = json.get("caption").or_else(|| json.get("text")).and_then(serde_json::Value::as_str);
            text.ok_or("the JSON has neither \"caption\" nor \"text\"")?.to_owned()
        }
    };
    if clean(&text).is_empty() { Err("empty caption".to_owned()) } else { Ok(text) }
}

/// Reads a shard's headers. A truncated shard is used as far as it goes.
fn index(path: &Path) -> Result<Shard, DatasetError> {
    let file = File::open(path).map_err(DatasetError::io(path))?;
    let size = file.metadata().map_err(DatasetError::io(path))?.len();
    let mut shard = Shard { path: path.to_owned(), members: Vec::new(), bad: BadReport::default() };
    let mut group = Group::default();
    let mut archive = tar::Archive::new(io::BufReader::new(file));
    for entry in archive.entries_with_seek().map_err(DatasetError::io(path))? {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                shard.bad.count::<()>(&Err(BadExample::new(path.display(), format!("breaks off: {error}"))));
                break;
            }
        };
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let Some((name, extension)) = split_name(&name) else { continue };
        if !entry.header().entry_type().is_file() {
            continue;
        }
        if name != group.name {
            std::mem::take(&mut group).finish(&mut shard);
            group.name = name.to_owned();
        }
        let extent = Extent { start: entry.raw_file_position(), len: entry.size() };
        // A header may claim more than the file has.
        if extent.start.checked_add(extent.len).is_some_and(|end| end <= size) {
            group.add(&extension.to_ascii_lowercase(), extent);
        }
    }
    group.finish(&mut shard);
    Ok(shard)
}

/// Splits a member's path into key and extension at the first dot of the file's name: "a/b.seg.png" → "a/b", "seg.png".
fn split_name(path: &str) -> Option<(&str, &str)> {
    let file = path.rfind('/').map_or(0, |slash| slash + 1);
    let dot = file + path[file..].find('.')?;
    (dot > file).then(|| (&path[..dot], &path[dot + 1..]))
}

/// The members of one key that have been read so far.
#[derive(Default)]
struct Group {
    name: String,
    picture: Option<Extent>,
    text: Option<Extent>,
    json: Option<Extent>,
}

impl Group {
    fn add(&mut self, extension: &str, extent: Extent) {
        match extension {
            "jpg" | "jpeg" | "png" | "webp" => self.picture = Some(extent),
            "txt" => self.text = Some(extent),
            "json" => self.json = Some(extent),
            _ => {}
        }
    }

    fn finish(self, shard: &mut Shard) {
        if self.name.is_empty() {
            return;
        }
        let caption = self.text.map(Caption::Text).or(self.json.map(Caption::Json));
        let place = format!("{}: {}", shard.path.display(), self.name);
        let member = match (self.picture, caption) {
            (Some(picture), Some(caption)) => Ok(Member { name: self.name, picture, caption }),
            (None, _) => Err(BadExample::new(place, "no picture")),
            (_, None) => Err(BadExample::new(place, "no caption")),
        };
        shard.bad.count(&member);
        shard.members.extend(member);
    }
}
