"""The funnel shows the numbers it is given."""

from __future__ import annotations

from hibana.report.funnel import draw_funnel, write_funnel

STEPS = [("inputs", 1000), ("readable", 990), ("space_group", 400), ("duplicates", 0)]


def test_bars_and_words_are_the_numbers(tmp_path):
    figure = draw_funnel(STEPS, "a title")
    (axes,) = figure.axes
    assert [bar.get_width() for bar in axes.patches] == [1000, 990, 400, 0]
    assert [text.get_text() for text in axes.texts] == ["1,000", "990  (−10)", "400  (−590)", "0  (−400)"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["inputs", "readable", "space group", "without duplicates"]
    assert figure.get_suptitle() == "a title"
    write_funnel(STEPS, "a title", tmp_path / "funnel.png")
    assert (tmp_path / "funnel.png").read_bytes()[:4] == b"\x89PNG"


def test_nothing_can_be_drawn_too():
    assert [bar.get_width() for bar in draw_funnel([("inputs", 0)], "empty").axes[0].patches] == [0]
