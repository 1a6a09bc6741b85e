"""Markdown of questions as plain text, for names that screen readers speak and for lists."""

from __future__ import annotations

import re

_SIGNS = {
    r"\times": "×",
    r"\cdot": "·",
    r"\lambda": "λ",
    r"\theta": "θ",
    r"\varepsilon": "ε",
    r"\epsilon": "ε",
    r"\mu": "µ",
    r"\le": "≤",
    r"\ge": "≥",
    r"\dots": "...",
    r"\ldots": "...",
    r"\infty": "infinity",
}


def plain(markdown: str) -> str:
    """The text that is read: no stars, backquotes, links' addresses or LaTeX.

    >>> plain(r"Take **one** cut, $k_h = 2{,}000$ and $\\lambda \\times \\frac{1}{2}$ of [01](01_zipf.ipynb).")
    'Take one cut, k_h = 2,000 and λ × 1/2 of 01.'
    >>> plain("$k_0 = 50$")
    'k₀ = 50'
    """
    text = re.sub(r"\$+([^$]+)\$+", lambda found: _formula(found[1]), markdown)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"\*\*(.+?)\*\*|(?<!\w)\*(\S(?:.*?\S)?)\*(?!\w)|`([^`]+)`", lambda m: m[1] or m[2] or m[3], text)
    return " ".join(text.split())


def _formula(latex: str) -> str:
    text = re.sub(r"\\[td]?frac\{([^{}]*)\}\{([^{}]*)\}", r"\1/\2", latex)
    text = re.sub(r"\\(?:text|mathrm|operatorname)\{([^{}]*)\}", r"\1", text)
    for sign, spoken in _SIGNS.items():
        text = re.sub(rf"{re.escape(sign)}(?![a-z])", spoken, text)
    text = re.sub(r"_(\d)(?!\d)", lambda found: "₀₁₂₃₄₅₆₇₈₉"[int(found[1])], text)
    text = re.sub(r"\\[,;:! ]", " ", text).replace(r"\%", "%")
    return re.sub(r"\\([a-zA-Z]+)", r"\1", re.sub(r"[{}]", "", text)).replace("\\", "")
