"""Archives: read member by member, in bounded memory, trusting nothing that they say of themselves.

What an archive names is used as a name only; nothing is ever written under it.
"""

from services.documents.archives.base import ArchiveTooLargeError, DamagedMemberError, Member, Readable
from services.documents.archives.reading import is_archive, members

__all__ = ["ArchiveTooLargeError", "DamagedMemberError", "Member", "Readable", "is_archive", "members"]
