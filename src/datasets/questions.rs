//! The pictures of an evaluation: pairs of pictures and captions, or pictures sorted into classes.

use crate::counted::counted;
use crate::datasets::benchmark::About;
use crate::datasets::columns::Columns;
use crate::datasets::error::{BadLimit, BadReport, DatasetError};
use crate::datasets::idx::{FASHION, IdxPictures, Part};
use crate::datasets::image_folder::{ImageFolder, class_folders, empty_folders, parts};
use crate::datasets::open::{OwnPairs, PairLayout, Stored};
use crate::datasets::{Dataset, Shards};
use crate::pictures::folder::PassedOver;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Names of the folders that hold the pictures to test on, where a folder has several parts.
const TESTS: [&str; 3] = ["test", "val", "validation"];

/// Why the pictures of an evaluation could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    #[error(transparent)]
    Data(#[from] DatasetError),
    #[error("{data} has captions, and they name its classes")]
    Captioned { data: String },
    #[error("{} for {}", counted(*names, "name"), counted(*classes, "class"))]
    Names { names: usize, classes: usize },
}

/// The pictures of an evaluation: some to test on and, where there are any, others to train on.
pub struct Questions {
    pub test: Arc<dyn Dataset>,
    pub train: Option<Arc<dyn Dataset>>,
    /// The names of the classes, if the data has classes.
    pub names: Option<Vec<String>>,
    /// The rows, samples or files that were left out when the pictures to test on were opened.
    pub left_out: BadReport,
    /// The rows, samples or files that were left out when the pictures to train on were opened.
    pub train_left_out: BadReport,
    /// The files in folders of classes that are no pictures.
    pub passed_over: PassedOver,
    /// The folders among those of classes that hold no picture, which are no classes.
    pub empty: Vec<String>,
    /// The columns of a table that were used, if they were guessed.
    pub guess: Option<Columns>,
    /// A file beside the data with the sentences that names are put into.
    pub templates: Option<PathBuf>,
}

impl Questions {
    /// Makes questions with nothing left out.
    pub fn new(test: Arc<dyn Dataset>, train: Option<Arc<dyn Dataset>>, names: Option<Vec<String>>) -> Self {
        let (left_out, train_left_out, passed_over, empty) = Default::default();
        Self { test, train, names, left_out, train_left_out, passed_over, empty, guess: None, templates: None }
    }

    /// Opens pairs, folders of classes, a folder of IDX files, or shards with classes. `names` are the names of the
    /// classes in the order of their folders or numbers; with `None` they are those of the folders, Fashion-MNIST's, or
    /// those beside the shards.
    ///
    /// # Errors
    /// Returns an error if the data cannot be read or has no usable example, or if the names do not fit it.
    pub fn open(
        data: &str,
        train: Option<&str>,
        names: Option<Vec<String>>,
        layout: &PairLayout,
        limit: BadLimit,
    ) -> Result<Self, OpenError> {
        match Stored::at(data, layout.format)? {
            Stored::Shards(shards) => Self::shards(data, &shards, train, names, layout, limit),
            Stored::Folder if layout.format.is_some() => Err(DatasetError::NoPairs { path: data.into() }.into()),
            Stored::Folder => {
                let folder = Path::new(data);
                let holds_pairs =
                    |path: &String| Path::new(path).is_dir() && !matches!(Stored::at(path, None), Ok(Stored::Folder));
                let part = |name: &str| Some(format!("{data}/{name}")).filter(holds_pairs);
                if IdxPictures::is_in(folder, Part::Test) {
                    Ok(Self::idx(folder, train.map(Path::new), names)?)
                } else if let Some(test) = TESTS.iter().find_map(|name| part(name)) {
                    let train = train.map(str::to_owned).or_else(|| part("train"));
                    Self::open(&test, train.as_deref(), names, layout, limit)
                } else {
                    Self::folders(folder, train.map(Path::new), names)
                }
            }
            _ => Self::pairs(data, train, names, layout, limit),
        }
    }

    fn pairs(
        data: &str,
        train: Option<&str>,
        names: Option<Vec<String>>,
        layout: &PairLayout,
        limit: BadLimit,
    ) -> Result<Self, OpenError> {
        if names.is_some() {
            return Err(OpenError::Captioned { data: data.into() });
        }
        let test = OwnPairs::open(data, layout, limit)?;
        let train = train.map(|train| OwnPairs::open(train, layout, limit)).transpose()?;
        Ok(Self::of(&test, train.as_ref(), None))
    }

    fn of(test: &OwnPairs, train: Option<&OwnPairs>, names: Option<Vec<String>>) -> Self {
        let dataset = |pairs: &OwnPairs| Arc::clone(pairs.dataset());
        let mut questions = Self::new(dataset(test), train.map(dataset), names);
        questions.left_out = test.bad().clone();
        questions.train_left_out = train.map(|train| train.bad().clone()).unwrap_or_default();
        questions.guess = test.guess().or(train.and_then(OwnPairs::guess)).cloned();
        questions
    }

    /// Opens shards, whose samples have classes or captions.
    fn shards(
        data: &str,
        shards: &[PathBuf],
        train: Option<&str>,
        names: Option<Vec<String>>,
        layout: &PairLayout,
        limit: BadLimit,
    ) -> Result<Self, OpenError> {
        let about = About::of(&shards[0])?;
        if about.is_retrieval && names.is_none() {
            let pairs = OwnPairs::shards(data, Shards::open_lines(shards, limit)?);
            return Ok(Self::of(&pairs, None, None));
        }
        if !Shards::has_classes(&shards[0])? {
            return Self::pairs(data, train, names, layout, limit);
        }
        let names = names.or(about.names).ok_or_else(|| DatasetError::NoNames { path: shards[0].clone() })?;
        let open = |path: &str, shards: &[PathBuf]| {
            Ok::<_, OpenError>(OwnPairs::shards(path, Shards::open_classes(shards, &names, limit)?))
        };
        let train = train.map(|path| match Stored::at(path, layout.format)? {
            Stored::Shards(shards) => open(path, &shards),
            _ => Err(DatasetError::Shard { path: path.into(), reason: "no shards, as the others are".into() }.into()),
        });
        let (test, train) = (open(data, shards)?, train.transpose()?);
        Ok(Self { templates: about.templates, ..Self::of(&test, train.as_ref(), Some(names.clone())) })
    }

    fn folders(folder: &Path, train: Option<&Path>, names: Option<Vec<String>>) -> Result<Self, OpenError> {
        let (test, own_train) = parts(folder)?;
        let train = train.map(Path::to_owned).or(own_train);
        let both: Vec<&Path> = [Some(test.as_path()), train.as_deref()].into_iter().flatten().collect();
        let mut classes = class_folders(&both)?;
        let mut empty = empty_folders(&both, &classes)?;
        // Whoever has a name for every folder means them all.
        if names.as_ref().is_some_and(|names| names.len() == classes.len() + empty.len()) {
            classes.append(&mut empty);
            classes.sort();
        }
        let names = names.unwrap_or_else(|| classes.iter().map(|class| class.replace('_', " ")).collect());
        if names.len() != classes.len() {
            return Err(OpenError::Names { names: names.len(), classes: classes.len() });
        }
        let mut passed_over = PassedOver::default();
        let mut open = |path: &Path| {
            let opened = ImageFolder::open(path, &classes, &names)?;
            let left_out = opened.bad().clone();
            passed_over.merge(opened.passed_over().clone());
            Ok::<_, DatasetError>((Arc::new(opened) as Arc<dyn Dataset>, left_out))
        };
        let (test, left_out) = open(&test)?;
        let (train, train_left_out) = train.as_deref().map(open).transpose()?.unzip();
        let train_left_out = train_left_out.unwrap_or_default();
        Ok(Questions { left_out, train_left_out, passed_over, empty, ..Self::new(test, train, Some(names)) })
    }

    fn idx(folder: &Path, train: Option<&Path>, names: Option<Vec<String>>) -> Result<Self, DatasetError> {
        let names = names.unwrap_or_else(|| FASHION.map(String::from).to_vec());
        let open =
            |folder, part| IdxPictures::open(folder, part, &names).map(|data| Arc::new(data) as Arc<dyn Dataset>);
        let train = train.or(IdxPictures::is_in(folder, Part::Train).then_some(folder));
        let train = train.map(|folder| open(folder, Part::Train)).transpose()?;
        Ok(Self::new(open(folder, Part::Test)?, train, Some(names)))
    }
}
