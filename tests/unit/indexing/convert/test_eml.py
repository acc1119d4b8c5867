"""E-mail: headers, bodies, attachments."""

from email.message import EmailMessage


def message(**headers: str) -> EmailMessage:
    mail = EmailMessage()
    for name, value in headers.items():
        mail[name] = value
    return mail


def test_plain_message(convert):
    mail = message(Subject="Tide täbles", From="Ada <ada@example.org>", To="bob@example.org")
    mail.set_content("Hello Bob,\n\nsee attached.\n")
    mail.add_alternative("<p>Hello <b>Bob</b></p>", subtype="html")
    mail.add_attachment(b"x", maintype="application", subtype="pdf", filename="tides.pdf")
    document, text = convert("a.eml", bytes(mail))
    assert document.title == "Tide täbles"
    assert document.metadata["from"] == "Ada <ada@example.org>"
    assert text == (
        "# Tide täbles\n\n- From: Ada <ada@example.org>\n- To: bob@example.org\n\nHello Bob,\n\nsee attached.\n\n"
        "Attachments:\n\n- tides.pdf\n"
    )


def test_html_body(convert):
    mail = message(Subject="News")
    mail.set_content("<h2>Storm</h2><p>Stay in port.</p>", subtype="html")
    assert convert("a.eml", bytes(mail))[1] == "# News\n\n## Storm\n\nStay in port.\n"


def test_malformed_headers_do_not_cost_the_body(convert):
    text = convert(
        "a.eml", b"Subject: Hi\nTo: <<>>,,;:\nDate: never\nContent-Type: text/plain; charset=nope\n\nBody.\n"
    )[1]
    assert "# Hi" in text
    assert "Body." in text
