"""The tables of trainings for a terminal: all there is to say of each row, or its loss by the rank of the word."""

from __future__ import annotations

import math
from pathlib import Path

from ..text import WIDTH, Row, Say, counted, table, wrapped
from .suite import PAPER_TEXT8
from .trainings import by_rank, summary


def print_table(folder: Path, *, say: Say = print, commands: bool = False) -> list[Row]:
    """The table, one for each corpus and model, beside the paper's. Raises FileNotFoundError if there are no runs."""
    rows = summary(folder)
    if not rows:
        raise FileNotFoundError(f"{folder} holds no finished runs (train-*.json): python -m adasoft table --run CORPUS")
    for key in dict.fromkeys(row["table"] for row in rows):
        mine = [row for row in rows if row["table"] == key]
        first = mine[0]
        say("\n" + wrapped(f"{_title(first)}, {first['device']}"))
        # of words, the perplexity per word is the perplexity
        per_word = first["per word"] != first["test"]
        lines = [_line(row, per_word) for row in mine]
        say(table(lines, list(lines[0]), WIDTH))
        if commands:
            for row in mine:
                say(f"  {row['name']}: {row['command']}")
    say(
        "\n"
        + wrapped(
            "faster: minutes of full over minutes. output: share of a step's time in the output layer (forward and "
            "backward); of authors: its milliseconds over those of the authors' cutoffs. ~: timed while other work may "
            "have run. The paper's column: perplexity / minutes, 5 epochs on Text8, d = 512, on a GPU."
        )
    )
    return rows


def _title(row: Row) -> str:
    epochs = counted(row["epochs"], "epoch")
    return f"{row['corpus']}: V = {row['V']:,}, {row['title']}, d = {row['d']}, {epochs}"


def _line(row: Row, per_word: bool) -> Row:
    """The cells of a row by their columns. ``per_word``: with the perplexity per word."""
    paper = PAPER_TEXT8.get(row["name"])
    return {
        "softmax": row["name"],
        "perplexity": f"{row['test']:.2f}",
        "seeds": "" if row["seeds"] == 1 else f"{row['lowest']:.1f}-{row['highest']:.1f}",
        **({"per word": f"{row['per word']:.1f}"} if per_word else {}),
        "to full": f"{row['of full']:+.1%}" if "of full" in row else "",
        "minutes": f"{'' if row['timed'] else '~'}{row['minutes']:.1f}",
        "faster": f"{row['faster']:.2f}" if "faster" in row else "",
        "paper, Text8": "{} / {} min".format(*paper) if paper else "",
        "words/s": int(row["words/s"]),
        "output": f"{row['output share']:.0%}",
        "output ms": f"{row['output ms']:.1f}",
        "of authors": f"{row['of authors']:.2f}" if "of authors" in row else "",
        "parameters": f"{row['parameters'] / 1e6:.2f}M",
        "mean width": "" if math.isnan(row["mean width"]) else f"{row['mean width']:.0f}",
        "cutoffs": row["cutoffs"],
        "widths": row["widths"],
    }


def print_by_rank(folder: Path, *, say: Say = print) -> list[list[Row]]:
    """Print :func:`adasoft.results.trainings.by_rank`. Raises FileNotFoundError if no record gives the loss by rank."""
    tables = by_rank(folder)
    if not tables:
        raise FileNotFoundError(f"{folder} holds no runs that tell their loss by rank: python -m adasoft table --run")
    for rows in tables:
        first = rows[0]
        what = f"thousandths of a nat per token more than {first['to']}, by the rank of the word"
        say("\n" + wrapped(f"{_title(first)}; {what}"))
        bands = [f"{rank:,}-" for rank in first["ranks"]]
        shares = map("{:.1%}".format, first["shares"])
        lines: list[Row] = [{"softmax": "share of tokens", **dict(zip(bands, shares, strict=True))}]
        for row in rows:
            losses = {band: f"{1000 * more:+.1f}" for band, more in zip(bands, row["more"], strict=True)}
            lines.append({"softmax": row["name"], **losses, "all": f"{1000 * row['more'].sum():+.1f}"})
        say(table(lines, ["softmax", *bands, "all"], WIDTH))
    return tables
