from __future__ import annotations

from pathlib import Path

import pytest
from reconnect.errors import InputError
from reconnect.incidents import client_report


@pytest.mark.attack("escapes in a client report that steer who reads it", harm="wrong")
@pytest.mark.parametrize("suffix", [".json", ".yml"])
@pytest.mark.parametrize(
    ("escape", "shown"),
    [(r"\u202e", r"\u202e"), (r"\u0000", r"\x00"), (r"\u001b[31m", r"\x1b[31m"), (r"\u200b", r"\u200b")],
)
def test_what_an_escape_hides_is_shown(suffix: str, escape: str, shown: str, tmp_path: Path) -> None:
    path = tmp_path / f"report{suffix}"
    path.write_text(
        f'{{"error_message": "a{escape}b", "settings": {{"x{escape}": "a{escape}b"}}, "log": ["a{escape}b"]}}'
    )
    report = client_report.read(path)
    assert report.error_message == f"a{shown}b"
    assert report.settings == {f"x{shown}": f"a{shown}b"}
    assert report.log == [f"a{shown}b"]


@pytest.mark.attack("half a surrogate pair in a client report", harm="wrong")
def test_half_a_surrogate_pair_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(r'{"settings": {"x": "\ud800"}, "log": ["\udfff"]}')
    assert client_report.read(path).model_dump(mode="json")["log"] == [r"\udfff"]


@pytest.mark.attack("numbers in a client report that JSON does not have", harm="wrong")
@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "Infinity"])
def test_a_number_that_is_none_is_invalid(number: str, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(f'{{"settings": {{"port": {number}}}}}')
    with pytest.raises(InputError):
        client_report.read(path)
