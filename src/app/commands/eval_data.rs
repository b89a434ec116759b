//! What `clipwright eval` asks about: pictures with captions or with classes, however they are stored.

use super::CliError;
use super::texts::lines;
use crate::app::train::options::{DatasetType, Storage};
use crate::datasets::emoji::{Emoji, Tile, Vendor};
use crate::datasets::error::{BadExample, BadLimit, BadReport};
use crate::datasets::idx::{FASHION, IdxPictures, Part};
use crate::datasets::image_folder::{ImageFolder, class_folders, parts};
use crate::datasets::{Dataset, Example};
use crate::embed::Embed;
use crate::pictures::{Channels, Picture};
use crate::random::{Rng, key, rng};
use crate::train::data::Own;
use indicatif::ProgressBar;
use ndarray::{Array2, Axis, concatenate};
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Pictures that go through the tower at a time.
const AT_A_TIME: usize = 128;

/// Pictures to be judged on, and others to learn from.
pub struct Questions {
    pub test: Arc<dyn Dataset>,
    pub train: Option<Arc<dyn Dataset>>,
    /// What the classes are called, where the keys of the data are classes.
    pub names: Option<Vec<String>>,
}

impl Questions {
    /// Data of the user's; `labels` is a file with the names of its classes.
    ///
    /// # Errors
    /// If the data cannot be read or has no usable example, or the names do not fit it.
    pub fn open(
        data: &str,
        train: Option<&str>,
        labels: Option<&Path>,
        storage: &Storage,
        limit: BadLimit,
    ) -> Result<Self, CliError> {
        let folder = Path::new(data);
        let may_be_classes = storage.dataset_type == DatasetType::Auto && folder.is_dir();
        if may_be_classes && !folder.join("metadata.jsonl").exists() {
            return if IdxPictures::is_in(folder, Part::Test) {
                Self::idx(folder, train.map(Path::new), labels)
            } else {
                Self::folders(folder, train.map(Path::new), labels)
            };
        }
        if let Some(labels) = labels {
            let (labels, reason) = (labels.display(), "has captions, and they name its classes");
            return Err(CliError::Usage(format!("--labels-file {labels}: {data} {reason}")));
        }
        let pairs = |path: &str| Own::open(path, storage, limit).map(|own| Arc::clone(own.pairs()));
        Ok(Questions { test: pairs(data)?, train: train.map(pairs).transpose()?, names: None })
    }

    fn folders(folder: &Path, train: Option<&Path>, labels: Option<&Path>) -> Result<Self, CliError> {
        let (test, own_train) = parts(folder)?;
        let train = train.map(Path::to_owned).or(own_train);
        let both: Vec<&Path> = [Some(test.as_path()), train.as_deref()].into_iter().flatten().collect();
        let classes = class_folders(&both)?;
        let names = match labels {
            Some(labels) => names(labels, classes.len())?,
            None => classes.iter().map(|class| class.replace('_', " ")).collect(),
        };
        let open = |path: &Path| -> Result<Arc<dyn Dataset>, CliError> {
            Ok(Arc::new(ImageFolder::open(path, &classes, &names)?))
        };
        Ok(Questions { test: open(&test)?, train: train.as_deref().map(open).transpose()?, names: Some(names.clone()) })
    }

    fn idx(folder: &Path, train: Option<&Path>, labels: Option<&Path>) -> Result<Self, CliError> {
        let names = match labels {
            Some(labels) => lines(labels)?.into_iter().map(|(_, name)| name).collect(),
            None => FASHION.map(String::from).to_vec(),
        };
        let open = |folder: &Path, part| -> Result<Arc<dyn Dataset>, CliError> {
            Ok(Arc::new(IdxPictures::open(folder, part, &names)?))
        };
        let train = train.or(IdxPictures::is_in(folder, Part::Train).then_some(folder));
        let train = train.map(|folder| open(folder, Part::Train)).transpose()?;
        Ok(Questions { test: open(folder, Part::Test)?, train, names: Some(names.clone()) })
    }

    /// The embedded emoji: Twemoji's drawings to be judged on, all others to learn from.
    pub fn emoji(emoji: &Arc<Emoji>) -> Self {
        let drawings = |held_out: bool| -> Arc<dyn Dataset> {
            let tiles = emoji.tiles(|vendor, _| (vendor == Vendor::HELD_OUT) == held_out);
            let classes = tiles.iter().map(|tile| tile.concept as u64).collect();
            Arc::new(Drawings { emoji: Arc::clone(emoji), tiles, classes })
        };
        let names = emoji.names().map(String::from).collect();
        Questions { test: drawings(true), train: Some(drawings(false)), names: Some(names) }
    }
}

/// The lines of a file, which must be one per class.
fn names(path: &Path, classes: usize) -> Result<Vec<String>, CliError> {
    let names: Vec<String> = lines(path)?.into_iter().map(|(_, name)| name).collect();
    if names.len() == classes {
        return Ok(names);
    }
    Err(CliError::Names { path: path.into(), names: names.len(), classes })
}

/// Emoji with their English names.
struct Drawings {
    emoji: Arc<Emoji>,
    tiles: Vec<Tile>,
    classes: Vec<u64>,
}

impl Dataset for Drawings {
    fn concepts(&self) -> &[u64] {
        &self.classes
    }

    fn read(&self, index: usize, _: &mut Rng, example: &mut Example) -> Result<(), BadExample> {
        let tile = self.tiles[index];
        self.emoji.paint(tile, &mut example.picture);
        example.caption = self.emoji.concepts()[tile.concept].label.to_owned();
        Ok(())
    }
}

/// The examples of a dataset that could be read.
pub struct Seen {
    /// Unit-length embeddings of the pictures (N, e).
    pub images: Array2<f32>,
    pub captions: Vec<String>,
    /// The dataset's keys.
    pub keys: Vec<u64>,
    /// Equal for equal pictures.
    pub digests: Vec<(usize, usize, u64)>,
    pub bad: BadReport,
}

/// Positions of at most `limit` examples, evenly spread.
pub fn spread(dataset: &dyn Dataset, limit: Option<usize>) -> Vec<usize> {
    let n = dataset.concepts().len();
    let kept = limit.map_or(n, |limit| limit.min(n));
    (0..kept).map(|i| i * n / kept).collect()
}

/// Embeds these examples. Of the pictures, one a thread is in memory at a time.
///
/// # Errors
/// If more examples cannot be read than `limit` allows, or none can.
pub fn look(
    model: &impl Embed,
    dataset: &dyn Dataset,
    places: &[usize],
    limit: BadLimit,
    bar: &ProgressBar,
) -> Result<Seen, CliError> {
    let mut bad = BadReport::default();
    let (mut images, mut captions, mut keys, mut digests) = (vec![], vec![], vec![], vec![]);
    for places in places.chunks(AT_A_TIME) {
        let outcomes: Mutex<Vec<_>> = Mutex::new(places.iter().map(|_| None).collect());
        let rows = model.pictures(places.len(), |i, picture| {
            let outcome = read(dataset, places[i], picture);
            outcomes.lock().expect("no thread panics here")[i] = Some(outcome);
            bar.inc(1);
        });
        let mut kept = Vec::with_capacity(places.len());
        let outcomes = outcomes.into_inner().expect("no thread panics here");
        for (i, outcome) in outcomes.into_iter().flatten().enumerate() {
            bad.count(&outcome);
            let Ok((caption, digest)) = outcome else { continue };
            kept.push(i);
            captions.push(caption);
            keys.push(dataset.concepts()[places[i]]);
            digests.push(digest);
        }
        images.push(rows.select(Axis(0), &kept));
        limit.check(&bad)?;
    }
    bar.finish_and_clear();
    BadLimit { after: 0, ..limit }.check(&bad)?;
    let views: Vec<_> = images.iter().map(|part| part.view()).collect();
    let images = concatenate(Axis(0), &views).expect("at least one example, rows of one width");
    Ok(Seen { images, captions, keys, digests, bad })
}

/// One example's caption and what tells its picture from others; after an error the picture is a black pixel, whose row
/// nobody reads.
fn read(
    dataset: &dyn Dataset,
    place: usize,
    picture: &mut Picture,
) -> Result<(String, (usize, usize, u64)), BadExample> {
    let mut example = Example { picture: std::mem::take(picture), ..Example::default() };
    let read = dataset.read(place, &mut rng(&[place as u64]), &mut example);
    *picture = example.picture;
    if let Err(error) = read {
        *picture = Picture::new(1, 1, Channels::Rgb);
        return Err(error);
    }
    Ok((example.caption, (picture.width, picture.height, key(picture.samples.iter().copied()))))
}
