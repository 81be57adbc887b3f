from pathlib import Path

from llmservice_worker.fetch.credentials import credentials, mounted


def test_credentials_are_files_and_each_may_be_absent(tmp_path: Path) -> None:
    assert credentials(mounted(tmp_path / "none")) == {}
    for name, text in {"token": "", "AWS_ACCESS_KEY_ID": "a\n", "AWS_REGION": "eu", "other": "x"}.items():
        (tmp_path / name).write_text(text)
    assert credentials(mounted(tmp_path)) == {"AWS_ACCESS_KEY_ID": "a", "AWS_REGION": "eu"}
