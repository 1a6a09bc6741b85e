"""Example words that can stand on a page for anybody: letters only, and none that are obscene.

Word lists hold what people write: fragments such as "00p", emoji, and words that nobody wants to meet as the first
example of a lesson. The words stay in the lists, with their counts; only what is *shown as an example* is chosen here.
English only: lists of other languages are kept to letters.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

#: How far from the rank that is asked for an example may lie, as a share of the rank.
NEAR = 0.1
#: Kept short: stems found anywhere in a word, and words that are harmless as a part of others ("analysis", "class").
_STEMS = (
    r"fuck|shit|cunt|bitch|porn|nigg|whore|slut|mongoloid|penis|vagin|excrement|masturb|orgasm|erotic|dildo|blowjob|"
    r"asshole"
)
_WHOLE = (
    r"anal|anus|arse|ass|bastards?|boobs?|butt|cocks?|crap|cum|dicks?|fags?|faggots?|nude|piss(ed|ing)?|puss(y|ies)|"
    r"rap(e|ed|es|ing|ists?)|retard(ed|s)?|sex(y|ist)?|tits?|turds?|wank(er|ers|ing)?|xxx"
)
_OBSCENE = re.compile(rf".*({_STEMS})|({_WHOLE})$", re.IGNORECASE)


def obscene(word: str) -> bool:
    """Whether a word is one of the few that are left out."""
    return bool(_OBSCENE.match(word))


def fit_to_show(word: str) -> bool:
    """Whether a word is made of letters only and is none of the few that are left out."""
    return bool(word) and all(unicodedata.category(c)[0] in "LM" for c in word) and not obscene(word)


def presentable(words: Sequence[str], rank: int) -> int:
    """The rank, counted from 1, nearest to ``rank`` whose word is fit to show; ``rank`` itself where none is near.

    Raises ValueError for a rank outside 1 to the number of words.
    """
    n = len(words)
    if not 1 <= rank <= n:
        raise ValueError(f"rank should be from 1 to {n:,}, got {rank}")
    for away in range(max(3, int(NEAR * rank)) + 1):
        for place in dict.fromkeys((rank - away, rank + away)):
            if 1 <= place <= n and fit_to_show(words[place - 1]):
                return place
    return rank
