//! The sentences of each language.
//!
//! Words in braces are filled in:
//!
//! | place | what stands there |
//! |---|---|
//! | {a}, {b}, {c} | the groups, from left to right or from top to bottom, counted: "two red hearts" |
//! | {s}, {g} | a whole caption, the colour of the ground |
//! | {n}, {p} | the name of a kind, for one and (in English) for more |
//! | {i} | the English article |
//! | {t}, {u} | the name without its colour, for one and for more (in English) |
//! | {x}, {y} | the groups beside the one that is asked for: "the red hearts" (in English) |

use super::ground::Ground;
use crate::datasets::emoji::Language;

/// The languages that scenes are described in.
pub const LANGUAGES: [Language; 7] = [
    Language::English,
    Language::German,
    Language::Spanish,
    Language::French,
    Language::Italian,
    Language::Portuguese,
    Language::Russian,
];

/// Sentences that mean the same.
pub(super) type Variants = &'static [&'static str];

/// The sentences of a language.
pub(super) struct Grammar {
    /// One, two or three of a kind.
    pub counted: &'static [[&'static str; 3]],
    pub alone: Variants,
    /// Two groups and three groups.
    pub row: [Variants; 2],
    pub column: [Variants; 2],
    pub on_ground: Variants,
    /// The colours as they stand in `on_ground`, and as answers.
    pub grounds: [&'static str; Ground::ALL.len()],
    pub colours: [&'static str; Ground::ALL.len()],
    /// The places left, right, top, bottom and middle as answers, and questions for what is there.
    pub places: [&'static str; 5],
    pub what: [Variants; 5],
    /// Questions for a group that is alone.
    pub what_alone: Variants,
    /// A kind as an answer, and questions for its place, its colour, and its neighbour in questions: for one, for more.
    pub answer: [&'static str; 2],
    pub where_is: [Variants; 2],
    /// It is empty where colours of things are not asked for.
    pub colour_of: [Variants; 2],
    pub neighbour: [&'static str; 2],
    pub how_many: Variants,
    pub ground_colour: Variants,
}

impl Grammar {
    /// Returns the sentences of the language at this position of [`LANGUAGES`].
    pub(super) fn of(language: usize) -> &'static Self {
        [&ENGLISH, &GERMAN, &SPANISH, &FRENCH, &ITALIAN, &PORTUGUESE, &RUSSIAN][language]
    }
}

static ENGLISH: Grammar = Grammar {
    counted: &[["{i} {n}", "two {p}", "three {p}"]],
    alone: &["{a}", "a picture of {a}", "a drawing of {a}"],
    row: [
        &[
            "{a} to the left of {b}",
            "{b} to the right of {a}",
            "{a} on the left and {b} on the right",
            "{b} on the right, {a} on the left",
            "{a} beside {b}",
            "{b} and {a}",
        ],
        &[
            "{b} between {a} and {c}",
            "{a} on the left, {b} in the middle, {c} on the right",
            "from left to right: {a}, {b}, {c}",
            "{b} to the right of {a} and to the left of {c}",
            "{c}, {b} and {a}",
        ],
    ],
    column: [
        &[
            "{a} above {b}",
            "{b} below {a}",
            "{a} at the top and {b} at the bottom",
            "{b} at the bottom, {a} at the top",
            "{b} under {a}",
            "{a} and {b}",
        ],
        &[
            "{b} between {c} and {a}",
            "{a} at the top, {b} in the middle, {c} at the bottom",
            "from top to bottom: {a}, {b}, {c}",
            "{b} below {a} and above {c}",
            "{b}, {a} and {c}",
        ],
    ],
    on_ground: &["{s} on {g} background", "{s}, on {g} ground"],
    grounds: ["a white", "a grey", "a yellow", "a green", "a blue", "a pink", "an orange", "a purple"],
    colours: ["white", "grey", "yellow", "green", "blue", "pink", "orange", "purple"],
    places: ["left", "right", "top", "bottom", "middle"],
    what: [
        &["what is on the left?", "what is to the left of {x}?"],
        &["what is on the right?", "what is to the right of {x}?"],
        &["what is at the top?", "what is above {x}?"],
        &["what is at the bottom?", "what is below {x}?"],
        &["what is in the middle?", "what is between {x} and {y}?"],
    ],
    what_alone: &["what is in the picture?", "what does the picture show?"],
    answer: ["{n}", "{p}"],
    where_is: [&["where is the {n}?"], &["where are the {p}?"]],
    colour_of: [&["what color is the {t}?"], &["what color are the {u}?"]],
    neighbour: ["the {n}", "the {p}"],
    how_many: &["how many {p} are there?", "how many {p} does the picture show?"],
    ground_colour: &["what color is the background?", "what color is the ground?"],
};

static GERMAN: Grammar = Grammar {
    counted: &[["{n}", "zweimal {n}", "dreimal {n}"], ["{n}", "2 × {n}", "3 × {n}"]],
    alone: &["{a}"],
    row: [
        &["links {a}, rechts {b}", "{a} links, {b} rechts", "rechts {b}, links {a}", "{b} und {a}"],
        &["links {a}, in der Mitte {b}, rechts {c}", "von links nach rechts: {a}, {b}, {c}", "{c}, {a} und {b}"],
    ],
    column: [
        &["oben {a}, unten {b}", "{a} oben, {b} unten", "unten {b}, oben {a}", "{a} und {b}"],
        &["oben {a}, in der Mitte {b}, unten {c}", "von oben nach unten: {a}, {b}, {c}", "{b}, {a} und {c}"],
    ],
    on_ground: &["{s}, auf {g} Grund", "auf {g} Grund: {s}"],
    grounds: ["weißem", "grauem", "gelbem", "grünem", "blauem", "rosa", "orangefarbenem", "violettem"],
    colours: ["weiß", "grau", "gelb", "grün", "blau", "rosa", "orange", "violett"],
    places: ["links", "rechts", "oben", "unten", "in der Mitte"],
    what: [
        &["Was ist links?"],
        &["Was ist rechts?"],
        &["Was ist oben?"],
        &["Was ist unten?"],
        &["Was ist in der Mitte?"],
    ],
    what_alone: &["Was ist auf dem Bild?", "Was zeigt das Bild?"],
    answer: ["{n}", "{n}"],
    where_is: [&["Wo ist die Zeichnung \"{n}\"?"], &["Wo sind die Zeichnungen \"{n}\"?"]],
    colour_of: [&[], &[]],
    neighbour: ["", ""],
    how_many: &["Wie viele Zeichnungen \"{n}\" gibt es?", "Wie oft ist die Zeichnung \"{n}\" zu sehen?"],
    ground_colour: &["Welche Farbe hat der Grund?", "Welche Farbe hat der Hintergrund?"],
};

static SPANISH: Grammar = Grammar {
    counted: &[["{n}", "2 × {n}", "3 × {n}"], ["{n}", "dos veces \"{n}\"", "tres veces \"{n}\""]],
    alone: &["{a}"],
    row: [
        &[
            "a la izquierda {a}, a la derecha {b}",
            "{a} a la izquierda, {b} a la derecha",
            "a la derecha {b}, a la izquierda {a}",
            "{b}, {a}",
        ],
        &[
            "a la izquierda {a}, en el centro {b}, a la derecha {c}",
            "de izquierda a derecha: {a}, {b}, {c}",
            "{c}, {a}, {b}",
        ],
    ],
    column: [
        &["arriba {a}, abajo {b}", "{a} arriba, {b} abajo", "abajo {b}, arriba {a}", "{a}, {b}"],
        &["arriba {a}, en el centro {b}, abajo {c}", "de arriba abajo: {a}, {b}, {c}", "{b}, {a}, {c}"],
    ],
    on_ground: &["{s}, sobre fondo {g}", "sobre fondo {g}: {s}"],
    grounds: ["blanco", "gris", "amarillo", "verde", "azul", "rosa", "naranja", "morado"],
    colours: ["blanco", "gris", "amarillo", "verde", "azul", "rosa", "naranja", "morado"],
    places: ["a la izquierda", "a la derecha", "arriba", "abajo", "en el centro"],
    what: [
        &["¿Qué hay a la izquierda?"],
        &["¿Qué hay a la derecha?"],
        &["¿Qué hay arriba?"],
        &["¿Qué hay abajo?"],
        &["¿Qué hay en el centro?"],
    ],
    what_alone: &["¿Qué hay en la imagen?", "¿Qué muestra la imagen?"],
    answer: ["{n}", "{n}"],
    where_is: [&["¿Dónde está el dibujo \"{n}\"?"], &["¿Dónde están los dibujos \"{n}\"?"]],
    colour_of: [&[], &[]],
    neighbour: ["", ""],
    how_many: &["¿Cuántos dibujos \"{n}\" hay?"],
    ground_colour: &["¿De qué color es el fondo?"],
};

static FRENCH: Grammar = Grammar {
    counted: &[["{n}", "2 × {n}", "3 × {n}"], ["{n}", "deux fois \"{n}\"", "trois fois \"{n}\""]],
    alone: &["{a}"],
    row: [
        &["à gauche {a}, à droite {b}", "{a} à gauche, {b} à droite", "à droite {b}, à gauche {a}", "{b} et {a}"],
        &["à gauche {a}, au milieu {b}, à droite {c}", "de gauche à droite : {a}, {b}, {c}", "{c}, {a} et {b}"],
    ],
    column: [
        &["en haut {a}, en bas {b}", "{a} en haut, {b} en bas", "en bas {b}, en haut {a}", "{a} et {b}"],
        &["en haut {a}, au milieu {b}, en bas {c}", "de haut en bas : {a}, {b}, {c}", "{b}, {a} et {c}"],
    ],
    on_ground: &["{s}, sur fond {g}", "sur fond {g} : {s}"],
    grounds: ["blanc", "gris", "jaune", "vert", "bleu", "rose", "orange", "violet"],
    colours: ["blanc", "gris", "jaune", "vert", "bleu", "rose", "orange", "violet"],
    places: ["à gauche", "à droite", "en haut", "en bas", "au milieu"],
    what: [
        &["Qu’y a-t-il à gauche ?"],
        &["Qu’y a-t-il à droite ?"],
        &["Qu’y a-t-il en haut ?"],
        &["Qu’y a-t-il en bas ?"],
        &["Qu’y a-t-il au milieu ?"],
    ],
    what_alone: &["Qu’y a-t-il sur l’image ?", "Que montre l’image ?"],
    answer: ["{n}", "{n}"],
    where_is: [&["Où est le dessin \"{n}\" ?"], &["Où sont les dessins \"{n}\" ?"]],
    colour_of: [&[], &[]],
    neighbour: ["", ""],
    how_many: &["Combien de dessins \"{n}\" y a-t-il ?"],
    ground_colour: &["De quelle couleur est le fond ?"],
};

static ITALIAN: Grammar = Grammar {
    counted: &[["{n}", "2 × {n}", "3 × {n}"], ["{n}", "due volte \"{n}\"", "tre volte \"{n}\""]],
    alone: &["{a}"],
    row: [
        &["a sinistra {a}, a destra {b}", "{a} a sinistra, {b} a destra", "a destra {b}, a sinistra {a}", "{b}, {a}"],
        &["a sinistra {a}, al centro {b}, a destra {c}", "da sinistra a destra: {a}, {b}, {c}", "{c}, {a}, {b}"],
    ],
    column: [
        &["in alto {a}, in basso {b}", "{a} in alto, {b} in basso", "in basso {b}, in alto {a}", "{a}, {b}"],
        &["in alto {a}, al centro {b}, in basso {c}", "dall’alto in basso: {a}, {b}, {c}", "{b}, {a}, {c}"],
    ],
    on_ground: &["{s}, su sfondo {g}", "su sfondo {g}: {s}"],
    grounds: ["bianco", "grigio", "giallo", "verde", "blu", "rosa", "arancione", "viola"],
    colours: ["bianco", "grigio", "giallo", "verde", "blu", "rosa", "arancione", "viola"],
    places: ["a sinistra", "a destra", "in alto", "in basso", "al centro"],
    what: [
        &["Che cosa c’è a sinistra?"],
        &["Che cosa c’è a destra?"],
        &["Che cosa c’è in alto?"],
        &["Che cosa c’è in basso?"],
        &["Che cosa c’è al centro?"],
    ],
    what_alone: &["Che cosa c’è nell’immagine?", "Che cosa mostra l’immagine?"],
    answer: ["{n}", "{n}"],
    where_is: [&["Dov’è il disegno \"{n}\"?"], &["Dove sono i disegni \"{n}\"?"]],
    colour_of: [&[], &[]],
    neighbour: ["", ""],
    how_many: &["Quanti disegni \"{n}\" ci sono?"],
    ground_colour: &["Di che colore è lo sfondo?"],
};

static PORTUGUESE: Grammar = Grammar {
    counted: &[["{n}", "2 × {n}", "3 × {n}"], ["{n}", "duas vezes \"{n}\"", "três vezes \"{n}\""]],
    alone: &["{a}"],
    row: [
        &[
            "à esquerda {a}, à direita {b}",
            "{a} à esquerda, {b} à direita",
            "à direita {b}, à esquerda {a}",
            "{b} e {a}",
        ],
        &["à esquerda {a}, no meio {b}, à direita {c}", "da esquerda para a direita: {a}, {b}, {c}", "{c}, {a} e {b}"],
    ],
    column: [
        &["em cima {a}, embaixo {b}", "{a} em cima, {b} embaixo", "embaixo {b}, em cima {a}", "{a} e {b}"],
        &["em cima {a}, no meio {b}, embaixo {c}", "de cima para baixo: {a}, {b}, {c}", "{b}, {a} e {c}"],
    ],
    on_ground: &["{s}, sobre fundo {g}", "sobre fundo {g}: {s}"],
    grounds: ["branco", "cinza", "amarelo", "verde", "azul", "rosa", "laranja", "roxo"],
    colours: ["branco", "cinza", "amarelo", "verde", "azul", "rosa", "laranja", "roxo"],
    places: ["à esquerda", "à direita", "em cima", "embaixo", "no meio"],
    what: [
        &["O que há à esquerda?"],
        &["O que há à direita?"],
        &["O que há em cima?"],
        &["O que há embaixo?"],
        &["O que há no meio?"],
    ],
    what_alone: &["O que há na imagem?", "O que a imagem mostra?"],
    answer: ["{n}", "{n}"],
    where_is: [&["Onde está o desenho \"{n}\"?"], &["Onde estão os desenhos \"{n}\"?"]],
    colour_of: [&[], &[]],
    neighbour: ["", ""],
    how_many: &["Quantos desenhos \"{n}\" há?"],
    ground_colour: &["Qual é a cor do fundo?"],
};

static RUSSIAN: Grammar = Grammar {
    counted: &[["{n}", "2 × {n}", "3 × {n}"], ["{n}", "дважды \"{n}\"", "трижды \"{n}\""]],
    alone: &["{a}"],
    row: [
        &["слева {a}, справа {b}", "{a} слева, {b} справа", "справа {b}, слева {a}", "{b} и {a}"],
        &["слева {a}, посередине {b}, справа {c}", "слева направо: {a}, {b}, {c}", "{c}, {a} и {b}"],
    ],
    column: [
        &["сверху {a}, снизу {b}", "{a} сверху, {b} снизу", "снизу {b}, сверху {a}", "{a} и {b}"],
        &["сверху {a}, посередине {b}, снизу {c}", "сверху вниз: {a}, {b}, {c}", "{b}, {a} и {c}"],
    ],
    on_ground: &["{s}, на {g} фоне", "на {g} фоне: {s}"],
    grounds: ["белом", "сером", "жёлтом", "зелёном", "синем", "розовом", "оранжевом", "фиолетовом"],
    colours: ["белый", "серый", "жёлтый", "зелёный", "синий", "розовый", "оранжевый", "фиолетовый"],
    places: ["слева", "справа", "сверху", "снизу", "посередине"],
    what: [&["Что слева?"], &["Что справа?"], &["Что сверху?"], &["Что снизу?"], &["Что посередине?"]],
    what_alone: &["Что на картинке?", "Что изображено на картинке?"],
    answer: ["{n}", "{n}"],
    where_is: [&["Где рисунок \"{n}\"?"], &["Где рисунки \"{n}\"?"]],
    colour_of: [&[], &[]],
    neighbour: ["", ""],
    how_many: &["Сколько здесь рисунков \"{n}\"?"],
    ground_colour: &["Какой цвет у фона?"],
};
