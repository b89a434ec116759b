//! Scenes: one to three embedded emoji on a plain ground, with captions, questions and answers.
//!
//! A scene shows up to three drawings, of one kind or of several, in rows or columns, without overlaps. What it shows, how
//! its caption is worded and what is asked about it are pure functions of (seed, division, number of the scene): the same
//! bits on any thread, in any epoch, in any order. Only the caption depends on the languages and the share of noise too, and
//! only the pixels on the size of the picture, at which the drawings are painted directly.
//!
//! Grammar comes before coverage. `data/emoji/nouns.tsv` lists 448 of the 1,923 concepts, with English article and
//! plural. Left out are all people, flags, faces and symbols but for coloured shapes, and names that
//!
//! * cannot be counted, or stand in the plural already: bread, ice, scissors, grapes;
//! * say a state or an event rather than a thing: sunrise, locked, muted speaker;
//! * name the whole of which others are kinds or parts, so that a count would not be certain: bird, ship, wheel;
//! * say a colour that some vendors do not draw: white heart, black cat;
//! * name something else in one of the languages: sport utility vehicle, "Wohnmobil" in German.
//!
//! English sentences inflect. The other languages are worded so that every name stays in the nominative in which CLDR
//! has it ("links Kamel, rechts zweimal rotes Herz"), since the data knows neither genders nor cases.
//!
//! | file | what it knows |
//! |---|---|
//! | `division` | which vendors and concepts are trained on, chosen with and judged on |
//! | `nouns` | which concepts may appear, and which of them together |
//! | `ground` | the colours of the grounds |
//! | `scene` | what a scene shows and where |
//! | `cutout`, `paint` | its pixels |
//! | `grammar`, `wording` | the sentences of each language, and how they are filled in |
//! | `caption` | captions, some of them noise |
//! | `question` | questions with answers |
//! | `set`, `asked` | all of it as a dataset of captions, or of questions |

mod asked;
mod caption;
mod cutout;
mod division;
mod grammar;
mod ground;
mod nouns;
mod paint;
mod question;
mod scene;
mod set;
mod wording;

pub use asked::SceneQuestions;
pub use caption::{Caption, Noise};
pub use cutout::cut_out;
pub use division::Division;
pub use grammar::LANGUAGES;
pub use ground::Ground;
pub use question::{Asked, Question};
pub use scene::{Arrangement, Group, Place, Scene, Square};
pub use set::{SceneOptions, Scenes};
