"""How ``bench mapping`` judges: training without the judged building, questions, baselines, sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from benchmarks.mapping import dictionary, judge, mappers, synthetic, text, tfidf
from benchmarks.mapping.labelled import Labelled, others
from benchmarks.mapping.score import Meaning
from plantroom_shared.mapping.names import fold
from support.mappinglists import SITES

ZONE, DAMPER = "Zone_Air_Temperature_Sensor", "Damper_Command"


class Remembering(mappers.Asking):
    """Answers with the class of the name in its lessons."""

    def __init__(self, lessons: Sequence[Labelled]) -> None:
        self.known = {row.name: row.point_type for row in lessons}
        self.lessons = list(lessons)

    def map(self, rows: Sequence[Labelled]) -> list[Meaning]:
        return [Meaning(self.known.get(row.name, ""), template=row.name) for row in rows]


def _row(name: str, building: str, dataset: str = "", point_type: str = ZONE) -> Labelled:
    return Labelled(building, name, point_type=point_type, dataset=dataset)


def test_a_building_and_its_data_set_are_left_out_of_its_training() -> None:
    """Rows of the building and of others from the same source are not among its lessons."""
    lists = {
        "a": [_row("1", "a", "x")],
        "b": [_row("2", "b", "x")],
        "c": [_row("3", "c", "y")],
        "d": [_row("4", "d")],
    }
    assert {row.building for row in others(lists, "a")} == {"c", "d"}
    assert {row.building for row in others(lists, "d")} == {"a", "b", "c"}
    assert {row.building for row in others({"a": lists["a"], "b": lists["b"]}, "a")} == {"b"}


def test_every_building_is_judged_by_a_mapper_that_has_not_seen_it() -> None:
    """A mapper that only remembers gets nothing right on its own, and all that was given apart."""
    lists = {name: [_row(f"{name} T", name)] for name in "ab"}
    seen: dict[str, list[Labelled]] = {}

    def make(building: str, rows: Sequence[Labelled]) -> mappers.Mapper:
        seen[building] = list(rows)
        return Remembering(rows)

    results = judge.judge(lists, ["a", "b"], {"it": make})
    assert seen == {"a": lists["b"], "b": lists["a"]}
    assert results["it"][judge.PLAIN].means()["fine"] == 0.0
    training = {"a": lists["a"], "z": [_row("b T", "z"), _row("a T", "z")]}
    results = judge.judge(lists, ["a"], {"it": make}, training=training)
    assert seen["a"] == training["z"]
    assert results["it"][judge.PLAIN].means()["fine"] == 1.0
    assert results["it"][judge.REWRITTEN].means()["fine"] == 0.0


def test_our_mapper_is_trained_anew_for_buildings_it_has_learned_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The shipped one is judged as it is, except where its training holds the building."""
    monkeypatch.setattr(mappers, "TRAINED_ON", frozenset({"a"}))
    monkeypatch.setattr(mappers, "train_plantroom", Remembering)
    assert isinstance(mappers.plantroom("a", []), Remembering)
    assert isinstance(mappers.plantroom("b", []), mappers.Plantroom)


def test_the_first_question_is_about_most_points_and_least_sure() -> None:
    """Three unsure points before one that is as unsure, and before four that are sure."""
    found = (
        [Meaning(ZONE, confidence=0.5, template="three")] * 3
        + [Meaning(ZONE, confidence=0.5, template="one")]
        + [Meaning(ZONE, confidence=0.9, template="four")] * 4
        + [Meaning(template="none")]
    )
    assert mappers.Asking().ask(found, {}) == ["three", "none", "one", "four"]
    assert mappers.Asking().ask(found, {"three": ZONE})[0] == "none"


def test_an_answer_is_the_majority_of_its_template_and_holds_for_all_of_it() -> None:
    """Two of three are right after it; what is not labelled is not asked about."""
    rows = [_row("t", "a"), _row("t", "a"), _row("t", "a", point_type=DAMPER), _row("u", "a")]
    rows.append(_row("v", "a", point_type=""))
    found = [Meaning(template=row.name) for row in rows]
    asking = Remembering([])
    assert judge.after_answers(asking, rows, found, questions=0) == 0.0
    assert judge.after_answers(asking, rows, found, questions=1) == 2 / 4
    assert judge.after_answers(asking, rows, found, questions=20) == 3 / 4


def test_a_mapper_may_learn_more_from_an_answer_than_its_template() -> None:
    """The hook for the review: it sees all answers so far, after each of them."""
    heard: list[int] = []

    class Quick(Remembering):
        def learn(
            self, rows: Sequence[Labelled], found: Sequence[Meaning], told: Mapping[str, str]
        ) -> list[Meaning]:
            heard.append(len(told))
            return [Meaning(next(iter(told.values())), template=item.template) for item in found]

    rows = [_row(f"t{n}", "a") for n in range(30)]
    found = [Meaning(template=row.name) for row in rows]
    assert judge.after_answers(Quick([]), rows, found) == 1.0
    assert heard == list(range(1, 21))


def test_the_dictionary_writes_out_abbreviations() -> None:
    """It knows what is spelled out or in its table, groups by the last number, and needs no rows."""
    rows = [
        Labelled("a", "AHU-1 SAT SP"),
        Labelled("a", "AHU-1 Zone Air Temp Sensor"),
        Labelled("a", "Qx7"),
        Labelled("a", "###"),
    ]
    found = dictionary.train([]).map(rows)
    assert found[0].point_class == "Supply_Air_Temperature_Setpoint"
    assert found[1].point_class == ZONE
    assert found[0].equipment == found[1].equipment == "AHU-1"
    assert found[0].equip_class == "Air_Handling_Unit"
    assert found[1].confidence == 4 / 5  # AHU is no word of the class
    assert found[2].point_class == ""
    assert found[2].confidence is None


def test_after_the_last_number_a_name_is_cut() -> None:
    """Without a number at the last separator, without either nowhere."""
    assert text.after_last_number("S.AH2A_MIN.OAD") == "S.AH2"
    assert text.after_last_number("S.Pump.Run") == "S.Pump"
    assert text.after_last_number("Run") == "Run"


def test_text_of_a_baseline_folds_numbers_case_and_separators() -> None:
    """Two instances of a template read the same."""
    one = Labelled("a", "AHU-1.SupplyTemp_SP", "Actual", "degC", "Analog Input")
    two = Labelled("a", "ahu 22 Supply Temp/SP", "Actual", "degC", "Analog Input")
    assert text.line(one) == text.line(two) == "ahu # supply temp sp | actual | degc | analog input"


def test_tfidf_learns_from_other_sites() -> None:
    """It knows what the other site taught it: fine and coarse class, equipment, how sure."""
    model = tfidf.train(SITES["north"])
    found = model.map(SITES["south"])
    right = [
        item.point_class == row.point_type
        for item, row in zip(found, SITES["south"], strict=True)
        if row.point_type
    ]
    assert sum(right) / len(right) > 0.5
    assert all(item.confidence and 0 < item.confidence <= 1 for item in found)
    assert all(item.coarse and item.equip_class for item in found)
    assert not tfidf.can_learn([])
    assert not tfidf.can_learn([_row("a", "a"), _row("b", "a")])
    assert tfidf.can_learn(SITES["north"])


def test_tfidf_without_equipment_classes_names_none() -> None:
    """Lists need not say the equipment."""
    rows = [_row("a temp", "a"), _row("b damper", "a", point_type=DAMPER)] * 2
    assert {item.equip_class for item in tfidf.train(rows).map(rows)} == {""}


@pytest.mark.parametrize("points", [1, 10, 1000, 5000])
def test_one_point_in_five_of_a_made_up_site_has_a_template_of_its_own(points: int) -> None:
    """The names are all different, the same seed gives the same ones."""
    rows = synthetic.site(points, seed=1)
    assert len({row.name for row in rows}) == len(rows) == points
    assert len({fold(row.name)[0] for row in rows}) == max(1, round(points * 0.2))
    assert rows == synthetic.site(points, seed=1)
    assert points < 10 or rows != synthetic.site(points, seed=2)
