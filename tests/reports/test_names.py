from __future__ import annotations

import pytest

from senoscope.reports.names import Names, safe_name


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("exams/benign (1).png", "benign_1"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\windows\\system.ini", "system"),
        ("/absolute/..", "image"),
        ("...", "image"),
        ("<script>alert(1)</script>.png", "script"),  # a slash ends the folder
        ("a\x00b\nc.png", "a_b_c"),
        ("환자 영상.dcm", "환자_영상"),
        ("CON.png", "_CON"),
        ("1.2.840.113619.2", "1.2.840.113619"),
        ("x" * 300 + ".png", "x" * 80),
        ("", "image"),
    ],
)
def test_names_are_plain(source: str, name: str) -> None:
    assert safe_name(source) == name


def test_names_are_unique_even_where_case_does_not_count() -> None:
    names = Names()
    taken = [names.take(source) for source in ("a/x.png", "b/x.png", "c/X.jpg", "x-2.png", "d/x.png")]
    assert len({name.casefold() for name in taken}) == 5
    assert taken[:2] == ["x", "x-2"]
