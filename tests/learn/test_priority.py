"""Goals, acquisition functions and decisions."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from hibana.core.errors import HibanaError
from hibana.learn.priority.acquisition import confidence_bound, expected_improvement, probability_of_range, stein_novelty
from hibana.learn.priority.decide import decide, draw
from hibana.learn.priority.goal import Goal, all_met, read_goal
from hibana.learn.priority.log import FILE, DecisionLog
from hibana.learn.priority.rule import Rule
from hibana.learn.priority.surrogate import fit

numbers = st.floats(-5, 5)
widths = st.floats(0.05, 3)
ABOVE = Rule((Goal("y", low=2.5),), start=5)


def one(function, mean, spread, *more) -> float:
    return float(function(np.array([mean]), np.array([spread]), *more)[0])


def crowd(n: int, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Candidates whose value is the sum of the first two of four features."""
    values = np.random.default_rng(seed).uniform(0, 2, (n, 4))
    names = [f"m{seed}-{number:03}" for number in range(n)]
    return pd.DataFrame(values, names, list("abcd")), pd.DataFrame({"y": values[:, 0] + values[:, 1]}, names)


@given(numbers, widths, numbers, st.floats(0.01, 6))
def test_the_probability_of_a_range_is_the_area_under_the_normal_curve(mean, spread, low, width):
    area = quad(lambda x: norm.pdf(x, mean, spread), low, low + width, epsabs=1e-12)[0]
    assert one(probability_of_range, mean, spread, low, low + width) == pytest.approx(area, abs=1e-8)


@given(numbers, widths, numbers)
def test_below_and_above_add_up_to_one(mean, spread, end):
    below = one(probability_of_range, mean, spread, -math.inf, end)
    assert below + one(probability_of_range, mean, spread, end, math.inf) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("sign", [1, -1])
def test_far_tails_do_not_vanish_and_certainty_is_sharp(sign):
    ends = (20.0, 21.0) if sign > 0 else (-21.0, -20.0)
    far = one(probability_of_range, 0.0, 1.0, *ends)
    assert far == pytest.approx(norm.sf(20) - norm.sf(21), rel=1e-6)
    assert far > 0
    assert one(probability_of_range, 1.0, 0.0, 0.9, 1.1) == 1
    assert one(probability_of_range, 1.2, 0.0, 0.9, 1.1) == 0


@given(numbers, widths, numbers, st.sampled_from([1, -1]))
def test_expected_improvement_is_the_mean_of_the_gain(mean, spread, best, sign):
    def gain(x: float) -> float:
        return max(sign * (x - best), 0.0) * norm.pdf(x, mean, spread)

    expected = quad(gain, mean - 12 * spread, mean + 12 * spread, points=[best, mean], limit=200)[0]
    assert one(expected_improvement, mean, spread, best, sign) == pytest.approx(expected, abs=1e-6)


def test_bounds_look_to_the_good_side():
    assert one(confidence_bound, 2.0, 0.5, 2.0, 1) == 3.0
    assert one(confidence_bound, 2.0, 0.5, 2.0, -1) == -1.0


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_novelty_is_least_on_a_known_point_and_greatest_beside_it(dimension):
    sigma, known = 0.1, np.zeros((1, dimension))
    distance = np.linspace(0, 10, 20001)
    points = np.zeros((len(distance), dimension))
    points[:, 0] = distance
    novelty = stein_novelty(points, known, sigma)
    assert novelty.argmin() == 0
    assert distance[novelty.argmax()] == pytest.approx(math.sqrt((dimension + 2) * sigma), abs=1e-3)
    assert novelty[-1] == pytest.approx(0, abs=1e-100)
    assert novelty.max() > 0


def test_novelty_is_one_side_of_the_gap_between_known_points_and_even_ones():
    """Terms of a discrepancy sum to a squared norm; those of evenly spread points cancel, inside of them nothing is novel."""
    known = np.random.default_rng(0).normal(size=(200, 2))
    for sigma in (0.1, 1.0):
        assert -stein_novelty(known, known, sigma).sum() >= 0
    even = np.stack(np.meshgrid(*2 * [np.arange(-5, 5.01, 0.1)]), axis=-1).reshape(-1, 2)
    inside, outside = np.abs(stein_novelty(np.array([[0.03, 0.04], [5.3, 0.0]]), even, 0.1))
    assert inside < 1e-6 * outside


def test_the_terms_of_the_discrepancy_are_the_mixed_derivative_of_the_kernel():
    x, y, sigma, h = np.array([0.3, -0.2]), np.array([0.1, 0.4]), 0.5, 1e-4

    def kernel(a, b):
        return math.exp(-((a - b) ** 2).sum() / (2 * sigma))

    trace = 0.0
    for axis in np.eye(2) * h:
        corners = (
            kernel(x + axis, y + axis) - kernel(x + axis, y - axis) - kernel(x - axis, y + axis) + kernel(x - axis, y - axis)
        )
        trace += corners / (4 * h * h)
    assert -stein_novelty(x[None], y[None], sigma)[0] == pytest.approx(trace, rel=1e-5)


def test_goals_say_what_they_want_and_refuse_what_makes_no_sense():
    goal = read_goal("eps:10:1000", ["eps"])
    assert goal.ends == (1.0, 3.0)
    assert (goal.words, goal.sign, goal.scale) == ("10 < eps < 1000", 0, "log10 eps")
    assert read_goal("a:b:4:").column == "a:b"
    assert read_goal("gap::1.5").sign == -1
    assert np.isnan(goal.scaled(np.array([0.0, -1.0]))).all()
    assert Goal("eps", low=-1.0, high=10, log=True).ends == (-math.inf, 1.0)
    frame = pd.DataFrame({"eps": [9.0, 11.0, 11.0, np.nan], "gap": [1.0, 1.0, 2.0, 1.0]})
    assert all_met((goal, Goal("gap", high=1.5)), frame).tolist() == [False, True, False, False]
    for text in ("gap", "gap:4", "gap:x:", "gap::", "gap:2:1", ":1:2", "gap:nan:3"):
        with pytest.raises(HibanaError, match="HIB-285"):
            read_goal(text)
    with pytest.raises(HibanaError, match="HIB-285"):
        Goal("eps", high=-1.0, log=True)


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "best"},
        {"surrogate": "net"},
        {"start": 1},
        {"trees": 1},
        {"sigma": 0.0},
        {"goals": ()},
        {"goals": (Goal("y", low=1), Goal("y", high=3))},
        {"kind": "improvement", "goals": (Goal("y", low=1, high=2),)},
        {"kind": "bound", "goals": (Goal("y", low=1), Goal("z", low=1))},
    ],
)
def test_rules_that_make_no_sense_are_refused(fields):
    with pytest.raises(HibanaError, match="HIB-286"):
        Rule(**{"goals": (Goal("y", low=1),), **fields})


@pytest.mark.parametrize("surrogate", ["forest", "process"])
def test_models_say_less_surely_what_they_have_not_seen(surrogate):
    features, targets = crowd(120)
    near = features.to_numpy()[:, :2]
    model = fit(near, targets["y"].to_numpy(), Rule((Goal("y", low=1),), surrogate=surrogate), seed=0)
    seen = model.predict(near)
    assert np.abs(seen.mean - targets["y"]).mean() < 0.1
    assert np.all(seen.spread >= 0)
    hidden = fit(near[near[:, 0] < 1], targets["y"].to_numpy()[near[:, 0] < 1], ABOVE, seed=0)
    far = hidden.predict(near[near[:, 0] > 1.6])
    assert far.mean.max() < targets["y"].max()
    process = fit(near, targets["y"].to_numpy(), Rule((Goal("y", low=1),), surrogate="process"), seed=0)
    assert process.predict(near + 10).spread.min() > process.predict(near).spread.max()


@pytest.mark.parametrize("surrogate", ["forest", "process", "both"])
@pytest.mark.parametrize("kind", ["probability", "improvement", "bound"])
def test_the_first_ones_are_good_ones(kind, surrogate):
    features, targets = crowd(80)
    waiting, truth = crowd(200, seed=1)
    found = decide(features, targets, waiting, Rule((Goal("y", low=2.5),), kind=kind, surrogate=surrogate), seed=0)
    assert sorted(item.material_id for item in found.items) == sorted(waiting.index)
    assert [item.rank for item in found.items] == list(range(1, 201))
    first = [item.material_id for item in found.items[:20]]
    assert truth.loc[first, "y"].mean() > truth["y"].quantile(0.85)
    scores = [item.score for item in found.items]
    assert scores == sorted(scores, reverse=True)
    best = found.items[0]
    assert best.prediction["y"] == pytest.approx(truth.loc[best.material_id, "y"], abs=4 * best.spread["y"])
    assert "y > 2.5" in best.why or "of y" in best.why


def test_a_mixture_is_least_sure_where_its_models_disagree():
    features, targets = crowd(60)
    waiting, _ = crowd(100, seed=1)
    fitted = {
        kind: fit(features.to_numpy(), targets["y"].to_numpy(), Rule((Goal("y", low=1),), surrogate=kind), seed=0)
        for kind in ("forest", "process", "both")
    }
    one, other, both = (model.predict(waiting.to_numpy()) for model in fitted.values())
    draws = np.random.default_rng(0).normal(
        np.stack([one.mean, other.mean])[:, None], np.stack([one.spread, other.spread])[:, None], (2, 20_000, 100)
    )
    assert both.mean == pytest.approx(draws.mean(axis=(0, 1)), abs=0.02)
    assert both.spread == pytest.approx(draws.std(axis=(0, 1)), rel=0.03)


def test_low_values_come_first_where_low_is_good():
    features, targets = crowd(80)
    waiting, truth = crowd(200, seed=1)
    for kind in ("probability", "improvement", "bound"):
        found = decide(features, targets, waiting, Rule((Goal("y", high=1.0),), kind=kind), seed=0)
        assert truth.loc[[item.material_id for item in found.items[:20]], "y"].mean() < truth["y"].quantile(0.2)


def test_a_logarithm_changes_the_model_and_not_the_unit():
    features, targets = crowd(80)
    waiting, _ = crowd(50, seed=1)
    powers = pd.DataFrame({"y": 10 ** targets["y"]})
    plain = decide(features, targets, waiting, Rule((Goal("y", 1.0, 2.0),)), seed=0)
    logs = decide(features, powers, waiting, Rule((Goal("y", 10.0, 100.0, log=True),)), seed=0)
    assert [item.material_id for item in plain.items] == [item.material_id for item in logs.items]
    assert logs.items[0].prediction["y"] == pytest.approx(10 ** plain.items[0].prediction["y"])
    assert logs.items[0].spread["y"] == pytest.approx(plain.items[0].spread["y"])


def test_decisions_repeat_and_the_random_order_stays_while_others_leave():
    features, targets = crowd(30)
    waiting, _ = crowd(40, seed=1)
    assert decide(features, targets, waiting, ABOVE, seed=3) == decide(features, targets, waiting, ABOVE, seed=3)
    few = decide(features[:4], targets[:4], waiting, ABOVE, seed=3)
    assert few.model["phase"] == "random"
    assert {item.score for item in few.items} == {None}
    assert "4 values of y are known, 5 are needed" in few.items[0].why
    names = [item.material_id for item in few.items]
    assert names == sorted(waiting.index, key=lambda name: draw(3, name))
    rest = decide(features[:4], targets[:4], waiting.drop(names[0]), ABOVE, seed=3)
    assert [item.material_id for item in rest.items] == names[1:]
    assert [item.material_id for item in decide(features[:0], targets[:0], waiting, ABOVE, seed=4).items] != names


def test_candidates_without_features_are_last_and_missing_ones_are_filled():
    features, targets = crowd(30)
    waiting, _ = crowd(10, seed=1)
    waiting.iloc[3] = np.nan
    waiting.iloc[4, 2] = np.nan
    targets.iloc[2] = np.nan
    features.iloc[5, 1] = np.nan
    found = decide(features, targets, waiting, ABOVE, seed=0)
    assert found.items[-1].material_id == waiting.index[3]
    assert (found.items[-1].score, found.items[-1].why) == (None, "no features of it: last")
    assert (found.model["n_known"], found.model["n_without_features"]) == ({"y": 29}, 1)
    assert decide(features, targets, waiting[:0], ABOVE, seed=0).items == ()
    with pytest.raises(HibanaError, match="HIB-261"):
        decide(features, targets.rename(columns={"y": "z"}), waiting, ABOVE, seed=0)


def test_novelty_spreads_a_batch():
    features, targets = crowd(60)
    waiting, truth = crowd(300, seed=1)
    rule = Rule((Goal("y", low=0),), kind="novelty")
    first = {
        batch: [item.material_id for item in decide(features, targets, waiting, rule, seed=0, batch=batch).items[:8]]
        for batch in (1, 8)
    }
    assert first[1][0] == first[8][0]
    assert truth.loc[first[8], "y"].std() > truth.loc[first[1], "y"].std()


def test_the_log_survives_a_cut_line_and_has_one_writer(tmp_path):
    log = DecisionLog(tmp_path / "new")
    log.append([{"material_id": "a", "priority": 3, "score": float("nan")}, {"material_id": "b", "priority": 2}])
    log.append([{"material_id": "a", "priority": 5}])
    with pytest.raises(HibanaError, match="HIB-288"):
        DecisionLog(tmp_path / "new")
    log.close()
    path = tmp_path / "new" / FILE
    whole = path.read_text()
    path.write_text(whole + '{"material_id": "b", "prior')
    again = DecisionLog(tmp_path / "new")
    assert (again.last("a"), again.last("b"), again.last("c")) == (5, 2, None)
    assert path.read_text() == whole
    again.append([{"material_id": "c", "priority": 1}])
    again.close()
    assert path.read_text() == whole + '{"material_id": "c", "priority": 1}\n'
    path.write_text("nonsense\n")
    with pytest.raises(HibanaError, match="HIB-288"):
        DecisionLog(tmp_path / "new")
    (tmp_path / "file").write_text("")
    with pytest.raises(HibanaError, match="HIB-288"):
        DecisionLog(tmp_path / "file")
