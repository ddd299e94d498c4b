"""The token of the JSON door: read from a private file, compared whole, never shown."""

from pathlib import Path

import pytest

from posd.errors import ConfigError
from posd.security.token import Token, load_token, load_tokens

TEXT = "0123456789abcdef" * 2


def write(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "token"
    path.touch(mode=0o600)
    path.write_text(text)
    path.chmod(mode)
    return path


def test_white_space_around_it_does_not_count(tmp_path: Path) -> None:
    token = load_token(write(tmp_path, f"\n {TEXT}\n"))
    assert token.matches(TEXT.encode())
    for other in (b"", TEXT[:-1].encode(), f"{TEXT}0".encode(), TEXT.upper().encode(), b"\xff" * 40):
        assert not token.matches(other)


@pytest.mark.parametrize("text", ["", "short", "x" * 31, "with blank" + "x" * 32, "ü" * 40, "x" * 300])
def test_what_is_no_token_is_refused_without_being_repeated(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_token(write(tmp_path, text))
    assert "till token" in str(caught.value)
    assert text == "" or text not in str(caught.value)


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="open to other users"):
        load_token(write(tmp_path, TEXT, 0o640))


def test_it_is_never_shown() -> None:
    assert TEXT not in f"{Token(TEXT.encode())!r} {Token(TEXT.encode())}"


def test_two_tills_with_one_secret_are_nobody_that_could_be_told_apart(tmp_path: Path) -> None:
    files = []
    for name, text in (("a", TEXT), ("b", TEXT), ("c", TEXT[::-1])):
        (tmp_path / name).mkdir()
        files.append((name, write(tmp_path / name, text), "view"))
    assert [token.known.name for token in load_tokens([files[0], files[2]])] == ["a", "c"]
    with pytest.raises(ConfigError, match="holds the same token as that of 'a'") as caught:
        load_tokens(files[:2])
    assert TEXT not in str(caught.value)
