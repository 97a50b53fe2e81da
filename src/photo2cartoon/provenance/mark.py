"""The mark of a generated picture: an XMP packet with IPTC's properties for content of models.

Properties and values: IPTC Photo Metadata Standard 2025.1 (DigitalSourceType, AISystemUsed, AISystemVersionUsed) and
IPTC NewsCodes, scheme `digitalsourcetype`.
"""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

SYSTEM = "photo2cartoon"
GENERATED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
COMPOSITE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
LARGEST_PACKET = 65_502  # bytes that fit into one segment of a JPEG
_IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_XMP = "http://ns.adobe.com/xap/1.0/"
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_SOURCE, _USED, _VERSION = "DigitalSourceType", "AISystemUsed", "AISystemVersionUsed"


@dataclass(frozen=True)
class Mark:
    """Origin mark of a generated picture.

    Args:
        version: of the model, for people: `version 3`, `slim 7ff1b6b7`.
        composite: whether the picture is a photograph with generated parts.
        system: name of the software.
    """

    version: str
    composite: bool = False
    system: str = SYSTEM

    @property
    def source(self) -> str:
        """IPTC's DigitalSourceType."""
        return COMPOSITE if self.composite else GENERATED

    def packet(self) -> bytes:
        """Return the XMP packet, UTF-8."""
        properties = {
            "xmp:CreatorTool": self.system,
            f"Iptc4xmpExt:{_SOURCE}": self.source,
            f"Iptc4xmpExt:{_USED}": self.system,
            f"Iptc4xmpExt:{_VERSION}": self.version,
        }
        attributes = " ".join(f"{name}={quoteattr(value)}" for name, value in properties.items())
        return (
            '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
            f'<rdf:RDF xmlns:rdf="{_RDF}"><rdf:Description rdf:about="" xmlns:xmp="{_XMP}"'
            f' xmlns:Iptc4xmpExt="{_IPTC}" {attributes}/></rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
        ).encode()


def read_packet(packet: bytes) -> Mark | None:
    """Read the mark out of an XMP packet of any software; None if it names no generated content.

    Properties may be attributes or elements. A packet with a document type, which could expand without end, is refused.

    Raises:
        ValueError: the packet is too large or not XML.
    """
    if len(packet) > LARGEST_PACKET or b"<!DOCTYPE" in packet:
        raise ValueError("its XMP packet is too large or has a document type")
    try:
        root = ElementTree.fromstring(packet.strip(b"\0 \r\n\t"))
    except ElementTree.ParseError as error:
        raise ValueError(f"its XMP packet is damaged: {error}") from None
    found: dict[str, str] = {}
    for node in root.iter():
        own = {**node.attrib, node.tag: node.attrib.get(f"{{{_RDF}}}resource") or (node.text or "").strip()}
        found |= {
            name.removeprefix(f"{{{_IPTC}}}"): value
            for name, value in own.items()
            if name.startswith(f"{{{_IPTC}}}") and value
        }
    source = found.get(_SOURCE)
    if source not in (GENERATED, COMPOSITE):
        return None
    return Mark(found.get(_VERSION, ""), source == COMPOSITE, found.get(_USED, ""))
