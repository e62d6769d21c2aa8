from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import result_folder
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.answers import plain


@pytest.mark.attack("numbers that no rule can compare", harm="wrong")
def test_a_number_of_an_answer_is_finite() -> None:
    answer = json.loads('{"load": 1e999, "free": NaN, "seconds": [-1e999, 0.5], "many": 9007199254740993}')
    assert plain(answer) == {"load": None, "free": None, "seconds": [None, 0.5], "many": 9007199254740993}


@pytest.mark.attack("half a surrogate pair in what is handed to the wrapper", harm="wrong")
def test_a_document_that_is_written_can_be_written_again(tmp_path: Path) -> None:
    result_folder.write(tmp_path / "a.json", {"said": "a\ud800b"})
    document = json.loads((tmp_path / "a.json").read_bytes())
    assert json.dumps(document, ensure_ascii=False).encode() == b'{"said": "a?b"}'
