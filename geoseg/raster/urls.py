"""Names of what lies on a network, and the refusal of credentials in them.

A name is written down: in plans, stores, tables and logs. So it must not hold a secret, and the places that GDAL and
fsspec look in by themselves (environment, ``~/.aws``, ``~/.netrc``) are the only ones for them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from urllib.parse import unquote

from geoseg.errors import GeosegError, SceneError

_REMOTE_VSI = ("/vsicurl", "/vsis3", "/vsigs", "/vsiaz", "/vsiadls", "/vsioss", "/vsiswift", "/vsiwebhdfs")
_LOCAL_SCHEMES = ("file", "zip", "tar", "gzip")

_AUTHORITY = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#\s\"'<>]*)")
_PARAMETER = re.compile(r"(?P<lead>[?&;#]|^PG:|\s)(?P<name>[A-Za-z][\w.-]*)=(?P<value>'[^']*'|[^?&;#\s\"'<>]+)", re.I)
_XML_SECRET = re.compile(r"<(UserPwd|Authorization|Header)>[^<]+</", re.I)

_USER_IS_NO_SECRET = ("abfs", "abfss", "wasb", "wasbs", "adl", "sftp", "ssh", "ftp", "hdfs")
"""Schemes whose ``name@host`` names a container or an account; ``name:password@host`` is refused in these too."""

_WHOLE = re.compile(r"^(?P<scheme>[\w+.-]+)://(?P<authority>[^/?#]*)")
"""Of a text that is a URL and nothing else: a quote in it is the password's, not the sentence's around it."""

_SECRET_NAMES = (
    *(
        "key",
        "sig",
        "pw",
        "pwd",
        "pass",
        "auth",
        "authorization",
        "jwt",
        "bearer",
        "sas",
        "sessionid",
        "hdnts",
        "hdnea",
    ),
    *("awsaccesskeyid", "googleaccessid", "userpwd", "httpuserpwd"),
)
_SECRET_ENDINGS = (
    *("token", "signature", "password", "passwd", "secret", "credential", "credentials"),
    *("apikey", "accesskey", "secretkey", "authkey", "sharedkey", "accountkey", "subscriptionkey"),
)
_SECRET_BEGINNINGS = ("header",)  # /vsicurl?header.Authorization=…

_WAYS_OUT = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (AWS_SESSION_TOKEN), or a profile of ~/.aws, with s3://BUCKET/KEY",
    "azure": "AZURE_STORAGE_SAS_TOKEN or AZURE_STORAGE_ACCESS_KEY, with az://CONTAINER/KEY",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, with gs://BUCKET/KEY",
    "user": "GDAL_HTTP_USERPWD or ~/.netrc",
    "http": "GDAL_HTTP_HEADERS or GDAL_HTTP_HEADER_FILE (any header), GDAL_HTTP_USERPWD or ~/.netrc (a password)",
}


def is_url(uri: str) -> bool:
    """True if GDAL fetches ``uri`` over a network (``https://…``, ``s3://…``, ``/vsicurl/…``)."""
    scheme, separator, _ = uri.partition("://")
    return (bool(separator) and scheme not in _LOCAL_SCHEMES) or uri.startswith(_REMOTE_VSI)


def refuse_credentials(
    uri: str | os.PathLike[str], *, what: str = "the scene", error: type[GeosegError] = SceneError
) -> None:
    """Refuses a name that holds a password, a token or a signature; call it before anything is opened or written.

    Args:
        uri: path or URL of anything, GDAL's ``/vsi…`` and fsspec's chains included.
        what: what it is the name of, for the message.
        error: what is raised.

    Raises:
        GeosegError: ``error``, of one line that names the way out and does not repeat the secret.
    """
    text = os.fspath(uri)
    found = _find(text)
    if found is None:
        return
    where, way = found
    shown = without_credentials(text)
    named = f" {shown}" if _find(shown) is None else ""
    raise error(
        f"{what}{named} has credentials in its name ({where}), which would end up in plans and logs;"
        f" take them out and set {_WAYS_OUT[way]}"
    )


def without_credentials(text: str) -> str:
    """The text with passwords, tokens and signatures of any URL in it replaced by ``***``."""
    text = _PARAMETER.sub(lambda m: f"{m['lead']}{m['name']}=***" if _is_secret(m["name"]) else m[0], text)
    text = _XML_SECRET.sub(lambda m: f"<{m[1]}>***</", text)
    for match in reversed([*_AUTHORITY.finditer(text)]):
        if _holds_secret(match["scheme"], match["authority"]):
            _, at, host = match["authority"].rpartition("@")
            # Without an @ the secret has a slash or the like in it, and nobody knows where it ends.
            rest = f"@{host}{text[match.end() :]}" if at else re.sub(r"^\S*", "", text[match.end() :])
            text = f"{text[: match.start('authority')]}***{rest}"
    return text


def _find(text: str) -> tuple[str, str] | None:
    """Where in a name a secret is, and which way out fits; None for nowhere."""
    for reading in _readings(text):
        for match in (*_AUTHORITY.finditer(reading), *_WHOLE.finditer(reading)):
            if _holds_secret(match["scheme"], match["authority"]):
                way = {"s3": "s3", "gs": "gs", "gcs": "gs"}.get(match["scheme"].lower(), "user")
                return "a user or password before the @", way
        if "://" in reading or "/vsi" in reading or reading[:3].upper() == "PG:":
            for match in _PARAMETER.finditer(reading):
                if _is_secret(match["name"]) and match["value"].strip("'*"):
                    return f"the parameter {match['name']}", _way_out(match["name"])
        if _XML_SECRET.search(reading):
            return "a password or header", "http"
    return None


def _readings(text: str) -> Iterator[str]:
    """The text as it is, and with its percent escapes taken away, as URLs inside URLs have them."""
    for _ in range(4):
        yield text
        plain = unquote(text)
        if plain == text:
            return
        text = plain


def _holds_secret(scheme: str, authority: str) -> bool:
    """True for ``user:password@host`` and ``token@host``; a port that is no number is a password with a slash in it."""
    scheme = scheme.lower().rpartition("+")[2]
    user, at, host = authority.rpartition("@")
    if at and (":" in user or scheme not in _USER_IS_NO_SECRET):
        return user != "***"
    _, colon, port = re.sub(r"^\[[^\]]*\]", "", host).partition(":")
    return bool(colon) and not port.isdigit() and scheme not in _LOCAL_SCHEMES


def _is_secret(name: str) -> bool:
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    return plain in _SECRET_NAMES or plain.endswith(_SECRET_ENDINGS) or plain.startswith(_SECRET_BEGINNINGS)


def _way_out(name: str) -> str:
    plain = name.lower()
    if plain.startswith(("x-amz", "aws")):
        return "s3"
    if plain.startswith(("x-goog", "googleaccess")):
        return "gs"
    return "azure" if plain in ("sig", "sas") else "http"
