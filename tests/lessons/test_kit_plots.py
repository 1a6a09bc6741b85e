"""Figures on the page, the pictures of the notebooks, and numbers as text."""

import base64
import json

import numpy as np
import plotly.graph_objects as go
import pytest
from plotly.subplots import make_subplots

from adasoft import Vocabulary
from adasoft.lessons import Explorer
from adasoft.lessons.kit import cuts, parts, plots, stills
from adasoft.lessons.kit.picker import CutPicker, places
from adasoft.lessons.words import figures as word_figures


def sent(widget, monkeypatch):
    """The messages that a figure sends from now on."""
    messages = []
    monkeypatch.setattr(widget, "send", lambda content, buffers=None: messages.append(content))
    return messages


def numbers(packed):
    return np.frombuffer(base64.b64decode(packed["bdata"]), packed["dtype"]).tolist()


def test_one_message_per_push_with_what_changed_and_nothing_else(monkeypatch):
    widget = parts.live(go.Figure([go.Bar(x=["a", "b"], y=[1, 2]), go.Scatter(x=[1, 2], y=[3, 4])]))
    messages = sent(widget, monkeypatch)
    widget.push({0: {"y": [5, 6]}, 1: {"x": np.array([7, 8]), "y": [9, 10]}}, {"title.text": "new"})
    (message,) = messages
    assert message["data"][0] == {"y": [5, 6]} and numbers(message["data"][1]["x"]) == [7.0, 8.0]
    assert message["layout"] == {"title.text": "new"}
    widget.push({0: {"y": [5, 6], "x": ["a", "b"]}, 1: {"x": np.array([7, 8])}}, {"title.text": "new"})
    assert len(messages) == 1  # nothing new
    widget.push({1: {"y": np.array([np.nan, 1.0])}})
    widget.push({1: {"y": np.array([np.nan, 1.0])}, 0: {"visible": False}})
    assert list(messages[1]["data"]) == [1] and messages[2]["data"] == {0: {"visible": False}}
    # a page that opens later gets all of it
    spec = json.loads(widget.get_state()["spec"])
    assert spec["data"][0]["y"] == [5, 6] and spec["data"][0]["visible"] is False
    assert spec["layout"]["title"]["text"] == "new"
    with pytest.raises(KeyError, match="nonsense"):
        widget.push({0: {"nonsense": 3}})


def test_no_figure_zooms_by_accident_and_no_tooltip_speaks_of_traces():
    figure = make_subplots(1, 2)
    figure.add_scatter(y=[1, 2], row=1, col=1)
    figure.add_bar(y=[1, 2], row=1, col=2, name="own")
    widget = parts.live(figure)
    spec = json.loads(widget.get_state()["spec"])
    assert spec["layout"]["dragmode"] is False
    axes = [axis for name, axis in spec["layout"].items() if name[1:5] == "axis"]
    assert len(axes) == 4 and all(axis["fixedrange"] is True for axis in axes)
    assert [trace["name"] for trace in spec["data"]] == ["", "own"]


def test_plotly_js_is_sent_to_who_asks_and_to_nobody_else(monkeypatch):
    widget = parts.live(go.Figure())
    found = []
    monkeypatch.setattr(widget, "send", lambda content, buffers=None: found.append((content, buffers)))
    widget._handle_custom_msg({"kind": "other"}, [])
    assert not found and len(json.dumps(widget.get_state())) < 30_000
    widget._handle_custom_msg({"kind": "plotly"}, [])
    ((content, (code,)),) = found
    assert content == {"kind": "plotly"} and b"plotly.js v" in code[:200]


@pytest.mark.parametrize(
    "counts",
    [[5, 4, 3, 0, 0, 0], [1, 1, 1], [0.5, 0.25, 0.25], [1e-8, 1e-7, 3e-7], [7, 0], np.arange(1, 400)],
    ids=["zeros", "equal", "shares", "floats", "one word", "line"],
)
def test_figures_of_odd_counts(counts, cost):
    explorer = Explorer(Vocabulary(counts), cost=cost)
    assert (
        "mount(document" in cuts.cut_figure(explorer).page()
        and word_figures.coverage_figure(explorer.vocabulary, 0.8).data
    )
    assert word_figures.coverage_result(explorer.vocabulary, 0.8) and cuts.cut_panel(explorer)
    picker = CutPicker()
    picker.show(explorer.vocabulary, explorer.cutoffs, ["head", "tail 1"])
    assert min(picker.ys) > 0 and len(picker.ys) <= len(picker.xs) == len(picker.mass)


def test_places_hold_both_ends():
    for n in (1, 2, 3, 1000, 10**6):
        at = places(n)
        assert at[0] == 1 and at[-1] == n and (np.diff(at) > 0).all()


def test_every_axis_of_every_still_has_a_title():
    pytest.importorskip("wordfreq")
    for still in stills.every_still().values():
        figure = still.make()
        if not isinstance(figure, go.Figure):
            continue
        assert "sendChartToCloud" in figure.layout.template.layout.modebar.remove
        for axis in [*figure.select_xaxes(), *figure.select_yaxes()]:
            name = axis._plotly_name.replace("axis", "")
            own = [t for t in figure.data if name in (getattr(t, a, None) or a[0] for a in ("xaxis", "yaxis"))]
            # their names say what they are
            categories = bool(axis.ticktext) or any(
                v is not None and len(v) and isinstance(v[0], str) for t in own for v in (t.x, t.y)
            )
            shared = axis.showticklabels is False and axis.matches  # its title stands on the axis it matches
            assert axis.title.text or categories or shared or axis._plotly_name.startswith("xaxis")


def test_a_still_is_stale_when_it_shows_something_else(tmp_path, monkeypatch, capsys):
    shown = {"text": "<svg>one</svg>"}
    stills.every_still()  # all modules are loaded, and register no more
    monkeypatch.setattr(plots, "STILLS", {})
    monkeypatch.setattr(stills, "STILLS", plots.STILLS)
    plots.still("x", "alt")(lambda: shown["text"])
    assert stills.stale(tmp_path) == {"x": "no picture"}
    assert stills.main(["--folder", str(tmp_path)]) == 0
    plate = '<rect width="100%" height="100%" fill="#ffffff"/>'  # text is dark enough on it, whatever the page's theme
    assert (tmp_path / "x.svg").read_text() == f"<svg>{plate}one</svg>" and stills.stale(tmp_path) == {}
    shown["text"] = "<svg>two</svg>"
    assert stills.main(["--folder", str(tmp_path), "--check"]) == 1 and "something else" in capsys.readouterr().out
    with pytest.raises(ValueError, match="no still"):
        stills.render(tmp_path, ["y"])
    with pytest.raises(ValueError, match="there is a still 'x'"):
        plots.still("x", "other")(test_places_hold_both_ends)


def test_the_picture_of_the_cut_explorer_says_what_the_kernel_says(explorer):
    picture = cuts.cut_figure(explorer)
    assert picture.shown["place"] == [[1000, 5000], 1 - 1] and picture.shown["costs"][1] == explorer.prediction.seconds
    page = picture.page()
    assert "mount(document" in page and '"cuts": [1000, 5000]' in page and "import " not in page.split("<script")[2]
    before = stills.description_hash(picture)
    explorer.cutoffs = (1000, 5001)
    assert stills.description_hash(cuts.cut_figure(explorer)) != before


def test_the_hash_of_a_figure_knows_numbers_to_three_digits():
    def hashed(y):
        return stills.description_hash(go.Figure(go.Scatter(y=np.asarray(y))))

    assert hashed([1.0, 2.0]) == hashed([1.0 + 1e-7, 2.0]) != hashed([1.1, 2.0])
    assert hashed([1.0, np.nan]) == hashed([1.0, np.nan])


def test_shares_are_told_in_percent():
    told = {
        0.2139: "21.4 %",
        0.01: "1.0 %",
        0.0099: "0.99 %",
        0.0: "0.0 %",
        1.0: "100.0 %",
        0.9996: "99.960 %",
        0.999999: "nearly 100 %",
    }
    assert {share: plots.percent(share) for share in told} == told
    assert [plots.seconds_text(s) for s in (1.25, 0.0345, 5.6e-4, 5.6e-5)] == ["1.2 s", "34.5 ms", "0.56 ms", "56 µs"]
