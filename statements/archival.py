"""What makes a PDF an archival and accessible one: PDF/A-3a (ISO 19005-3) and PDF/UA-1 (ISO 14289-1)."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple
from xml.sax.saxutils import escape

from .pdf_objects import PdfFile, stream, string
from .srgb import srgb_profile

CREATOR = "OpenChargeback"

NOT_XML = re.compile("[\x00-\x1f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True)
class Properties:
    """What a PDF says of itself."""

    title: str
    author: str
    subject: str
    language: str = "en-US"
    # As PDF writes it: `D:20250203000000Z`; empty for none.
    stamp: str = ""


class Attachment(NamedTuple):
    """A file inside a PDF, such as the data behind what it shows."""

    name: str
    data: bytes
    # `text/csv`.
    mime: str
    description: str


def written(text: str) -> str:
    """Return a text with blanks for what XML 1.0 has no character for."""
    return NOT_XML.sub(" ", text)


def add_info(file: PdfFile, properties: Properties) -> str:
    """Write the older kind of properties; PDF/A wants them to be those of the metadata."""
    dates = f" /CreationDate ({properties.stamp}) /ModDate ({properties.stamp})" if properties.stamp else ""
    title, author, subject = (
        string(written(each)) for each in (properties.title, properties.author, properties.subject)
    )
    return file.add(
        f"<< /Title {title} /Author {author} /Subject {subject} "
        f"/Creator {string(CREATOR)} /Producer {string(CREATOR)}{dates} >>"
    )


def add_metadata(file: PdfFile, properties: Properties) -> str:
    """Write what the file is and conforms to as XMP (ISO 16684-1), readable for programs that know no PDF."""
    when = _moment(properties.stamp)
    dates = f"<xmp:CreateDate>{when}</xmp:CreateDate><xmp:ModifyDate>{when}</xmp:ModifyDate>" if when else ""
    title, author, subject = (
        escape(written(each)) for each in (properties.title, properties.author, properties.subject)
    )
    xmp = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 xmlns:pdf="http://ns.adobe.com/pdf/1.3/" xmlns:pdfaid="http://www.aiim.org/pdfa/ns/id/"
 xmlns:pdfuaid="http://www.aiim.org/pdfua/ns/id/">
<dc:format>application/pdf</dc:format>
<dc:title><rdf:Alt><rdf:li xml:lang="x-default">{title}</rdf:li></rdf:Alt></dc:title>
<dc:creator><rdf:Seq><rdf:li>{author}</rdf:li></rdf:Seq></dc:creator>
<dc:description><rdf:Alt><rdf:li xml:lang="x-default">{subject}</rdf:li></rdf:Alt></dc:description>
<dc:language><rdf:Bag><rdf:li>{escape(properties.language)}</rdf:li></rdf:Bag></dc:language>
<xmp:CreatorTool>{CREATOR}</xmp:CreatorTool>{dates}
<pdf:Producer>{CREATOR}</pdf:Producer>
<pdfaid:part>3</pdfaid:part><pdfaid:conformance>A</pdfaid:conformance>
<pdfuaid:part>1</pdfuaid:part>
</rdf:Description>
{UA_SCHEMA}
</rdf:RDF></x:xmpmeta>
<?xpacket end="r"?>"""
    return file.add(stream(xmp.encode(), " /Type /Metadata /Subtype /XML", is_packed=False))


# PDF/A knows no property of PDF/UA, and wants a description of each that it does not know (ISO 19005-3, 6.6.2.3).
UA_SCHEMA = """<rdf:Description rdf:about="" xmlns:pdfaExtension="http://www.aiim.org/pdfa/ns/extension/"
 xmlns:pdfaSchema="http://www.aiim.org/pdfa/ns/schema#" xmlns:pdfaProperty="http://www.aiim.org/pdfa/ns/property#">
<pdfaExtension:schemas><rdf:Bag><rdf:li rdf:parseType="Resource">
<pdfaSchema:schema>PDF/UA identification</pdfaSchema:schema>
<pdfaSchema:namespaceURI>http://www.aiim.org/pdfua/ns/id/</pdfaSchema:namespaceURI>
<pdfaSchema:prefix>pdfuaid</pdfaSchema:prefix>
<pdfaSchema:property><rdf:Seq><rdf:li rdf:parseType="Resource">
<pdfaProperty:name>part</pdfaProperty:name><pdfaProperty:valueType>Integer</pdfaProperty:valueType>
<pdfaProperty:category>internal</pdfaProperty:category>
<pdfaProperty:description>Part of ISO 14289 that the file conforms to</pdfaProperty:description>
</rdf:li></rdf:Seq></pdfaSchema:property>
</rdf:li></rdf:Bag></pdfaExtension:schemas>
</rdf:Description>"""


def _moment(stamp: str) -> str:
    """Return `D:20250203000000Z` as XMP writes it: `2025-02-03T00:00:00Z`."""
    digits = stamp.removeprefix("D:")
    if not digits:
        return ""
    return f"{digits[:4]}-{digits[4:6]}-{digits[6:8]}T{digits[8:10]}:{digits[10:12]}:{digits[12:]}"


def add_output_intent(file: PdfFile) -> str:
    """Say which colors are meant by red, green and blue: those of sRGB (14.11.5)."""
    profile = file.add(stream(srgb_profile(), " /N 3 /Alternate /DeviceRGB"))
    return file.add(
        f"<< /Type /OutputIntent /S /GTS_PDFA1 /OutputConditionIdentifier (sRGB) /Info (sRGB IEC61966-2.1) "
        f"/DestOutputProfile {profile} >>"
    )


def add_attachments(file: PdfFile, attachments: Iterable[Attachment], stamp: str) -> tuple[str, str]:
    """Write files that belong to the document as its data (ISO 19005-3, 6.8 and annex E).

    Returns the array for the catalog's /AF and the name tree for its /EmbeddedFiles. No two may share a name.
    """
    found: dict[str, str] = {}
    for name, data, mime, description in attachments:
        if name in found:
            raise ValueError(f"Two attachments are named {name}.")
        changed = f" /ModDate ({stamp})" if stamp else ""
        kind = mime.replace("/", "#2F")
        inside = file.add(
            stream(data, f" /Type /EmbeddedFile /Subtype /{kind} /Params << /Size {len(data)}{changed} >>")
        )
        found[name] = file.add(
            f"<< /Type /Filespec /F {string(name)} /UF {string(name)} /Desc {string(description)} "
            f"/AFRelationship /Data /EF << /F {inside} /UF {inside} >> >>"
        )
    names = " ".join(f"{string(name)} {found[name]}" for name in sorted(found))
    return f"[{' '.join(found.values())}]", f"<< /Names [{names}] >>"
