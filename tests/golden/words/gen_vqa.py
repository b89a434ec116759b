"""Answers to questions with their accuracies and forms as VQA's own evaluation computes them. Needs vqaEval.py of
github.com/GT-Vision-Lab/VQA (PythonEvaluationTools/vqaEvaluation), whose `print` is made a function; run beside this
file; writes vqa.json."""
import contextlib, io, json, random, re, sys

names = {}
exec(re.sub(r'print ("[^"]*")', r'print(\1)', open(sys.argv[1]).read()), names)

class Answers:
    def __init__(self, qa):
        self.qa = qa
    def getQuesIds(self):
        return list(self.qa)

def evaluation(people, answer):
    given = [dict(answer=a, answer_id=i) for i, a in enumerate(people)]
    e = names['VQAEval'](Answers({1: dict(answers=given, question_type='', answer_type='')}), Answers({1: dict(answer=answer)}), n=15)
    e.updateProgress = lambda *_: None
    return e

def accuracy(answer, people):
    e = evaluation(people, answer)
    with contextlib.redirect_stdout(io.StringIO()):
        e.evaluate([1])
    return e.accuracy['overall'] / 100

def form(answer):
    e = evaluation([''], '')
    return e.processDigitArticle(e.processPunctuation(answer))

if __name__ == '__main__':
    random.seed(5)
    contractions = evaluation([''], '').contractions
    words = list(contractions) + ("a an the The one Two three ten none zero dog dogs, it's 1,000 3.5 5. .5 u.s. p.m. yes! no? red/blue "
        "black-and-white (left) [x] {y} \"q\" a+b c=d e_f g\\h <i> j@k `l` m;n , - . ! ... 2.,3 tv's T.V. café ÉTÉ 12:30 yes\nno x\ty").split(' ')
    pool = words + [' '.join(random.choice(words) for _ in range(random.randint(2, 4))) for _ in range(150)]
    pool += ['.' * 40 + 'x', '', '  a  ', 'yes', 'Yes', 'no']
    out = []
    for at, answer in enumerate(pool):
        near = [answer, answer, answer.lower(), answer + '.', random.choice(pool)]
        people = [[random.choice(near) for _ in range(5)], [answer] * 3, [random.choice(near) for _ in range(10)]][at % 3]
        out.append(dict(answer=answer, people=people, accuracy=accuracy(answer, people), form=form(answer)))
    json.dump(out, open('vqa.json', 'w'), indent=None, separators=(',', ':'))
