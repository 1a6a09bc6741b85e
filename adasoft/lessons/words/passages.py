"""Short texts to light up word by word: a story for English, and one sentence in sixteen languages."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np

from ...tokens import wordfreq_tokens
from ...vocabulary import Vocabulary

#: A part of a text, and its rank from 1: 0 for a word that the list lacks, -1 for what stands between words.
Piece: TypeAlias = tuple[str, int]

#: Written for this lesson: nearly half of it are the words of any text, and none of those says what it is about.
HEDGEHOG = (
    "On Tuesday morning the old librarian found a hedgehog asleep in the dictionary, somewhere between hedge and "
    "hedonism. She did not want to wake it, so she wrote a note for the children: please be quiet, somebody is "
    "reading. By noon there was a queue in front of the door, and the hedgehog had been given a saucer of marmalade "
    "and a library card."
)
#: The first article of the Universal Declaration of Human Rights (United Nations, 1948).
ARTICLE_1 = {
    "en": "All human beings are born free and equal in dignity and rights. They are endowed with reason and "
    "conscience and should act towards one another in a spirit of brotherhood.",
    "de": "Alle Menschen sind frei und gleich an Würde und Rechten geboren. Sie sind mit Vernunft und Gewissen begabt "
    "und sollen einander im Geist der Brüderlichkeit begegnen.",
    "fi": "Kaikki ihmiset syntyvät vapaina ja tasavertaisina arvoltaan ja oikeuksiltaan. Heille on annettu järki ja "
    "omatunto, ja heidän on toimittava toisiaan kohtaan veljeyden hengessä.",
    "fr": "Tous les êtres humains naissent libres et égaux en dignité et en droits. Ils sont doués de raison et de "
    "conscience et doivent agir les uns envers les autres dans un esprit de fraternité.",
    "es": "Todos los seres humanos nacen libres e iguales en dignidad y derechos y, dotados como están de razón y "
    "conciencia, deben comportarse fraternalmente los unos con los otros.",
    "it": "Tutti gli esseri umani nascono liberi ed eguali in dignità e diritti. Essi sono dotati di ragione e di "
    "coscienza e devono agire gli uni verso gli altri in spirito di fratellanza.",
    "nl": "Alle mensen worden vrij en gelijk in waardigheid en rechten geboren. Zij zijn begiftigd met verstand en "
    "geweten, en behoren zich jegens elkander in een geest van broederschap te gedragen.",
    "pl": "Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw. Są oni obdarzeni rozumem i "
    "sumieniem i powinni postępować wobec innych w duchu braterstwa.",
    "cs": "Všichni lidé rodí se svobodní a sobě rovní co do důstojnosti a práv. Jsou nadáni rozumem a svědomím a mají "
    "spolu jednat v duchu bratrství.",
    "ru": "Все люди рождаются свободными и равными в своем достоинстве и правах. Они наделены разумом и совестью и "
    "должны поступать в отношении друг друга в духе братства.",
    "tr": "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar. Akıl ve vicdana sahiptirler ve "
    "birbirlerine karşı kardeşlik zihniyeti ile hareket etmelidirler.",
    "ar": "يولد جميع الناس أحرارًا متساوين في الكرامة والحقوق. "
    "وقد وهبوا عقلاً وضميرًا وعليهم أن يعامل بعضهم بعضًا بروح الإخاء.",
    "bg": "Всички хора се раждат свободни и равни по достойнство и права. Те са надарени с разум и съвест и следва да "
    "се отнасят помежду си в дух на братство.",
    "da": "Alle mennesker er født frie og lige i værdighed og rettigheder. De er udstyret med fornuft og samvittighed, "
    "og de bør handle mod hverandre i en broderskabets ånd.",
    "el": "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα. Είναι προικισμένοι με "
    "λογική και συνείδηση, και οφείλουν να συμπεριφέρονται μεταξύ τους με πνεύμα αδελφοσύνης.",
    "hu": "Minden emberi lény szabadon születik és egyenlő méltósága és joga van. Az emberek, ésszel és "
    "lelkiismerettel bírván, egymással szemben testvéri szellemben kell hogy viseltessenek.",
}
_WORD = re.compile(r"\w+(?:[\u0300-\u036f\u064b-\u065f]\w*)*(?:['’]\w+)*")
#: Words drawn from a list for which there is no text here.
_DRAWN = 40


@lru_cache(maxsize=8)
def _ranks(vocabulary: Vocabulary) -> dict[str, int]:
    return {word: rank for rank, word in enumerate(vocabulary.words or (), start=1)}


def pieces(text: str, vocabulary: Vocabulary) -> list[Piece]:
    """A text cut into words, folded as the lists are, with the rank of each, and what stands between them."""
    ranks, out, end = _ranks(vocabulary), list[Piece](), 0
    for found in _WORD.finditer(text):
        if found.start() > end:
            out.append((text[end : found.start()], -1))
        tokens = wordfreq_tokens(found.group()) or [found.group()]
        own = [ranks.get(token, 0) for token in tokens]
        out.append((found.group(), 0 if 0 in own else max(own)))
        end = found.end()
    if end < len(text):
        out.append((text[end:], -1))
    return out


def passages(vocabulary: Vocabulary, code: str | None) -> list[dict[str, Any]]:
    """The texts for these words, as the browser draws them; ``code``: the language of the list, None for own words."""
    texts = []
    if code == "en":
        texts.append(("The librarian", HEDGEHOG))
    if code in ARTICLE_1:
        texts.append(("A human right", ARTICLE_1[code]))
    if texts:
        return [{"name": name, "lang": code, "pieces": pieces(text, vocabulary)} for name, text in texts]
    return [{"name": "Words drawn from the list", "lang": code or "", "pieces": _drawn(vocabulary)}]


def _drawn(vocabulary: Vocabulary) -> list[Piece]:
    """Tokens drawn from the list by their frequency, as a text would hold them."""
    words = vocabulary.words or ()
    drawn = np.random.default_rng(1).choice(len(vocabulary), size=_DRAWN, p=vocabulary.shares) if words else ()
    out: list[Piece] = []
    for rank in drawn:
        out += [(words[rank], int(rank) + 1), (" ", -1)]
    return out[:-1]
