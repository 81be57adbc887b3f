import email.parser
import io
import wave

from llmservice_worker.multipart import fields
from llmservice_worker.requests.fields import Limits
from llmservice_worker.requests.judge import judged
from llmservice_worker.requests.transcription import TranscriptionForm
from llmservice_worker.silent_clip import silent_form


def test_the_form_is_one_that_a_replica_takes() -> None:
    form, kind = silent_form("org/whisper:1")
    found = fields([(b"content-type", kind.encode())], form)
    assert judged(TranscriptionForm, dict(found), Limits(0)).model == "org/whisper:1"


def test_its_file_is_a_second_of_silence() -> None:
    form, kind = silent_form("m")
    parsed = email.parser.BytesParser().parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + form)
    (clip,) = [part for part in parsed.walk() if part.get_filename() == "silence.wav"]
    assert clip.get_content_type() == "audio/wav"
    content = clip.get_payload(decode=True)
    assert isinstance(content, bytes)
    with wave.open(io.BytesIO(content)) as read:
        assert (read.getnframes(), read.getframerate(), read.getnchannels(), read.getsampwidth()) == (
            16000,
            16000,
            1,
            2,
        )
        assert read.readframes(16000) == bytes(32000)
