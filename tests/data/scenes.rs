//! Tests of scenes: each is a function of its number, and everything said about it is true of its pixels and places.

use clipwright::batches::{Loader, LoaderConfig};
use clipwright::datasets::emoji::{Emoji, Language, Split, Vendor};
use clipwright::datasets::scenes::{
    Arrangement, Asked, Division, Group, LANGUAGES, Scene, SceneOptions, SceneQuestions, Scenes, Square, cut_out,
};
use clipwright::datasets::{Answer, BadLimit, Dataset, Example};
use clipwright::pictures::{Picture, Preprocess};
use clipwright::random::rng;
use clipwright::text::BlipQuestions;
use clipwright::text::tokenizer::Tokenizer;
use clipwright::text::wordpiece::WordPiece;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock};

static EMOJI: LazyLock<Arc<Emoji>> = LazyLock::new(|| Arc::new(Emoji::load()));

fn scenes(change: impl Fn(&mut SceneOptions)) -> Scenes {
    let (languages, division) = (vec![Language::English], Division::Train);
    let mut options = SceneOptions { division, seed: 3, count: 40, image_size: 96, languages, caption_noise: 0.0 };
    change(&mut options);
    Scenes::new(Arc::clone(&EMOJI), options)
}

fn read(scenes: &Scenes, index: usize) -> (Vec<u8>, String) {
    let mut example = Example::default();
    scenes.read(index, &mut rng(&[rand::random()]), &mut example).unwrap();
    (example.picture.samples, example.caption)
}

/// All true captions of a scene can be drawn, the one beside it among them, and no noisy one.
#[test]
fn wordings_are_the_true_captions() {
    let noisy = scenes(|options| options.caption_noise = 0.5);
    for number in 0..40 {
        let (caption, wordings) = (noisy.caption(number), noisy.wordings(number, 2000));
        assert_eq!(wordings.iter().collect::<HashSet<_>>().len(), wordings.len());
        assert_eq!(wordings.contains(&caption.text), caption.noise.is_none(), "{caption:?}");
        assert!(wordings.len() > 3 && wordings[..4] == noisy.wordings(number, 2000)[..4]);
    }
}

/// Each time that a scene is read, it is asked one of its questions; batches have the answers' tokens.
#[test]
fn scenes_ask_questions() {
    let all = Arc::new(scenes(|_| ()));
    let asking = Arc::new(SceneQuestions(Arc::clone(&all)));
    let mut asked = HashSet::new();
    for seed in 0..30 {
        let mut example = Example::default();
        asking.read(5, &mut rng(&[seed]), &mut example).unwrap();
        let Example { caption, answers, .. } = example;
        let question = all.questions(5).into_iter().find(|question| question.text == caption).unwrap();
        assert_eq!(answers, [Answer { text: question.answer, weight: 1.0 }]);
        asked.insert(caption);
    }
    assert!(asked.len() > 2, "{asked:?}");
    let pieces = Arc::new(WordPiece::blip());
    let config = LoaderConfig {
        batch_size: 8,
        own: 0..8,
        context_length: 35,
        preprocess: Preprocess { size: 32, ..Preprocess::default() },
        image_sizes: None,
        augment: None,
        known: None,
        teacher: None,
        seed: 1,
        workers: 2,
        start_step: 0,
        bad_limit: BadLimit::default(),
    };
    let mut loader = Loader::new(asking, Arc::new(BlipQuestions(Arc::clone(&pieces))), config).unwrap();
    let batch = loader.next().unwrap();
    assert_eq!(batch.answers.of_pictures, (0..8).map(|i| i..i + 1).collect::<Vec<_>>());
    assert_eq!((batch.answers.weights.as_slice(), batch.answers.offsets.len()), (&[1.0; 8][..], 9));
    for i in 0..8 {
        let words = |ids: &[u32], offsets: &[usize]| pieces.decode(&ids[offsets[i]..offsets[i + 1]]);
        let (question, answer) =
            (words(&batch.tokens, &batch.offsets), words(&batch.answers.tokens, &batch.answers.offsets));
        let asks = |number: usize| all.questions(number).iter().any(|q| q.text == question && q.answer == answer);
        assert!((0..40).any(asks), "{question} {answer}");
    }
}

#[test]
fn a_scene_is_a_function_of_its_number_alone() {
    let all = scenes(|options| options.caption_noise = 0.3);
    let forwards: Vec<_> = (0..40).map(|i| read(&all, i)).collect();
    let backwards = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..40)
            .rev()
            .map(|i| scope.spawn(move || (i, read(&scenes(|o| o.caption_noise = 0.3), i))))
            .take(4)
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(backwards.into_iter().all(|(i, scene)| forwards[i] == scene));
    let other = scenes(|options| options.seed = 4);
    assert!((0..40).all(|i| other.scene(i) != all.scene(i)));
    let foreign = scenes(|options| options.languages = vec![Language::Russian]);
    assert!((0..40).all(|i| foreign.scene(i) == all.scene(i)));
    assert_ne!(foreign.list_digest(), all.list_digest());
}

#[test]
fn the_loader_makes_the_same_batches_with_any_number_of_threads() {
    let run = |workers| {
        let config = LoaderConfig {
            batch_size: 16,
            own: 0..16,
            context_length: 32,
            preprocess: Preprocess { size: 96, ..Preprocess::default() },
            image_sizes: None,
            augment: None,
            known: None,
            teacher: None,
            seed: 1,
            workers,
            start_step: 0,
            bad_limit: BadLimit::default(),
        };
        let mut loader = Loader::new(Arc::new(scenes(|_| ())), Arc::new(Tokenizer::clip()), config).unwrap();
        (0..4).map(|_| loader.next().unwrap()).collect::<Vec<_>>()
    };
    assert!(run(1) == run(3));
}

/// Kinds to train on follow Zipf's law in the order of the file; where a model is judged, all are equally frequent but for
/// coloured things, which are drawn for a coloured neighbour too.
#[test]
fn kinds_are_unevenly_frequent_only_where_a_model_is_trained() {
    let skew = |division| {
        let all = scenes(|options| options.division = division);
        let kinds: Vec<usize> = all.kinds().collect();
        let shown: Vec<usize> = (0..4000).flat_map(|i| all.scene(i).groups).map(|group| group.tile.concept).collect();
        let share = |kinds: &[usize]| shown.iter().filter(|kind| kinds.contains(kind)).count() as f32;
        share(&kinds[..40]) / share(&kinds[kinds.len() / 2..][..40])
    };
    let [trained, judged] = [Division::Train, Division::Test].map(skew);
    assert!(trained > 5.0 && (0.5..2.0).contains(&judged), "{trained} {judged}");
}

#[test]
fn divisions_share_no_drawing() {
    let concepts = EMOJI.concepts();
    let mut kinds = HashMap::new();
    for division in Division::ALL {
        let all = scenes(|options| options.division = division);
        kinds.insert(division, all.kinds().collect::<HashSet<_>>());
        let tiles: Vec<_> = (0..500).flat_map(|i| all.scene(i).groups).map(|group| group.tile).collect();
        assert!(tiles.iter().all(|tile| match division {
            Division::Train => tile.vendor != Vendor::Noto && tile.vendor != Vendor::Twemoji,
            Division::Val | Division::ValConcepts => tile.vendor == Vendor::Noto,
            Division::Test | Division::TestConcepts => tile.vendor == Vendor::Twemoji,
        }));
        let held_out = tiles.iter().filter(|tile| concepts[tile.concept].split == Split::HeldOut).count();
        assert_eq!(held_out, if division == Division::TestConcepts { tiles.len() } else { 0 });
    }
    let train = &kinds[&Division::Train];
    assert!(train.len() > 300, "{}", train.len());
    assert!(kinds[&Division::Val].is_subset(train) && kinds[&Division::Test].is_subset(train));
    for new in [Division::ValConcepts, Division::TestConcepts] {
        assert!(kinds[&new].len() > 20 && kinds[&new].is_disjoint(train), "{}", kinds[&new].len());
    }
}

/// Bounds of a group: left, right, top, bottom.
fn bounds(group: &Group) -> [f32; 4] {
    let fold = |of: fn(&Square) -> f32, pick: fn(f32, f32) -> f32| group.squares.iter().map(of).reduce(pick).unwrap();
    [
        fold(|s| s.x, f32::min),
        fold(|s| s.x + s.side, f32::max),
        fold(|s| s.y, f32::min),
        fold(|s| s.y + s.side, f32::max),
    ]
}

#[test]
fn drawings_stand_as_arranged_and_never_overlap() {
    let (all, mut numbers) = (scenes(|_| ()), HashSet::new());
    for i in 0..3000 {
        let scene = all.scene(i);
        numbers.insert(scene.groups.iter().map(|group| group.squares.len()).sum::<usize>());
        let ends = if scene.arrangement == Arrangement::Row { (0, 1) } else { (2, 3) };
        for pair in scene.groups.windows(2) {
            assert!(bounds(&pair[0])[ends.1] <= bounds(&pair[1])[ends.0], "{i}");
        }
        for size in [32, 96, 225] {
            let squares = scene.groups.iter().flat_map(|group| &group.squares).map(|square| square.pixels(size));
            let mut taken = vec![false; size * size];
            for [x, y, side] in squares {
                assert!(side > 0);
                for at in (y..y + side).flat_map(|y| (x..x + side).map(move |x| y * size + x)) {
                    assert!(!std::mem::replace(&mut taken[at], true), "{i}");
                }
            }
        }
    }
    assert_eq!(numbers, HashSet::from([1, 2, 3]));
}

/// Patterns of two and three groups. `1`, `2`, `3` are the first, second and third group from the left or the top, `?`
/// any of them; before `|` stands how they must stand: in a row, in a column, or anyhow.
const PATTERNS: &[(&str, &str)] = &[
    (
        "en",
        "R|1 to the left of 2;R|2 to the right of 1;R|1 on the left and 2 on the right;R|2 on the right, 1 on the left;R|1 beside 2;C|1 above 2;C|2 below 1;C|1 at the top and 2 at the bottom;C|2 at the bottom, 1 at the top;C|2 under 1;R|1 on the left, 2 in the middle, 3 on the right;R|from left to right: 1, 2, 3;R|2 to the right of 1 and to the left of 3;C|1 at the top, 2 in the middle, 3 at the bottom;C|from top to bottom: 1, 2, 3;C|2 below 1 and above 3;A|2 between ? and ?;A|? and ?;A|?, ? and ?",
    ),
    (
        "de",
        "R|links 1, rechts 2;R|1 links, 2 rechts;R|rechts 2, links 1;C|oben 1, unten 2;C|1 oben, 2 unten;C|unten 2, oben 1;R|links 1, in der Mitte 2, rechts 3;R|von links nach rechts: 1, 2, 3;C|oben 1, in der Mitte 2, unten 3;C|von oben nach unten: 1, 2, 3;A|? und ?;A|?, ? und ?",
    ),
    (
        "es",
        "R|a la izquierda 1, a la derecha 2;R|1 a la izquierda, 2 a la derecha;R|a la derecha 2, a la izquierda 1;C|arriba 1, abajo 2;C|1 arriba, 2 abajo;C|abajo 2, arriba 1;R|a la izquierda 1, en el centro 2, a la derecha 3;R|de izquierda a derecha: 1, 2, 3;C|arriba 1, en el centro 2, abajo 3;C|de arriba abajo: 1, 2, 3;A|?, ?;A|?, ?, ?",
    ),
    (
        "fr",
        "R|à gauche 1, à droite 2;R|1 à gauche, 2 à droite;R|à droite 2, à gauche 1;C|en haut 1, en bas 2;C|1 en haut, 2 en bas;C|en bas 2, en haut 1;R|à gauche 1, au milieu 2, à droite 3;R|de gauche à droite : 1, 2, 3;C|en haut 1, au milieu 2, en bas 3;C|de haut en bas : 1, 2, 3;A|? et ?;A|?, ? et ?",
    ),
    (
        "it",
        "R|a sinistra 1, a destra 2;R|1 a sinistra, 2 a destra;R|a destra 2, a sinistra 1;C|in alto 1, in basso 2;C|1 in alto, 2 in basso;C|in basso 2, in alto 1;R|a sinistra 1, al centro 2, a destra 3;R|da sinistra a destra: 1, 2, 3;C|in alto 1, al centro 2, in basso 3;C|dall’alto in basso: 1, 2, 3;A|?, ?;A|?, ?, ?",
    ),
    (
        "pt",
        "R|à esquerda 1, à direita 2;R|1 à esquerda, 2 à direita;R|à direita 2, à esquerda 1;C|em cima 1, embaixo 2;C|1 em cima, 2 embaixo;C|embaixo 2, em cima 1;R|à esquerda 1, no meio 2, à direita 3;R|da esquerda para a direita: 1, 2, 3;C|em cima 1, no meio 2, embaixo 3;C|de cima para baixo: 1, 2, 3;A|? e ?;A|?, ? e ?",
    ),
    (
        "ru",
        "R|слева 1, справа 2;R|1 слева, 2 справа;R|справа 2, слева 1;C|сверху 1, снизу 2;C|1 сверху, 2 снизу;C|снизу 2, сверху 1;R|слева 1, посередине 2, справа 3;R|слева направо: 1, 2, 3;C|сверху 1, посередине 2, снизу 3;C|сверху вниз: 1, 2, 3;A|? и ?;A|?, ? и ?",
    ),
];

/// Returns what a group may be called: in English by the table of nouns, else by CLDR's name.
fn called(group: &Group, language: Language) -> Vec<String> {
    let name = EMOJI.labels(language)[group.tile.concept];
    let count = group.squares.len();
    if language == Language::English {
        let table = include_str!("../../data/emoji/nouns.tsv").lines().map(|line| line.split('\t').collect::<Vec<_>>());
        let row = table.into_iter().find(|row| row[1] == name).unwrap();
        return vec![
            [format!("{} {name}", row[0]), format!("two {}", row[2]), format!("three {}", row[2])][count - 1].clone(),
        ];
    }
    let times = match language.code() {
        "de" => ["zweimal", "dreimal"],
        "es" => ["dos veces", "tres veces"],
        "fr" => ["deux fois", "trois fois"],
        "it" => ["due volte", "tre volte"],
        "pt" => ["duas vezes", "três vezes"],
        _ => ["дважды", "трижды"],
    };
    let quoted = if language == Language::German { name.to_owned() } else { format!("\"{name}\"") };
    match count {
        1 => vec![name.to_owned()],
        _ => vec![format!("{count} × {name}"), format!("{} {quoted}", times[count - 2])],
    }
}

/// Returns every sentence about the groups that is true, by where their drawings are.
fn true_sentences(scene: &Scene, language: Language) -> HashSet<String> {
    let mut groups: Vec<&Group> = scene.groups.iter().collect();
    let is_row = groups.windows(2).all(|pair| bounds(pair[0])[1] <= bounds(pair[1])[0]);
    groups.sort_by(|a, b| bounds(a)[if is_row { 0 } else { 2 }].total_cmp(&bounds(b)[if is_row { 0 } else { 2 }]));
    let variants = groups.iter().map(|group| called(group, language).len()).max().unwrap();
    let mut all = HashSet::new();
    for variant in 0..variants {
        let names: Vec<String> =
            groups.iter().map(|g| called(g, language)).map(|own| own[variant % own.len()].clone()).collect();
        if names.len() == 1 {
            all.extend(["", "a picture of ", "a drawing of "].map(|start| format!("{start}{}", names[0])));
            continue;
        }
        let patterns = PATTERNS.iter().find(|(code, _)| *code == language.code()).unwrap().1;
        for pattern in patterns.split(';') {
            let (stand, pattern) = pattern.split_once('|').unwrap();
            let places = pattern.matches(['1', '2', '3', '?']).count();
            if places != names.len() || (stand == "R" && !is_row) || (stand == "C" && is_row) {
                continue;
            }
            for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
                let fixed: Vec<char> = pattern.chars().filter(char::is_ascii_digit).collect();
                let others = order.iter().filter(|&&k| k < names.len() && !fixed.contains(&char::from(b'1' + k as u8)));
                let mut others = others.copied();
                let fill = |c: char| match c {
                    '1'..='3' => names[c as usize - '1' as usize].clone(),
                    '?' => names[others.next().unwrap()].clone(),
                    c => c.to_string(),
                };
                all.insert(pattern.chars().map(fill).collect());
            }
        }
    }
    all
}

/// The ground's phrases, in the order of the grounds.
const GROUNDS: &[(&str, &str)] = &[
    ("en", "a white,a grey,a yellow,a green,a blue,a pink,an orange,a purple"),
    ("de", "weißem,grauem,gelbem,grünem,blauem,rosa,orangefarbenem,violettem"),
    ("es", "blanco,gris,amarillo,verde,azul,rosa,naranja,morado"),
    ("fr", "blanc,gris,jaune,vert,bleu,rose,orange,violet"),
    ("it", "bianco,grigio,giallo,verde,blu,rosa,arancione,viola"),
    ("pt", "branco,cinza,amarelo,verde,azul,rosa,laranja,roxo"),
    ("ru", "белом,сером,жёлтом,зелёном,синем,розовом,оранжевом,фиолетовом"),
];

#[test]
fn captions_are_true_in_every_language_and_bert_can_spell_them() {
    let bert = WordPiece::blip();
    let unknown = bert.id("[UNK]").unwrap();
    for language in LANGUAGES {
        let all = scenes(|options| options.languages = vec![language]);
        let grounds: Vec<_> = GROUNDS.iter().find(|(code, _)| *code == language.code()).unwrap().1.split(',').collect();
        for i in 0..1000 {
            let (scene, caption) = (all.scene(i), all.caption(i));
            assert_eq!((caption.language, caption.noise), (language, None));
            let ground = grounds[scene.ground as usize];
            let around = match language.code() {
                "en" => [("", format!(" on {ground} background")), ("", format!(", on {ground} ground"))],
                "de" => [("", format!(", auf {ground} Grund")), ("auf # Grund: ", String::new())],
                "es" => [("", format!(", sobre fondo {ground}")), ("sobre fondo #: ", String::new())],
                "fr" => [("", format!(", sur fond {ground}")), ("sur fond # : ", String::new())],
                "it" => [("", format!(", su sfondo {ground}")), ("su sfondo #: ", String::new())],
                "pt" => [("", format!(", sobre fundo {ground}")), ("sobre fundo #: ", String::new())],
                _ => [("", format!(", на {ground} фоне")), ("на # фоне: ", String::new())],
            };
            let is_true = true_sentences(&scene, language).iter().any(|sentence| {
                let with = |(before, after): &(&str, String)| {
                    format!("{}{sentence}{after}", before.replace('#', ground)) == caption.text
                };
                *sentence == caption.text || around.iter().any(with)
            });
            assert!(is_true, "{caption:?} {scene:?}");
            for question in all.questions(i) {
                for text in [&caption.text, &question.text, &question.answer] {
                    assert!(!bert.encode(text, 512).contains(&unknown), "{text}");
                }
                assert!(!format!("{}{}", question.text, question.answer).contains(['{', '}']), "{question:?}");
            }
        }
    }
}

#[test]
fn counts_and_kinds_that_answers_name_are_those_of_a_group() {
    let all = scenes(|_| ());
    for i in 0..2000 {
        let scene = all.scene(i);
        let name = |group: &Group| EMOJI.concepts()[group.tile.concept].label;
        for question in all.questions(i) {
            let holds = match question.asked {
                Asked::Count => scene.groups.iter().any(|group| {
                    let mut two = group.clone();
                    two.squares = vec![group.squares[0]; 2];
                    let plural = called(&two, Language::English).remove(0);
                    let is_asked = question.text.starts_with(&format!("how many {} ", &plural["two ".len()..]));
                    is_asked && question.answer == group.squares.len().to_string()
                }),
                Asked::Colour if question.text.ends_with("ground?") => {
                    question.answer == format!("{:?}", scene.ground).to_lowercase()
                }
                Asked::Colour => scene.groups.iter().any(|g| name(g).starts_with(&format!("{} ", question.answer))),
                Asked::What => scene.groups.iter().any(|g| called(g, Language::English)[0].ends_with(&question.answer)),
                Asked::Where => ["left", "right", "top", "bottom", "middle"].contains(&question.answer.as_str()),
            };
            assert!(holds, "{question:?} {scene:?}");
        }
    }
}

#[test]
fn the_share_of_noise_is_what_was_asked_for() {
    let all = scenes(|options| options.caption_noise = 0.3);
    let noisy = (0..5000).filter(|&i| all.caption(i).noise.is_some()).count();
    assert!((1400..1600).contains(&noisy), "{noisy}");
}

#[test]
fn a_drawing_of_its_own_size_is_its_tile() {
    let all = scenes(|options| options.image_size = 192);
    let (mut tile, mut picture, mut seen) = (Picture::default(), Picture::default(), 0);
    for i in 0..400 {
        let scene = all.scene(i);
        all.paint(i, &mut picture);
        for (group, square) in scene.groups.iter().flat_map(|group| group.squares.iter().map(move |s| (group, s))) {
            let [left, top, side] = square.pixels(192);
            if side != 64 {
                continue;
            }
            EMOJI.paint(group.tile, &mut tile);
            let cut = cut_out(&tile);
            for (at, pixel) in cut.samples.as_chunks::<4>().0.iter().enumerate() {
                let place = (top + at / 64) * 192 + left + at % 64;
                let painted = picture.samples.as_chunks::<3>().0[place];
                match pixel[3] {
                    255 => assert_eq!(painted, tile.samples.as_chunks::<3>().0[at]),
                    0 => assert_eq!(painted, scene.ground.rgb()),
                    _ => {}
                }
            }
            seen += 1;
        }
    }
    assert!(seen > 3, "{seen}");
}
