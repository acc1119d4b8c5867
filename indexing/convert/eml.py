"""E-mail messages: subject as heading, the usual header lines, the body, the attachments by name."""

import email
import email.policy
from collections.abc import Iterator
from email.message import EmailMessage, MIMEPart

from indexing.convert import html
from indexing.convert.base import ConvertedDocument, SourceFile
from indexing.convert.cleaning import encoding_of, one_line, tidy
from pipelines.core.settings import ConvertSettings

_HEADERS = ("From", "To", "Cc", "Date")


def convert(source: SourceFile, settings: ConvertSettings) -> ConvertedDocument:
    """Convert a message. Attachments are named, not read; nothing that the body refers to is fetched."""
    message = email.message_from_bytes(source.path.read_bytes(), policy=email.policy.default)
    headers = {name: value for name in _HEADERS if (value := _header(message, name))}
    subject = _header(message, "Subject")
    attachments = [name for part in message.iter_attachments() if (name := one_line(part.get_filename() or ""))]
    blocks = [f"# {subject}"] if subject else []
    blocks.append("\n".join(f"- {name}: {value}" for name, value in headers.items()))
    blocks.append(_body(message))
    if attachments:
        blocks.append("Attachments:\n\n" + "\n".join(f"- {name}" for name in attachments))
    metadata = {name.lower(): value for name, value in headers.items()}
    return ConvertedDocument(title=subject, parts=iter([tidy("\n\n".join(blocks))]), metadata=metadata)


def _header(message: EmailMessage, name: str) -> str:
    try:
        return one_line(str(message.get(name, "")))
    except (ValueError, IndexError, AttributeError, TypeError):
        return ""  # the standard library's parser fails on some malformed headers; the body is still worth reading


def _body(message: EmailMessage) -> str:
    part = message.get_body(preferencelist=("plain", "html"))
    if part is None:
        return "\n\n".join(_texts(message))
    data = _payload(part)
    if part.get_content_type() == "text/html":
        return html.to_markdown(html.parse(html.decode(data))) if data.strip() else ""
    charset = part.get_content_charset() or encoding_of(data)
    try:
        return data.decode(charset, errors="replace")
    except LookupError:
        return data.decode("utf-8", errors="strata_cp1252")


def _texts(message: EmailMessage) -> Iterator[str]:
    for part in message.walk():
        if part.get_content_maintype() == "text" and not part.is_attachment():
            yield _payload(part).decode("utf-8", errors="strata_cp1252")


def _payload(part: MIMEPart) -> bytes:
    data = part.get_payload(decode=True)
    return data if isinstance(data, bytes) else b""
