/** Marks PNG files as generated content, as `photo2cartoon.provenance` does: an iTXt chunk with an XMP packet. */

const KEYWORD = "XML:com.adobe.xmp";
const AFTER_HEADER = 33; // bytes: PNG's signature and its IHDR chunk

/** Return a PNG file with the packet in it. */
export async function marked(png, packet) {
  const content = new TextEncoder().encode(`iTXt${KEYWORD}\0\0\0\0\0${packet}`);
  const chunk = new DataView(new ArrayBuffer(content.length + 8));
  chunk.setUint32(0, content.length - 4);
  new Uint8Array(chunk.buffer).set(content, 4);
  chunk.setUint32(content.length + 4, crc32(content));
  return new Blob([png.slice(0, AFTER_HEADER), chunk.buffer, png.slice(AFTER_HEADER)], { type: "image/png" });
}

/** Return the checksum of PNG's chunks. */
function crc32(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return (crc ^ 0xffffffff) >>> 0;
}
