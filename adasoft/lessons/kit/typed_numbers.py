"""Numbers as people type them: read whole, or not at all.

``16,300``, ``16 300``, ``1.35 million``, ``21,4 %``, ``-log(0.2 * 0.01)``, ``1.3 x 10^6``, ``½``, ``about 20 ms``. What
cannot be read to its last character is refused, with the reason: half of an answer is another answer. Nothing of what
is typed is ever run as code.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: A calculation to show how one is typed; the answer to no question.
EXAMPLE = "7 + 2 x 1.5"
#: Characters and levels of brackets that an answer may have.
LONGEST, DEEPEST = 200, 20

_BLANKS = "\u00a0\u2007\u2008\u2009\u200a\u202f\u2002\u2003\u2004\u2005\u2006\u3000\t\r\n\v\f"
_SIGNS = {
    **dict.fromkeys("−－﹣", "-"),
    **dict.fromkeys("×✕✖⋅·∙∗＊", "*"),
    "÷": "/",
    "⁄": "/",
    "∕": "/",
    "√": "sqrt",
    **dict.fromkeys("’‘ʼ´`＇", "'"),
    "٫": ".",
    "٬": "'",
    "π": "pi",
    "≈": "~",
    "∼": "~",
    "％": "%",
    "٪": "%",
    "µ": "μ",
    **dict.fromkeys(_BLANKS, " "),
    **dict.fromkeys("\u200b\u200e\u200f\u2060\ufeff", ""),
}
_RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+", strict=True))

_POWER = r"(?:[eE][+-]?\d+)?"
#: One number, its separators included. The kinds are told apart in `_plain`.
_NUMBER = re.compile(rf"(?:\d(?:[\d,.'_]|(?<=\d) (?=\d{{3}}(?!\d)))*|\.\d[\d.,]*){_POWER}")
#: A percentage: at the end, or before what goes on with a calculation.
_PERCENT = re.compile(r" *(?:%|(?:percent|per cent)(?![^\W\d_]))(?=\s*(?:$|[-+*/)]|[xX]\s*[\d.(]|of\s*[\d.(]))", re.I)
_NAME = re.compile(r"log10|log2|[^\W\d_]+(?:-[^\W\d_]+)*")
_FUNCTIONS: dict[str, Callable[[float], float]] = {
    "sqrt": math.sqrt,
    "ln": math.log,
    "log": math.log,
    "log10": math.log10,
    "log2": math.log2,
    "exp": math.exp,
}
_CONSTANTS = {"pi": math.pi, "e": math.e}
_SMALL = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
_ABOUT = re.compile(r"(?:(?:about|around|approximately|approx\.?|roughly|circa|ca\.?)(?![^\W\d_])|[~=])\s*", re.I)

#: Names of quantities: what is counted or measured, and how many of the first one make one of them.
_UNITS: dict[str, dict[str, float]] = {
    "%": {"%": 1.0, "percent": 1.0, "per cent": 1.0, "pct": 1.0},
    "ms": {
        "ms": 1.0,
        "millisecond": 1.0,
        "milliseconds": 1.0,
        "s": 1e3,
        "sec": 1e3,
        "second": 1e3,
        "seconds": 1e3,
        "μs": 1e-3,
        "us": 1e-3,
        "microsecond": 1e-3,
        "microseconds": 1e-3,
        "ns": 1e-6,
        "min": 6e4,
        "minute": 6e4,
        "minutes": 6e4,
        "h": 3.6e6,
        "hour": 3.6e6,
        "hours": 3.6e6,
    },
    "GB": {
        "GB": 1.0,
        "MB": 1e-3,
        "kB": 1e-6,
        "KB": 1e-6,
        "TB": 1e3,
        "bytes": 1e-9,
        "byte": 1e-9,
        "gigabyte": 1.0,
        "gigabytes": 1.0,
        "GiB": 2**30 / 1e9,
        "MiB": 2**20 / 1e9,
    },
    "times": dict.fromkeys(("times", "x", "fold", "*"), 1.0),
    "nats": {"nats": 1.0, "nat": 1.0},
}
#: Things that are counted one by one.
_THINGS = (
    "word",
    "words",
    "token",
    "tokens",
    "cluster",
    "clusters",
    "row",
    "rows",
    "digit",
    "digits",
    "number",
    "numbers",
    "entry",
    "entries",
    "output",
    "outputs",
    "score",
    "scores",
    "multiplication",
    "multiplications",
    "class",
    "classes",
    "weight",
    "weights",
    "matrix",
    "matrices",
    "tail",
    "tails",
    "column",
    "columns",
    "operations",
)
_LARGE = {
    "k": 1e3,
    "K": 1e3,
    "thousand": 1e3,
    "M": 1e6,
    "mio": 1e6,
    "million": 1e6,
    "millions": 1e6,
    "G": 1e9,
    "bn": 1e9,
    "billion": 1e9,
    "billions": 1e9,
    "trillion": 1e12,
}


def read_number(answer: str, unit: str | None = None) -> float:
    """The number in an answer, in ``unit``, as its question gives it (``"ms"``, ``"% of the pairs"``, ``"million"``).

    Without a unit, what stands after the number is passed over if it is a known one. A point is a decimal point and
    groups of three are thousands, unless the other separator says otherwise: 1.234,5 and 0,214 have decimal commas.
    log is the natural logarithm. A percentage inside a calculation is a share: 20 % of 8,000, 20% * 8000. Raises
    ValueError, with the reason, for what cannot be read as one finite number.
    """
    text = _plain_signs(answer)
    if not text.strip():
        raise ValueError("type a number")
    if len(text) > LONGEST:
        raise ValueError(f"it should have at most {LONGEST} characters, got {len(text):,}")
    text = text.strip()
    while found := _ABOUT.match(text):
        text = text[found.end() :]
    text = text.strip().removesuffix(".").strip()
    _no_range(text)
    reader = _Reader(re.sub("[–—‒]", "-", text), unit)
    try:
        value = reader.sum()
        if reader.shares and reader.in_percent:  # 20% * 30% of a question in percent
            value *= 100.0
        value *= _scale(reader.rest(), unit, whole=not reader.summed)
    except ZeroDivisionError:
        raise ValueError("it divides by zero") from None
    except OverflowError:
        raise ValueError("it is too large") from None
    if not math.isfinite(value):
        raise ValueError("it is too large")
    return value


def _plain_signs(answer: str) -> str:
    """The same with one sign for each meaning: minus, times, blanks, digits of any script."""
    out: list[str] = []
    for sign in answer[: 10 * LONGEST]:
        if sign in _RAISED:
            out.append(_RAISED[sign] if _raised(out) else f"^{_RAISED[sign]}")
        elif sign in _SIGNS:
            out.append(_SIGNS[sign])
        elif unicodedata.category(sign) == "Nd":
            out.append(str(unicodedata.digit(sign)))
        elif unicodedata.decomposition(sign).startswith("<fraction>"):
            whole = "".join(out)
            fraction = unicodedata.normalize("NFKC", sign).replace("⁄", "/")
            out.append(f"+{fraction})" if whole[-1:].isdigit() else f"({fraction})")
            if whole[-1:].isdigit():  # 1½
                start = re.search(r"[\d.,']+$", whole).start()  # type: ignore[union-attr]
                out = [whole[:start], "(", whole[start:], out[-1]]
        else:
            out.append(sign)
    return "".join(out) + answer[10 * LONGEST :]


def _raised(out: list[str]) -> bool:
    """Whether what was just read stands raised."""
    return re.search(r"\^[+-]?\d*$", "".join(out[-6:])) is not None


def _no_range(text: str) -> None:
    """Raise ValueError for 2-3 and 2–3, which would be read as a difference."""
    plain = rf"\d[\d,.']*{_POWER}"
    found = re.fullmatch(rf"({plain})(-|\s*[–—‒]\s*|\s*\.\.+\s*)({plain})\s*[^-+*/^(\d]*", text)
    if found is None:
        return
    low, high = (_plain(found[i]) for i in (1, 3))
    if found[2].strip() != "-" or low < high:
        raise ValueError("it looks like a range: give one number (and put spaces around a minus)")


def _plain(typed: str) -> float:
    """One number with its separators. Raises ValueError where they cannot all be told."""
    body, power = re.fullmatch(rf"(.*?)({_POWER})", typed).groups()  # type: ignore[union-attr]
    groups = body
    points, commas = body.count("."), body.count(",")
    if points and commas:  # the last of them is the decimal one
        decimal = max(".,", key=body.rfind)
    elif points == 1 or commas == 1:
        decimal = "." if points else ","
        if decimal == "," and re.fullmatch(r"[1-9]\d{0,2},\d{3}", body):
            decimal = ""
    else:
        decimal = ""
    fraction = ""
    if decimal:
        groups, _, fraction = body.partition(decimal)
    grouped = re.fullmatch(r"\d*|\d{1,3}(?:([,.' _])\d{3})(?:\1\d{3})*|\d{1,2}(?:,\d{2})+,\d{3}", groups)
    if grouped is None or not (fraction.isdigit() or not fraction) or not (groups or fraction):
        raise ValueError(f"{typed} has its commas and points where no number has them")
    value = float(f"{re.sub('[^0-9]', '', groups) or '0'}.{fraction or '0'}{power}")
    if not math.isfinite(value):
        raise ValueError("it is too large")
    if not value and re.search("[1-9]", body):
        raise ValueError("it is too small")
    return value


def _scale(rest: str, unit: str | None, *, whole: bool) -> float:
    """What the number before these words is to be multiplied by; ``whole``: it is one number, no sum.

    Raises ValueError for words that are not known.
    """
    wanted = (unit or "").split(" ")[0].rstrip(",")
    scale, words = 1.0, rest.strip()
    first, _, others = words.partition(" ")
    for large in [first, first.lower()] if first not in _UNITS["GB"] else []:
        if large in _LARGE:
            scale, words = _LARGE[large], others.strip()
            if not whole:
                raise ValueError(f"it is not clear what “{large}” belongs to: put brackets around the sum")
            break
    if wanted in _LARGE and scale != 1.0:
        scale /= _LARGE[wanted]
    if not words:
        return scale
    name = words if words in _UNITS["GB"] or words in ("x", "*") else words.lower()
    kind = next((kind for kind, known in _UNITS.items() if name in known), None)
    if kind is None and name not in _THINGS:
        raise ValueError(f"“{words}” is not understood: type a number or a calculation, such as {EXAMPLE}")
    if unit is None:
        return scale
    asked = "ms" if wanted in _UNITS["ms"] else wanted if wanted in _UNITS else ""
    if (kind or "") != asked:
        raise ValueError(f"the question asks for {wanted or 'a number'}, not for “{words}”")
    return scale * (_UNITS[asked][name] / _UNITS[asked][wanted] if asked else 1.0)


class _Reader:
    """Reads a calculation from the left: sums of products of powers, of numbers, functions and brackets."""

    def __init__(self, text: str, unit: str | None = None) -> None:
        self._text, self._at, self._depth = text, 0, 0
        wanted = (unit or "").split(" ")[0].rstrip(",")
        self.in_percent, self._ends_as_share = wanted == "%", unit is not None and wanted != "%"
        self._calculated = False
        self.shares = False
        """Whether a percentage was read as a share, because it stands inside the calculation."""
        self.summed = False
        """Whether it is a sum at its outermost level: what a name such as million after it belongs to is not clear."""

    @contextmanager
    def _deeper(self) -> Iterator[None]:
        """One bracket, sign or function further in; ValueError beyond `DEEPEST`."""
        self._depth += 1
        if self._depth > DEEPEST:
            raise ValueError(f"it should have at most {DEEPEST} brackets in each other")
        yield
        self._depth -= 1

    def rest(self) -> str:
        """What is left to read."""
        return self._text[self._at :]

    def _take(self, *signs: str) -> str:
        """The next sign if it is one of these."""
        at = self._at
        while self._text[at : at + 1] == " ":
            at += 1
        for sign in signs:
            if self._text.startswith(sign, at):
                self._at = at + len(sign)
                return sign
        return ""

    def _times(self) -> str:
        """``*`` or ``/``; an x between two factors, and no ``*`` or x that is a unit."""
        left = self.rest().strip()
        if left in ("x", "X", "*") or left.startswith("**"):
            return ""
        if left[:1] in ("x", "X") and re.match(r"[xX]\s*[\d.(+-]|[xX]\s+(?:sqrt|ln|log|exp|pi|e)\b", left):
            if re.search(r"(?<![\d.,])0$", self._text[: self._at]) and self.rest()[:1] in ("x", "X"):
                return ""  # 0x1f
            return self._take("x", "X").replace("x", "*").replace("X", "*")
        if self.shares and re.match(r"of\s*[\d.(]", left):  # 20 % of 8,000
            return self._take("of").replace("of", "*")
        return self._take("*", "/")

    def _share(self, value: float) -> float:
        """A percentage inside a calculation as a share.

        At the end of all, ``%`` is the unit of the answer, except where another one is asked for or another percentage
        was read.
        """
        found = _PERCENT.match(self.rest())
        if found is None:
            return value
        ends = not self._text[self._at + found.end() :].strip()
        if ends and not (self.shares or (self._ends_as_share and self._calculated)):
            return value
        self._at += found.end()
        self.shares = True
        return value / 100.0

    def sum(self) -> float:
        """A sum of products."""
        value = self._product()
        while sign := self._take("+", "-"):
            self.summed |= not self._depth
            self._calculated = True
            value += self._product() if sign == "+" else -self._product()
        return value

    def _product(self) -> float:
        value = self._signed()
        while sign := self._times():
            self._calculated = True
            value = value * self._signed() if sign == "*" else value / self._signed()
        return value

    def _signed(self) -> float:
        if sign := self._take("-", "+"):
            with self._deeper():
                return -self._signed() if sign == "-" else self._signed()
        return self._power()

    def _power(self) -> float:
        value = self._share(self._atom())
        if self._take("**", "^"):
            with self._deeper():
                exponent = self._signed()
            try:
                return self._share(math.pow(value, exponent))
            except ValueError:
                raise ValueError(f"{value:g} to the {exponent:g} is not a number") from None
        return value

    def _atom(self) -> float:
        if self._take("("):
            with self._deeper():
                value = self.sum()
            if not self._take(")"):
                raise ValueError("a bracket is not closed")
            return value
        self._at += len(self.rest()) - len(self.rest().lstrip(" "))
        if found := _NUMBER.match(self._text, self._at):
            typed = found.group().rstrip(",.'_ ") if not found.group()[-1:].isdigit() else found.group()
            self._at += len(typed)
            value = _plain(typed)
            mixed = re.match(r" (\d{1,3})/(\d{1,3})(?![\d.,])", self.rest())  # 1 1/2
            if mixed and "." not in typed and int(mixed[1]) < int(mixed[2]):
                self._at += mixed.end()
                return value + int(mixed[1]) / int(mixed[2])
            return value
        if found := _NAME.match(self._text, self._at):
            name = found.group()
            if name.lower() in _FUNCTIONS:
                self._at = found.end()
                return self._function(name.lower())
            if name in _CONSTANTS:
                self._at = found.end()
                return _CONSTANTS[name]
            if name.lower() in _SMALL:
                self._at = found.end()
                return float(_SMALL.index(name.lower()))
            raise ValueError(f"“{name}” is not understood: type a number or a calculation, such as {EXAMPLE}")
        shown = self.rest()[:10]
        raise ValueError(f"a number is missing before “{shown}”" if shown else "a number is missing at its end")

    def _function(self, name: str) -> float:
        with self._deeper():
            value = self._atom()
        try:
            return _FUNCTIONS[name](value)
        except ValueError:
            raise ValueError(f"{name}({value:g}) is not a number") from None
