from __future__ import annotations

import pytest

from actors.escapes import printable, printable_lines


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;owned\x07\x1b[2Jcat.jpg", r"\x1b]0;owned\x07\x1b[2Jcat.jpg"),
        ("a.jpg\n12:00:00 INFO proven\r", r"a.jpg\n12:00:00 INFO proven\r"),
        ("\x9b31m\x7f\x00\t", r"\x9b31m\x7f\x00\t"),
        ("gpj.\u202etac\u2028\u2066", r"gpj.\u202etac\u2028\u2066"),
        ("\udcff.jpg", r"\udcff.jpg"),
        ("zażółć 猫 गाय 👩‍🚀 می‌خواهم \\n", "zażółć 猫 गाय 👩‍🚀 می‌خواهم \\n"),
    ],
)
def test_what_a_terminal_obeys_is_escaped_and_all_else_stays(text: str, shown: str) -> None:
    assert printable(text) == shown
    printable(text).encode()


def test_lines_of_our_own_stay_lines() -> None:
    assert printable_lines("wrong\n  fix: \x1b[1m") == "wrong\n  fix: \\x1b[1m"
