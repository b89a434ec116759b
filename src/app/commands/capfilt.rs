//! `clipwright capfilt`: makes better data of noisy pairs.

use super::capfilt_folder::{Folder, Line};
use super::capfilt_models::{Captioner, Filter, Models};
use super::capfilt_report::{Report, Truth};
use super::pictures::Tally;
use super::writing::{Draws, Form, check_room};
use super::{CliError, Context};
use crate::app::hint;
use crate::app::number::up_to;
use crate::app::part::Part;
use crate::app::train::data_options::Storage;
use crate::app::train::values::share;
use crate::counted::there_are;
use crate::datasets::{BadLimit, OwnPairs};
use crate::embed::blip::published::PROMPT;
use crate::embed::{Blip, Task};
use clap::{ArgGroup, Args};
use serde_json::{Map, Value, json};
use std::path::PathBuf;

/// Largest number of pictures in a shard, whose captions are in memory together.
const MAX_SHARD_SIZE: u32 = 1_000_000;

/// What the folder holds, and how captions are drawn and judged. Another version would end with other bytes.
const VERSION: u32 = 1;

/// Make better data of noisy pairs: write captions, and keep those that fit
///
/// Captions from the web often do not say what a picture shows. CapFilt, the bootstrapping of BLIP, has two models work
/// on them: a captioner writes a synthetic caption for every picture, and a filter, for which each caption looks at the
/// picture, removes web and synthetic captions that do not fit. What is left are new pairs to train a model on, best
/// from scratch. Captioner and filter are usually one pre-trained model, fine-tuned twice on little clean data.
///
/// Captions are drawn (nucleus sampling), which gives more surprising ones than a beam search, and so better data,
/// although more of them are removed. A caption is judged as `match` does it. Either model may be left out: a filter
/// alone removes web captions, a captioner alone adds captions that nobody has judged.
///
/// Pictures that cannot be read are named and left out. The others are judged nevertheless, and the exit code is then 1
/// unless --skip-unreadable is given.
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("models").args(["captioner", "filter"]).required(true).multiple(true)),
    override_usage = "clipwright capfilt [OPTIONS] --captioner A --filter B --out DIR DATA",
    mut_group("Draws", |group| group.requires("captioner")),
    mut_group("Form", |group| group.requires("captioner")),
    after_help = "\
DATA is what train --train-data reads: a table, a folder with metadata.jsonl or
metadata.csv, or tar shards.

In the folder DIR, for every 1,000 pairs of DATA:
  000000.tar    a sample for each caption that is kept: the picture's own bytes,
                .txt, and .json with {\"number\", \"key\", \"source\", \"caption\",
                \"probability\", \"verdict\"}; a picture with two captions is there
                twice
  000000.jsonl  the same object a line for all captions, also those that are
                removed, duplicates of web captions, or empty once they are
                cleaned; {\"number\", \"key\", \"unreadable\"} for other pictures
\"key\" is the picture's name in DATA, \"number\" the place of the pair, \"source\"
is web or synthetic.

A finished shard is not made again: after an interruption the same command goes
on from there, and ends with the same bytes. With other options, models or data
the folder is refused. --shard divides the work: machine I of N makes every N-th
shard, and all their files together are those of one machine.

Examples:
  clipwright capfilt web.csv --captioner cap/ --filter itm/ --out clean
  clipwright capfilt web.csv --filter itm/ --threshold 0.7 --out filtered
  clipwright capfilt 'web/*.tar' --captioner cap/ --filter itm/ --out clean \\
      --shard 1/4

The whole circle, on scenes of emoji, 30 % of whose captions are noise:
  clipwright scenes --out web --count 24000 --caption-noise 0.3
  clipwright scenes --out human --count 2000 --seed 1
  train --train-data web --model Emoji-BLIP-S --name first
  train --train-data human --pretrained runs/first --task caption --name cap
  train --train-data human --pretrained runs/first --task retrieval --name itm
  clipwright capfilt web --captioner runs/cap --filter runs/itm --out clean \\
      --truth web/metadata.jsonl
  train --train-data 'clean/*.tar' --model Emoji-BLIP-S --name second"
)]
pub(crate) struct Capfilt {
    /// Pairs of pictures and captions; see below
    #[arg(value_name = "DATA")]
    data: String,
    /// BLIP that writes captions: a folder, a file, or a name in the Hugging Face cache
    #[arg(long, value_name = "PATH")]
    captioner: Option<PathBuf>,
    /// BLIP that judges captions; it may be the captioner, if that is a pre-trained model
    #[arg(long, value_name = "PATH")]
    filter: Option<PathBuf>,
    /// Folder to write
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Least probability, as the filter sees it, that a caption fits its picture
    #[arg(long, value_name = "P", default_value_t = 0.5, value_parser = share, requires = "filter")]
    threshold: f64,
    /// Number of pairs of DATA that a shard is made of
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = up_to(MAX_SHARD_SIZE))]
    shard_size: usize,
    /// Make only shards I, I + N, I + 2 N …, counted from 0
    #[arg(long, value_name = "I/N")]
    shard: Option<Part>,
    /// File that says which web captions are noise, so that the report says how much of it is removed
    ///
    /// It has lines of {"file_name", "noise"}, where noise is null for good captions, as the metadata.jsonl of
    /// `clipwright scenes`. Names are those that DATA has for its pictures.
    #[arg(long, value_name = "FILE", requires = "filter")]
    truth: Option<PathBuf>,
    /// Exit with code 0 even if some of the pictures cannot be read
    #[arg(long)]
    skip_unreadable: bool,
    /// Beginning of every synthetic caption, which is left out of the result; "" for none
    #[arg(long, value_name = "TEXT", default_value = PROMPT, requires = "captioner", help_heading = "Captions")]
    prompt: String,
    #[command(flatten, next_help_heading = "Captions")]
    draws: Draws,
    #[command(flatten, next_help_heading = "Captions")]
    form: Form,
    #[command(flatten, next_help_heading = "Tables")]
    storage: Storage,
}

impl Capfilt {
    pub(crate) fn run(self, context: &Context) -> Result<(), CliError> {
        context.refuse_model("capfilt has --captioner and --filter instead of --model")?;
        self.draws.options(&self.form, 0)?;
        let truth = self.truth.as_deref().map(Truth::read).transpose()?;
        let pairs = OwnPairs::open(&self.data, &self.storage.layout(), BadLimit::default())?;
        hint::say(&pairs);
        let count = pairs.files().concepts().len();
        let all = count.div_ceil(self.shard_size);
        let shards = self.shards(all)?;
        let numbers = |shard: usize| shard * self.shard_size..count.min((shard + 1) * self.shard_size);
        if let Some(truth) = &truth {
            let mut numbers = shards.iter().flat_map(|&shard| numbers(shard));
            numbers.try_for_each(|number| truth.of(&pairs.files().name(number)).map(|_| ()))?;
        }
        let (models, settings) = self.models(context, &pairs)?;
        let folder = Folder::open(&self.out, &settings, all)?;
        folder.say(&shards);
        let (done, missing): (Vec<usize>, Vec<usize>) = shards.iter().partition(|&&shard| folder.has(shard));
        let mut report = Report::new(self.out.clone(), shards.len(), pairs.bad().bad);
        for shard in done {
            let lines = folder.lines(shard)?;
            lines.iter().for_each(say_unreadable);
            report.count(&lines, truth.as_ref())?;
        }
        let looks: usize = missing.iter().map(|&shard| numbers(shard).len() * models.looks()).sum();
        let bar = context.output.progress(looks, "pictures");
        for shard in missing {
            let lines = models.judge(pairs.files(), numbers(shard), &bar)?;
            folder.put(shard, &lines, pairs.files())?;
            report.count(&lines, truth.as_ref())?;
        }
        bar.finish_and_clear();
        context.output.show(&report)?;
        let (seen, bad) = report.seen_and_bad();
        Tally { seen, bad }.verdict(self.skip_unreadable)
    }

    /// Returns the shards that are to be made, of so many in all.
    fn shards(&self, all: usize) -> Result<Vec<usize>, CliError> {
        let part = Part::of_process(self.shard);
        if part.place >= all {
            let there = there_are(all, "shard");
            return Err(CliError::Usage(format!("--shard {part}: {there} in all; a smaller --shard-size makes more")));
        }
        Ok((part.place..all).step_by(part.of).collect())
    }

    /// Reads the models, and returns with them the settings that all runs for a folder must share.
    fn models(&self, context: &Context, pairs: &OwnPairs) -> Result<(Models, Map<String, Value>), CliError> {
        let mut settings = Map::new();
        settings.insert("version".into(), json!(VERSION));
        settings.insert("pairs".into(), json!(pairs.files().list_digest().to_string()));
        settings.insert("shard_size".into(), json!(self.shard_size));
        let (mut captioner, mut captioner_id) = (None, None);
        if let Some(path) = &self.captioner {
            let (described, id) = context.identify_blip(path)?;
            let blip = Blip::open(described, Task::Caption)?;
            let options = self.draws.options(&self.form, blip.config().text.ids.end)?;
            check_room(&blip, &self.prompt, &options)?;
            settings.insert("captioner".into(), json!(id.fingerprint));
            settings.insert("prompt".into(), json!(self.prompt));
            settings.insert("search".into(), json!(format!("{options:?}")));
            captioner = Some(Captioner { blip, prompt: self.prompt.clone(), options });
            captioner_id = Some(id.fingerprint);
        }
        let mut filter = None;
        if let Some(path) = &self.filter {
            let (described, id) = context.identify_blip(path)?;
            settings.insert("filter".into(), json!(id.fingerprint));
            settings.insert("threshold".into(), json!(self.threshold));
            let is_captioner = captioner_id.is_some_and(|captioner| captioner == id.fingerprint)
                && Task::Match.check(described.config.parts).is_ok();
            let own = || Ok::<_, CliError>(Filter::Own(Box::new(Blip::open(described, Task::Match)?)));
            filter = Some(if is_captioner { Filter::Captioner } else { own()? });
        }
        Ok((Models { captioner, filter, threshold: self.threshold as f32 }, settings))
    }
}

/// Names a picture that an earlier run could not read.
fn say_unreadable(line: &Line) {
    if let Line::Unreadable { unreadable, .. } = line {
        note!("skipped {unreadable}");
    }
}
