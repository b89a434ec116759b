"""Captions with their words and scores as pycocoevalcap 1.2 computes them (needs that package, numpy and Java).
Run beside this file; writes captions.json."""
import json
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

CAPTIONS = """A man riding a wave on top of a surfboard.
A man's dog, isn't it? don't can't won't I'll we've they're he'd I'm
"Hello," she said: (wow!) [x] {y} #tag ~ 5*3; ok
'single quoted' words 'tis cannot gonna gotta wanna lemme gimme
black-and-white t-shirt well-known a -- b - c—d – e
$3.50 €5 £6 ¥7 50% 1,000 1/2 3/4 and/or 12:30 3:45pm p.m. a.m. e.g. U.S. U.S.A. Mr. Dr. St. etc.
grey colour centre theatre favourite travelling neighbour
AT&T R&B this & that #1 No. 5 vs. Co. Inc.
:) :-) ;) http://www.example.com foo@bar.com www.example.com example.com @user
end.. end... end.... end!! end?! a.b foo.bar
the dogs' toys and girls' hats '90s 1990's 80's
1st 2nd 3rd 4x4 a1 B2B 10am 5ft 6" 5'9"
½ ¼ café naïve “quoted” ‘single’ …
a_b a/b a\\b a+b a=b <tag> <b>bold</b> ^ | `x` ~
It is 5 o'clock. rock'n'roll y'all ma'am o'neil d'artagnan slip 'n' slide
A man in a suit and tie.The dog runs.
two-story,red house
St. Louis is on Main St. A stop sign at Main St.
What's he doin' in the '60s?
I'd've should've couldn't've ain't cant dont
it´s it’s don’t it`s dog’s “a” ‘b’ «c»
Prof. St. Ave. in. oz. lb. no. No. Jan. Feb. Mr Mrs. approx. 5 ft. tall
word.Word word.word word.5 5.word 5.5.5 3. 1-2 10-20 555-1234 2015-01-01
5% 5 % $5 5$ US$5 5¢ 5c # 5 #5 #tag #1tag @ a@b @joe #hash-tag
- -- --- -a a- a-b a--b a - b a—b ?. !. !? ?? !!! ." .' ?" ,"
( a ) (a) [a] {a} ((a)) (a (b) c) a(b) dog(s) (b)-c
* ** a*b / // and/or w/ w/o \\ a|b ^ ~5 _ __ ++ C++ C# -> <= >=
o'clock O'Brien ma'am 'cause 'til 'round ne'er e'er o'er hawai'i cap'n s'mores jack-o'-lantern bird's-eye
4-year-old 4 year-old 2x4 3D 3-D 20/20 24/7 7-Eleven 5,000-pound 10.5-inch red/white/blue white,blue-green
hello,world hello.world hello!world hello;world hello:world size:5 no,5 x+5 5+5
A sign that says "STOP!" and a person, who's waiting...
😀 a 😀cat ★ ® °
A traffic light over a street with a sign that reads K.
A  woman   with	tabs .
...

A CROWD OF PEOPLE OUTSIDE STANDING IN FRONT OF A BUILDING""".split('\n')

# A generated caption, and what people wrote.
SETS = [
    ('a man riding a wave on a surfboard', ['A man riding a wave on top of a surfboard.', 'A surfer rides a large wave.', 'The man is surfing in the ocean', 'A person on a surfboard riding a wave.', 'a man on a surf board rides a wave']),
    ('a dog sitting on a couch next to a cat', ['A cat and a dog sit on the couch.', 'Two pets are resting on a sofa', "A dog's head rests on a cat, on a couch.", 'a dog and a cat on a couch', 'The dog is next to the cat.']),
    ('a train on the tracks', ['A red train pulling into a station.', 'A train that is on the tracks near a platform', 'Commuter train No. 5 arrives at the station!!', 'a train', 'The train is on its way.']),
    ('a plate of food food food food', ['A plate of food with broccoli and rice.', 'food on a plate', 'A white plate topped with meat (and vegetables).', 'a plate full of food on a table', 'A meal is served.']),
    ("a woman is holding a child's hand and doesn't smile", ["The woman isn't smiling and holds her child's hand.", 'A mother and her child hold hands', 'A woman holding hands with a young child', 'two people walking', 'A woman and a child on a sidewalk']),
    ('a street sign', ['A street sign on the corner of 5th Ave. and Main St.', 'sign', 'Street signs on a pole']),
    ('a', ['A black-and-white photo of a clock tower.']),
    ('', ['A bowl of fruit.', 'Fruit in a bowl on the table']),
    ('two zebras standing in a field of grass', ['Two zebras are standing in the grass.', 'A couple of zebras in a field', 'Zebras graze in a field of tall grass near some trees and a lake']),
    ('a kitchen with a stove and a refrigerator and a sink and a window and a table and four chairs', ['A kitchen with a stove.', 'A small kitchen.']),
]

def tokens(captions):
    found = PTBTokenizer().tokenize({i: [dict(caption=c)] for i, c in enumerate(captions)})
    return [found[i][0].split() for i in range(len(captions))]

def scores(sets):
    tokenizer = PTBTokenizer()
    references = tokenizer.tokenize({i: [dict(caption=r) for r in rs] for i, (_, rs) in enumerate(sets)})
    candidates = tokenizer.tokenize({i: [dict(caption=c)] for i, (c, _) in enumerate(sets)})
    bleu, _ = Bleu(4).compute_score(references, candidates, verbose=0)
    rouge, _ = Rouge().compute_score(references, candidates)
    cider, _ = Cider().compute_score(references, candidates)
    return dict(sets=[dict(candidate=c, references=rs) for c, rs in sets], bleu=bleu, rouge_l=float(rouge), cider=float(cider))

if __name__ == '__main__':
    words = [dict(caption=c, words=w) for c, w in zip(CAPTIONS, tokens(CAPTIONS))]
    subsets = [SETS, SETS[:1], SETS[:5], SETS[6:8], SETS[7:8], SETS[5:]]
    json.dump(dict(words=words, scores=[scores(s) for s in subsets]), open('captions.json', 'w'), indent=0, ensure_ascii=False)
