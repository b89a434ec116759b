"""WordPiece cases for BERT's uncased vocabulary plus [DEC] and [ENC], as BLIP uses it.
Needs transformers; run beside this file (reads ../../../data/bert/vocab.txt.gz, writes wordpiece.json)."""
import gzip, json
from transformers import BertTokenizer

def tokenizer(path='../../../data/bert/vocab.txt.gz'):
    words = gzip.open(path, 'rt', encoding='utf-8', newline='\n').read().split('\n')[:-1]
    t = BertTokenizer(vocab={w: i for i, w in enumerate(words)}, do_lower_case=True)
    t.add_special_tokens({'bos_token': '[DEC]', 'additional_special_tokens': ['[ENC]']})
    assert (len(t), t.convert_tokens_to_ids('[DEC]'), t.convert_tokens_to_ids('[ENC]')) == (30524, 30522, 30523)
    return t

TEXTS = ['', ' ', 'a picture of ', 'a picture of', 'A Woman sitting ON the Beach with her dog', 'unaffable', 'antidisestablishmentarianism', "what's the dog's name?", "don't", 'hello,world!!', 'e.g. $3.50 (approx.) & 50% #1',
    'caf\u00e9 na\u00efve \u00c5ngstr\u00f6m', 'cafe\u0301 nai\u0308ve', 'STRASSE Stra\u00dfe', '\u0130stanbul \u0131l\u0131k', '\u00d8rsted \u0141\u00f3d\u017a \u00d0', 'Ti\u1ebfng Vi\u1ec7t', '\u03b5\u03bb\u03bb\u03b7\u03bd\u03b9\u03ba\u03ac \u0391\u03a3', '\u0440\u0443\u0441\u0441\u043a\u0438\u0439 \u0419\u043e\u0433\u0443\u0440\u0442',
    '\u4e2d\u56fd\u5317\u4eac', 'I like \u5bff\u53f8 and \u62c9\u9762!', '\u6771\u4eac\u30bf\u30ef\u30fc', '\u3072\u3089\u304c\u306a', '\ud55c\uad6d\uc5b4', '\U00020000\U0002a6d6', '\u0939\u093f\u0928\u094d\u0926\u0940', '\u0e44\u0e17\u0e22', '\u0627\u0644\u0639\u0631\u0628\u064a\u0629', '\u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd',
    '\U0001f600', 'dog \U0001f415\u200d\U0001f9ba cat', '\u2764\ufe0f love', '\U0001f1e9\U0001f1ea flag', 'a\u200bb zero\u200dwidth', 'soft\u00adhyphen', 'no\u00a0break\u2003em\u3000wide', 'tab\tnew\nline\rreturn', 'nul\x00bell\x07del\x7f', '\ufffdreplacement', '\ufeffbom',
    '\u201cquotes\u201d \u2018single\u2019 \u2014 dash \u2026', 'full\uff0cwidth\uff01', '\uff21\uff22\uff23 \uff11\uff12', '\ufb01ne \u2460 \u00bd', 'x\u00b2 + y\u00b3 \u2264 10\u207b\u2075', 'C++ C# a_b a-b a/b a\\b', '^`~|<>=+$', '\u20ac100 \u00a35 \u00a5', 'www.example.com/path?q=1', '[CLS] [SEP] [MASK] [PAD] [UNK]', '[cls] [sep]', '[DEC] hello', 'a [ENC] b', '[ENC][DEC]', '[unused5]', '##ing', 'play ##ing',
    'a' * 100, 'a' * 101, 'un' * 60, '1234567890123456789', '\u00e9' * 50, 'supercalifragilisticexpialidocious ' * 3, 'x\u0301\u0302\u0303y', '\u1e9e \u01c5 \u0149', '\U0001d400\U0001d401', 'a\u2028b\u2029c', '\ue000private use', 'how many dogs are in the picture?']
LIMITS = [('a woman and her dog sitting in a beach', 35), ('a picture of ' + 'very ' * 40 + 'long road', 30), ('', 5), ('one two three', 5), ('one two three four', 5)]
DECODE = [[30522, 1037, 2450, 3564, 2006, 1996, 3509, 2007, 2014, 3899, 102, 0, 0], [101, 1037, 2450, 1005, 1055, 6045, 1010, 1998, 1037, 3899, 1012, 102], [30522, 2123, 1005, 1056, 2079, 2008, 999, 102], [30523, 14477, 20961, 3468, 102], [30522, 2417, 1011, 2604, 1006, 2048, 1007, 102], [100, 103, 30522]]

if __name__ == '__main__':
    t = tokenizer()
    cases = [dict(text=s, ids=t(s, add_special_tokens=False).input_ids) for s in TEXTS]
    limits = []
    for s, n in LIMITS:
        e = t(s, padding='max_length', truncation=True, max_length=n)
        limits.append(dict(text=s, max_length=n, input_ids=e.input_ids, attention_mask=e.attention_mask))
    decode = [dict(ids=i, text=t.decode(i, skip_special_tokens=True, clean_up_tokenization_spaces=True)) for i in DECODE]
    json.dump(dict(cases=cases, limits=limits, decode=decode), open('wordpiece.json', 'w'), indent=0)
    print(len(cases), 'texts')
