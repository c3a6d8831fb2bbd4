"""Names as parts of addresses, and addresses as links: what a page leads to, whatever its records say."""

import hashlib
import re

OURS = ("index", "index.html", "speed.html", "records", "assets")  # no sweep's folder, no optimizer's page


def slug(name: str) -> str:
    """A file name for any name: unchanged where it is harmless, else marked by a hash so that none collide."""
    plain = name.replace("/", "--")
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip(".")[:80]
    own = safe == plain and safe.lower() not in OURS and "--" not in name
    return safe if own else f"{safe}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def safe_url(url: str) -> str:
    """The address if it leads to the web; a harmless one for any other scheme."""
    return url if re.match(r"https?://", url) else "#"
